"""A folder with everything that the pages speak of, at the scale of a test."""

import hashlib
import json
import shutil
from collections.abc import Iterator
from pathlib import Path

import pyarrow as pa
import pyarrow.parquet as pq
import pytest
import torch

import curate
from curate.restore.checkpoints.checkpoint import CheckpointInfo, save_model
from curate.restore.models import build_model
from curate.stages.label import clip
from tests.datasets.ablation.pictures import GOOD, RECIPE, SMOOTH, ByColour, picture
from tests.restore import authors_weights
from tests.restore.samples import draw, encode, pair_manifest
from tests.restore.samples import recipe as tiny_recipe
from tests.small_crawl import serving

BENCHMARKS = ["Kodak24", "CBSD68", "Classic5", "classic5", "Manga109", "Urban100/HR"]
BENCHMARKS += ["datasets/Manga109", "datasets/Urban100/HR", "BSDS500/train", "BSDS500/test"]
PICTURES = [f"{folder}/{number}.png" for folder in BENCHMARKS for number in range(2)]
PICTURES += [f"my-pictures/{category}/{n}.png" for category in ("Animals", "Food") for n in "12"]
PICTURES += ["holiday/a.jpg", "holiday/b.jpg", "more/c.jpg", "photo.jpg", "scan.jpg", "scan.png"]
PICTURES += ["cat.jpg", "map.png"]
PICTURES += [f"data/PolyU/{scene}_{kind}.png" for scene in "abcd" for kind in ("mean", "real")]
PICTURES += [f"data/Set14/{name}.png" for name in ("baboon", "barbara", "bridge")]
MOE_IR = {"num_blocks": [1, 1], "heads": [1, 2], "num_dec_blocks": [1], "refinement_blocks": 1}
DAMOE = {"dim": 12, "depths": [2], "heads": 3, "experts": 3}
SIDD = [
    f"data/SIDD_Medium_Srgb/Data/{scene}_x/{scene}_{kind}_SRGB_010.PNG"
    for scene in ("0001", "0002", "0003")
    for kind in ("GT", "NOISY")
]
FETCH = {"allow_networks": ["127.0.0.0/8"], "backoff": 0.01}


def use_small_labeller(patch: pytest.MonkeyPatch) -> None:
    """Let the bundled labeller go by colours: quick, and its categories come out even."""
    load = clip.load_labeller
    patch.setattr(
        clip, "load_labeller", lambda label: ByColour() if label.model == "bundled" else load(label)
    )


@pytest.fixture(scope="session")
def prepared(tmp_path_factory: pytest.TempPathFactory, labeller: Path) -> Iterator[Path]:
    """Read-only folder with the files of all pages, and runs over a site on loopback."""
    folder = tmp_path_factory.mktemp("prepared")
    shutil.copytree(labeller, folder / "weights")
    write_pictures(folder)
    write_checkpoints(folder)
    with serving(folder) as site:
        write_recipes(folder)
        write_lists(folder, site)
        write_download(folder, site)
        with pytest.MonkeyPatch.context() as patch:  # only here: other tests share the process
            use_small_labeller(patch)
            for name, urls in (("mine", "urls.txt"), ("autumn", "more-urls.txt")):
                out = folder / "runs" / name
                curate.run(folder / "mine.yaml", [folder / urls], out, scheduler="serial")
        shutil.copytree(folder / "runs/mine", folder / "runs/spring")
        write_manifests(folder)
        yield folder


def write_pictures(folder: Path) -> None:
    """Write photographs to crawl, pictures to restore, and benchmarks."""
    (folder / "photos").mkdir()
    for number in (*GOOD, *SMOOTH):
        picture(number).save(folder / f"photos/{number:03d}.jpg", quality=95)
    for seed, name in enumerate([*PICTURES, *SIDD]):
        path = folder / name
        path.parent.mkdir(parents=True, exist_ok=True)
        side = 512 if name in SIDD else 96
        path.write_bytes(encode(draw(seed, side, side), "JPEG" if ".jpg" in name else "PNG"))


def write_checkpoints(folder: Path) -> None:
    """Write untrained restorers, and weights as the authors of two networks save them."""
    networks = {"restorer/best": ("moe_ir_30g", MOE_IR), "trial/best": ("moe_ir_30g", MOE_IR)}
    networks |= {"damoe/best": ("damoe", DAMOE), "damoe": ("damoe", DAMOE)}
    for seed, (name, (model, settings)) in enumerate(networks.items()):
        torch.manual_seed(seed)
        path = folder / f"{name}.safetensors"
        path.parent.mkdir(exist_ok=True)
        network = build_model(model, **settings)
        save_model(path, network.state_dict(), CheckpointInfo(model=model, settings=settings))
    restormer = authors_weights.draw(authors_weights.restormer_shapes(False))
    torch.save({"params": restormer}, folder / "gaussian_color_denoising_blind.pth")
    moce = authors_weights.draw(authors_weights.moce_ir_shapes())
    wrapped = {f"net.{name}": tensor for name, tensor in moce.items()}
    torch.save({"state_dict": wrapped}, folder / "last.ckpt")


def write_recipes(folder: Path) -> None:
    """Write the recipes of a run and of a training, and a taxonomy."""
    (folder / "mine.yaml").write_text(json.dumps({"name": "mine", "fetch": FETCH, **RECIPE}))
    groups = {name: {"repeat": 1} for name in ("PolyU", "SIDD", "WED")}
    training = tiny_recipe(data=groups).model_dump(mode="json")
    (folder / "training.yaml").write_text(json.dumps(training))
    taxonomy = {
        "templates": ["a photo of {}."],
        "categories": {"Fields": ["a field"], "Roads": ["a road"]},
    }
    (folder / "land.yaml").write_text(json.dumps({"Land": taxonomy}))


def write_lists(folder: Path, site: str) -> None:
    """Write lists of URLs and of hosts in each form that the pages name."""
    urls = [f"{site}/photos/{number:03d}.jpg" for number in (*GOOD, *SMOOTH)]
    lists = {"urls.txt": [*urls[10:], f"{site}/gone.jpg"], "more-urls.txt": urls[:20]}
    lists |= {"first.csv": ["url", *urls[:5]], "photos.csv": ["photo_link", *urls[:5]]}
    lists |= {"cc12m.tsv": [f"{url}\ta caption" for url in urls[:5]]}
    lists |= {"opted-out.txt": urls[:3], "not-allowed.txt": ["example.org"]}
    lists |= {"train.txt": urls[:8], "val/Animals.txt": urls[8:10], "val/Food.txt": urls[10:12]}
    for name, lines in lists.items():
        (folder / name).parent.mkdir(exist_ok=True)
        (folder / name).write_text("\n".join(lines) + "\n")
    pq.write_table(pa.table({"url": urls[5:10]}), folder / "more.parquet")
    sizes = [64, 2000, 2000, 2000, 2000]
    laion = {"URL": urls[:5], "WIDTH": sizes, "HEIGHT": sizes, "pwatermark": [0.1] * 5}
    (folder / "laion-high-resolution").mkdir()
    pq.write_table(pa.table(laion), folder / "laion-high-resolution/part-0.parquet")


def write_manifests(folder: Path) -> None:
    """Write published manifests, manifests of pairs, and a download of img2dataset."""
    curate.export_manifest(folder / "runs/mine", folder / "mine.parquet")
    for name in ("others", "dataset"):
        shutil.copy(folder / "mine.parquet", folder / f"{name}.parquet")
    for name in ("polyu", "wed", "sidd"):
        curate.ingest("PolyU", folder / "data/PolyU", folder / "pairs" / name, scheduler="serial")
    rain = pair_manifest(folder / "pairs/rain100l", [draw(3, 60, 72)], "derain")
    rain.rename(rain.with_name("test.parquet"))


def write_download(folder: Path, site: str) -> None:
    """Write pictures as img2dataset downloads them, with their bytes unchanged."""
    out, rows = folder / "downloaded", []
    (out / "00000").mkdir(parents=True)
    for number in GOOD[:8]:
        data = (folder / f"photos/{number:03d}.jpg").read_bytes()
        key = f"{number:09d}"
        (out / f"00000/{key}.jpg").write_bytes(data)
        digest = hashlib.sha256(data).hexdigest()
        url = f"{site}/photos/{number:03d}.jpg"
        rows.append({"url": url, "key": key, "status": "success", "sha256": digest})
    pq.write_table(pa.Table.from_pylist(rows), out / "00000.parquet")
    counts = {"count": len(rows), "successes": len(rows), "status_dict": {"success": len(rows)}}
    (out / "00000_stats.json").write_text(json.dumps(counts))
