import importlib.util
import sys
from pathlib import Path
from types import ModuleType

import numpy as np
import pytest
from PIL import Image

SCRIPT = Path(__file__).parents[2] / "benchmarks" / "calibrate.py"


@pytest.fixture(scope="module")
def calibrate() -> ModuleType:
    spec = importlib.util.spec_from_file_location("benchmarks_calibrate", SCRIPT)
    assert spec is not None
    assert spec.loader is not None
    module = importlib.util.module_from_spec(spec)
    sys.modules[spec.name] = module  # dataclasses look their module up
    spec.loader.exec_module(module)
    return module


def test_means_of_a_folder_beside_the_papers(
    calibrate: ModuleType, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    folder = tmp_path / "BSDS500" / "train"
    folder.mkdir(parents=True)
    # a checkerboard's power is half in the zero frequency, half in the highest; a grey image's is all in the former
    board = np.indices((32, 32)).sum(axis=0) % 2 * 255
    Image.fromarray(board.astype(np.uint8)).save(folder / "board.png")
    Image.new("L", (64, 16), 128).save(folder / "grey.png")
    (folder / "readme.txt").write_text("no image")
    bpp = np.mean([8 * (folder / name).stat().st_size / 1024 for name in ("board.png", "grey.png")])

    row = list(calibrate.table([folder]))[-1]

    assert row.startswith(f"| {folder} | 2 | 1,024 | {bpp:.3f} | 25.000% | 25.000% |")
    assert row.endswith("| BSDS400: 154,401 pixels, bpp 3.77, ratio 0.8863% (Table 2) |")
    assert "readme.txt" in capsys.readouterr().err


def test_an_empty_folder_of_another_name_has_nothing_to_say(calibrate: ModuleType, tmp_path: Path) -> None:
    assert list(calibrate.table([tmp_path]))[-1] == f"| {tmp_path} | 0 |  |  |  |  |  |"
