"""Commands in separate processes, with images and a backbone that these can load."""

import os
import subprocess
import sys
from pathlib import Path

import numpy as np
import torch
from PIL import Image
from tests.helpers import striped_labels, write_striped_folder
from transformers import ViTConfig, ViTModel

FIT = [
    *("--classes", "3", "--resolution", "64", "--training.batch-size", "6", "--quiet"),
    *("--objective.samples", "7"),
]


def write_world(folder: Path, pictures: int = 8) -> Path:
    """Write images, labels and a tiny backbone that other processes can also load."""
    write_striped_folder(folder / "photos", pictures)
    (folder / "labels").mkdir()
    for path in sorted((folder / "photos").rglob("*.png")):
        target = folder / "labels" / path.relative_to(folder / "photos")
        target.parent.mkdir(exist_ok=True)
        with Image.open(path) as image:
            size = image.size
        labels = striped_labels(int(path.stem.split("_")[1]))
        Image.fromarray(labels.astype(np.uint8)).resize(size, Image.Resampling.NEAREST).save(target)
    torch.manual_seed(0)
    config = ViTConfig(
        hidden_size=24,
        num_hidden_layers=2,
        num_attention_heads=2,
        intermediate_size=32,
        image_size=32,
        patch_size=8,
    )
    ViTModel(config, add_pooling_layer=False).save_pretrained(folder / "vit")
    return folder


def start(world: Path, *arguments: str) -> "subprocess.Popen[str]":
    environment = {
        **os.environ,
        "SEGDISTILL_CACHE": str(world / "cache"),
        "OMP_NUM_THREADS": "1",
        "HF_HUB_OFFLINE": "1",
    }
    return subprocess.Popen(
        [sys.executable, "-m", "segdistill.cli.main", *arguments],
        cwd=world,
        env=environment,
        text=True,
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
    )


def run(world: Path, *arguments: str) -> tuple[int, str, str]:
    process = start(world, *arguments)
    try:
        out, error = process.communicate(timeout=300)
    finally:
        process.kill()  # no process outlives its test
    return process.returncode, out, error
