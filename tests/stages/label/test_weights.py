"""Weights of labellers: names without paths, and errors that say how to get missing ones."""

import hashlib
import shutil
import threading
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer

import huggingface_hub
import pytest

from curate.errors import LabelError
from curate.recipe import Label
from curate.stages.label.clip import load_labeller
from curate.stages.label.weights import find_weights, model_name


@pytest.fixture
def hub(monkeypatch, tmp_path):
    """Hub that is always overloaded, with an empty cache; lists its requests."""
    asked = []

    class Overloaded(BaseHTTPRequestHandler):
        def do_HEAD(self):
            if "/resolve/" in self.path:  # other requests are the client's own
                asked.append(self.path)
            self.send_response(503)
            self.end_headers()

        do_GET = do_HEAD

        def log_message(self, *_):
            pass

    with ThreadingHTTPServer(("127.0.0.1", 0), Overloaded) as server:
        threading.Thread(target=server.serve_forever, args=(0.01,), daemon=True).start()
        monkeypatch.setattr(huggingface_hub.constants, "HF_HUB_CACHE", str(tmp_path / "cache"))
        endpoint = f"http://127.0.0.1:{server.server_port}"
        template = endpoint + "/{repo_id}/resolve/{revision}/{filename}"
        monkeypatch.setattr(huggingface_hub.constants, "ENDPOINT", endpoint)
        monkeypatch.setattr(huggingface_hub.constants, "HUGGINGFACE_CO_URL_TEMPLATE", template)
        monkeypatch.setattr(
            huggingface_hub.file_download, "HUGGINGFACE_CO_URL_TEMPLATE", template, raising=False
        )
        yield asked
        server.shutdown()


def says_how_to_get_them(error):
    message = str(error)
    return all(
        word in message
        for word in ("hf download laion/CLIP-ViT-B-32", "label.pretrained=", "label.model=bundled")
    )


def test_unreachable_hub_is_asked_once(hub):
    with pytest.raises(LabelError) as caught:
        load_labeller(Label())
    assert says_how_to_get_them(caught.value)
    assert len(hub) == 1


def test_offline_mode_sends_no_request(hub, monkeypatch):
    monkeypatch.setattr(huggingface_hub.constants, "HF_HUB_OFFLINE", True)
    with pytest.raises(LabelError) as caught:
        load_labeller(Label())
    assert says_how_to_get_them(caught.value)
    assert hub == []


def test_cached_weights_need_no_hub(hub, tmp_path):
    snapshot = tmp_path / "cache/models--laion--CLIP-ViT-B-32-laion2B-s34B-b79K"
    (snapshot / "refs").mkdir(parents=True)
    (snapshot / "refs/main").write_text("c0ffee")
    (snapshot / "snapshots/c0ffee").mkdir(parents=True)
    file = snapshot / "snapshots/c0ffee/open_clip_model.safetensors"
    file.touch()
    assert find_weights(Label()).checkpoint == file
    assert hub == []


def test_a_bare_file_gets_its_models_own_preparation(tmp_path):
    (file := tmp_path / "weights.pt").touch()
    options = find_weights(Label(model="MobileCLIP-S1", pretrained=str(file))).options
    assert options["image_mean"] == (0.0, 0.0, 0.0)
    assert options["image_interpolation"] == "bilinear"


def test_model_names_contain_no_paths(model_folder):
    file = model_folder / "open_clip_model.safetensors"
    digest = hashlib.sha256(file.read_bytes()).hexdigest()[:8]
    assert model_name(Label()) == "ViT-B-32/laion2b_s34b_b79k"
    assert (
        model_name(Label(pretrained=str(file))) == f"ViT-B-32/open_clip_model.safetensors@{digest}"
    )
    assert model_name(Label(model=f"local-dir:{model_folder}")) == f"tiny@{digest}"


@pytest.mark.parametrize(
    ("config", "remedy"),
    [
        (Label(model="ViT-B-23"), "did you mean .*ViT-B-32"),
        (Label(pretrained="laion2b_s34b_b79"), "did you mean .*laion2b_s34b_b79k"),
        (Label(pretrained="/nowhere/weights.pt"), "neither a file nor a tag of ViT-B-32"),
        (Label(pretrained=None), "set label.pretrained"),
        (Label(model="local-dir:/nowhere"), "holds no weights: want open_clip_config.json"),
    ],
)
def test_unknown_weights_are_named(config, remedy):
    with pytest.raises(LabelError, match=remedy):
        load_labeller(config)


def test_weights_of_another_model_are_refused(model_folder):
    with pytest.raises(LabelError, match="of another model"):
        load_labeller(Label(pretrained=str(model_folder / "open_clip_model.safetensors")))


@pytest.mark.parametrize("damage", ["truncated", "noise", "no config", "bad config"])
def test_damaged_model_folder_is_refused(model_folder, tmp_path, damage):
    folder = tmp_path / "copy"
    shutil.copytree(model_folder, folder)
    file, config = folder / "open_clip_model.safetensors", folder / "open_clip_config.json"
    match damage:
        case "truncated":
            file.write_bytes(file.read_bytes()[:-1000])
        case "noise":
            file.write_bytes(b"\xff" * 5000)
        case "no config":
            config.unlink()
        case "bad config":
            config.write_text("{}")
    with pytest.raises(LabelError, match="can't load"):
        load_labeller(Label(model=f"local-dir:{folder}"))
