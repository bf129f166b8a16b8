"""The linear probe: what it learns, and that it touches nothing else."""

from pathlib import Path

import numpy as np
import pytest
import torch
from PIL import Image
from safetensors.torch import save_file
from tests.helpers import striped_labels, write_striped_folder
from tests.model.test_segmenter import tiny_segmenter

from segdistill.errors import UserError
from segdistill.images.folder import find_images
from segdistill.images.resize import enlarge
from segdistill.labels.label_files import read_labels
from segdistill.model.linear_probe import LinearProbe, read_linear_probe, write_linear_probe
from segdistill.training.linear_probe import fit_linear_probe


def test_it_learns_what_the_codes_hold(tmp_path: Path) -> None:
    files = find_images(write_striped_folder(tmp_path / "photos", 4))
    pairs = []
    for file in files:
        path = tmp_path / file.name.name
        Image.fromarray(striped_labels(int(file.path.stem[-1]))).save(path)
        pairs.append((file, path))
    segmenter = tiny_segmenter()
    before = {key: value.clone() for key, value in segmenter.state_dict().items()}
    probe = fit_linear_probe(segmenter, pairs, read_labels)
    assert probe.out_features == 3
    for key, value in segmenter.state_dict().items():
        torch.testing.assert_close(value, before[key])
    codes = segmenter.grid_codes(np.array(Image.open(files[0].path)))
    predicted = enlarge(probe.scores(codes), (64, 96))[0].argmax(dim=0).numpy()
    assert (predicted == striped_labels(0)).mean() > 0.85


def test_without_labels_it_says_so(tmp_path: Path) -> None:
    [file, *_] = find_images(write_striped_folder(tmp_path / "photos", 2))
    Image.fromarray(np.full((64, 96), 255, np.uint8)).save(tmp_path / "void.png")
    with pytest.raises(UserError, match="no labelled pixel"):
        fit_linear_probe(tiny_segmenter(), [(file, tmp_path / "void.png")], read_labels)


def test_one_class_is_refused(tmp_path: Path) -> None:
    [file, *_] = find_images(write_striped_folder(tmp_path / "photos", 2))
    mask = np.where(np.arange(96) < 40, 0, 255)[None].repeat(64, axis=0)
    Image.fromarray(mask.astype(np.uint8)).save(tmp_path / "mask.png")
    with pytest.raises(UserError, match=r"class 0; .* two classes .*numbers: 255") as caught:
        fit_linear_probe(tiny_segmenter(), [(file, tmp_path / "mask.png")], read_labels)
    assert len(str(caught.value).splitlines()) == 1


def test_a_probe_of_an_earlier_version_has_no_names(tmp_path: Path) -> None:
    probe = LinearProbe(5, 3)
    save_file(dict(probe.state_dict()), tmp_path / "linear_probe.safetensors")
    kept = read_linear_probe(tmp_path)
    assert kept is not None
    assert kept.names == ()
    torch.testing.assert_close(kept.weight, probe.weight)


def test_it_is_kept_beside_the_model(tmp_path: Path) -> None:
    assert read_linear_probe(tmp_path) is None
    probe = LinearProbe(5, 3)
    probe.names = ("sky", "straße", "sea")
    write_linear_probe(probe, tmp_path)
    kept = read_linear_probe(tmp_path)
    assert kept is not None
    assert kept.names == probe.names
    codes = torch.randn(2, 5, 3, 4)
    torch.testing.assert_close(kept.scores(codes), probe.scores(codes))
    (tmp_path / "linear_probe.safetensors").write_bytes(b"x")
    with pytest.raises(UserError, match=r"linear_probe\.safetensors: cannot be read"):
        read_linear_probe(tmp_path)
