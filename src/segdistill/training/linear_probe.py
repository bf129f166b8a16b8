"""Training of the linear probe on the codes of a fitted model."""

from collections.abc import Iterable
from pathlib import Path

import numpy as np
import torch
import torch.nn.functional as F

from segdistill.errors import UserError
from segdistill.images.folder import ImageFile
from segdistill.labels.label_map import VOID_AS_CLASS
from segdistill.model.linear_probe import LinearProbe, labelled_pixels, sample_at_pixels
from segdistill.model.segmenter import Segmenter
from segdistill.progress import progress_bar
from segdistill.training.loop import seeded
from segdistill.training.optimiser import Adam
from segdistill.training.training_set import ReadLabels

PIXELS_PER_IMAGE = 400
STEPS = 1000
BATCH = 4096
LEARNING_RATE = 5e-3

ONE_CLASS = (
    "a linear probe needs labels of at least two classes (255 means 'not labelled';"
    f" {VOID_AS_CLASS})"
)


def fit_linear_probe(
    segmenter: Segmenter,
    pairs: Iterable[tuple[ImageFile, Path]],
    read_labels: ReadLabels,
    *,
    seed: int = 0,
    progress: bool = False,
) -> LinearProbe:
    """Train a linear classifier on codes with a cross-entropy loss over labelled pixels.

    Codes are interpolated bilinearly at random labelled pixels of each image. As a linear map
    commutes with bilinear interpolation, this is equivalent to STEGO's probe, whose logits are
    upsampled to the size of the labels. The segmenter does not change.

    Raises:
        UserError: no pixel is labelled, or all have the same class.
    """
    pairs = list(pairs)
    random = np.random.default_rng(seed)
    all_codes, all_labels = [], []
    with progress_bar("Reading labels", len(pairs), shown=progress) as advance:
        for image_file, label_path in pairs:
            labels = read_labels(label_path)
            pixels = labelled_pixels(labels, PIXELS_PER_IMAGE, random)
            if len(pixels):
                codes = segmenter.grid_codes(segmenter.read(image_file.path))
                size = (labels.shape[0], labels.shape[1])
                all_codes.append(sample_at_pixels(codes, pixels, size))
                all_labels.append(torch.from_numpy(labels[pixels[:, 0], pixels[:, 1]]))
            advance(1)
    if not all_codes:
        raise UserError("the label files contain no labelled pixels (255 means 'not labelled')")
    known = torch.cat(all_labels)
    occurring = len(torch.unique(known))
    if occurring < 2:
        raise UserError(f"all labelled pixels are of class {int(known[0])}; {ONE_CLASS}")
    probe = _classify(torch.cat(all_codes), known, seed=seed, progress=progress)
    probe.occurring = occurring
    return probe


def _classify(
    codes: torch.Tensor, labels: torch.Tensor, *, seed: int, progress: bool
) -> LinearProbe:
    with seeded(seed), progress_bar("Training the probe", STEPS, shown=progress) as advance:
        probe = LinearProbe(codes.shape[1], int(labels.max()) + 1)
        optimiser = Adam(probe.parameters(), lr=LEARNING_RATE)
        for _ in range(STEPS):
            chosen = torch.randint(len(codes), (min(BATCH, len(codes)),))
            loss = F.cross_entropy(probe(codes[chosen]), labels[chosen])
            optimiser.zero_grad()
            loss.backward()  # type: ignore[no-untyped-call]
            optimiser.step()
            advance(1)
    return probe.eval()
