"""Stand-ins at the scale of a test for what the pages name, and lines that no test runs."""

_UNTRAINED = "label.model=local-dir:weights --set label.pretrained=null"
_U_SHAPED = (
    " --set dim=8 --set 'num_blocks=[1,1,1]' --set 'heads=[1,2,4]' --set refinement_blocks=1"
)

STAND_INS = {
    # recipes for hundreds of thousands of URLs
    r"\b(run|probe) (hq50k|laion_hr)\b": r"\1 mine.yaml",
    # trainings of hours on GPUs
    r"\btrain/(moe_ir_30g|swinir|damoe|demo)\b": "training.yaml",
    r" --set devices=4": "",
    # labellers of hundreds of MB
    r"label\.pretrained=weights/open_clip_model\.safetensors": _UNTRAINED,
    r"label\.model=[\w-]+ --set label\.pretrained=\w+": _UNTRAINED,
    r'model="ViT-B-32", pretrained="[^"]+"': 'model="local-dir:weights", pretrained=None',
    # networks as small as their weights in the prepared folder
    r"--model restormer\b": rf"\g<0>{_U_SHAPED}",
    r"--model moce_ir\b": rf"\g<0>{_U_SHAPED} --set 'num_dec_blocks=[1,1]'",
    r"'damoe_hard', 'damoe_soft', 'damoe'": "",
    # datasets as small
    r"both\.parquet 800": "both.parquet 20",
    r"--images 400": "--images 20",
    r"--sizes 100,200,1600": "--sizes 5,10,50",
    r"resolution=280000": "resolution=2000",
    r"frequency=0\.0011": "frequency=0.015",
    r"diversity=1\.0": "diversity=0.5",
    r"per_host_rate=4": "per_host_rate=400",
    r"samples_per_epoch=960": "samples_per_epoch=8",
    # the site is on loopback
    r"\bcurate (rebuild|verify)\b": r"\g<0> --set 'fetch.allow_networks=[127.0.0.0/8]'",
    # workers are processes
    r"--workers 8": "--scheduler serial",
    r'settings=\["select\.train=60000"\]': r'\g<0>, scheduler="serial"',
    # this machine's places and commands
    r"~/data": "data",
    r"\.venv/bin/curate\b": "curate",
    r"\btail -f\b": "tail",  # which would wait for further lines for ever
}
"""Regular expression of the pages' text -> its replacement at the scale of a test."""

NOT_RUN = {
    r"^make demo": "installs the package; tests/demo walks through the demo",
    r"^pip install": "installs packages",
    r"^\s*hf download": "downloads from the Hugging Face Hub",
    r"^dask |^ *CUDA_VISIBLE_DEVICES": "starts a cluster; tests/engine/test_dask.py runs on one",
    r"s3://|^export AWS_": "needs an object store; tests/pipeline/test_stores.py has one",
    r"^torchrun": "starts processes; tests/restore/test_distributed.py trains in several",
    r"^tensorboard": "serves until it is stopped",
    r"curate review": "serves until it is stopped; tests/review/test_browser.py starts it",
    r"^img2dataset": "starts processes; tests/manifest/test_img2dataset.py runs it",
    r"^python -m benchmarks": "needs published datasets; tests/docs/test_calibrate.py",
    r"^curate run tiles": "textures here are smaller than tiles; tests/pipeline/test_tiles.py",
    r"taxonomy=land\.yaml": "the labeller here knows other names; tests/pipeline/test_relabel.py",
    r"^curate models export": "traces for a minute; tests/restore/test_export.py",
    r"InferenceSession": "has nothing exported to run; tests/restore/test_export.py",
    r"^curate models list": "builds every network at full size; tests/restore/test_cost.py",
    r"convert \w*SwinIR|convert colorCAR": "the authors' weights; tests/restore/test_convert.py",
}
"""Regular expression -> why a shell line or a Python block is left out, and what tests it."""

OPTIONAL = {"datasets", "duckdb", "fiftyone", "mlcroissant", "onnxruntime", "webdataset"}
"""Libraries that the package doesn't need; a block that imports one runs where it is installed."""

WRITTEN = {
    "docs/how-to/offline-clip-weights.md": ["runs"],
    "docs/how-to/real-pairs.md": ["pairs"],
    "docs/tutorial.md": ["restorer", "runs"],
}
"""Page -> folders that its own blocks write, and so aren't there when its reader begins."""
