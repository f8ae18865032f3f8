"""Nothing is sent anywhere: no telemetry, no update check, no name looked up."""

import subprocess
import sys
from pathlib import Path

LISTEN = """
import sys
calls = []

def hook(event, arguments):
    if event in ("socket.connect", "socket.sendto", "socket.getaddrinfo", "socket.gethostbyname"):
        calls.append((event, str(arguments)))

sys.addaudithook(hook)
"""


def run_listening(code: str, *arguments: Path) -> None:
    script = f"{LISTEN}\n{code}\nassert not calls, calls"
    done = subprocess.run(
        [sys.executable, "-c", script, *map(str, arguments)], capture_output=True, text=True
    )
    assert done.returncode == 0, done.stderr


def test_packet_listener_hears_packets() -> None:
    script = f"{LISTEN}\nimport socket\nsocket.getaddrinfo('127.0.0.1', 80)\nassert calls"
    subprocess.run([sys.executable, "-c", script], check=True)


def test_run_over_local_files_sends_no_packet(recipe: Path, pictures: Path, tmp_path: Path) -> None:
    code = "import curate\ncurate.run(sys.argv[1], [sys.argv[2]], sys.argv[3], scheduler='serial')"
    run_listening(code, recipe, pictures, tmp_path / "run")


def test_training_and_restoring_send_no_packet(pictures: Path, tmp_path: Path) -> None:
    good = tmp_path / "good"
    good.mkdir()
    for number in range(4):
        name = f"{3 * number:02d}.png"
        (good / name).write_bytes((pictures / name).read_bytes())
    code = """
import curate
settings = ["samples_per_epoch=4", "crops_per_image=2",
            "phases=[{epochs: 1, crop: 32, batch: 2, lr: 1.0e-4}]",
            "validation.images=1", "validation.crop=32"]
recipe = curate.TrainRecipe.load("train/demo", settings)
result = curate.train(recipe, [sys.argv[1]], sys.argv[2] + "/restorer")
curate.restore_files(result.checkpoint, [sys.argv[1]], sys.argv[2] + "/restored")
"""
    run_listening(code, good, tmp_path)
