"""How masks are made for scoring: the product's way, and that of STEGO's paper."""

from collections.abc import Callable
from dataclasses import dataclass

import numpy as np
import torch
from numpy.typing import NDArray

from segdistill.images.resize import Resampling, Viewing, centre_of, enlarge
from segdistill.inference.refinement import refine
from segdistill.model.linear_probe import LinearProbe
from segdistill.model.segmenter import Segmenter, mask_of
from segdistill.objective.clusters import cluster_log_probabilities, cluster_similarity

Scorer = Callable[[torch.Tensor], torch.Tensor]
"""Codes (batch, channels, h, w) to scores (batch, classes, h, w)."""


@dataclass(frozen=True)
class Protocol:
    """A way to make masks.

    Attributes:
        resolution: shorter side at which the backbone sees images; by default as in training.
        square: score the middle square of images and labels, at the resolution, instead of whole
            images at full size.
        resampling: filter by which images are resized.
        mirror: average with mirrored images.
        crf: refine with the fully connected CRF.
        enlarge_codes: enlarge codes to pixels and compare them with the centres there, instead of
            enlarging similarities: nearly the same, and many times the memory.
    """

    resolution: int | None = None
    square: bool = False
    resampling: Resampling = "bicubic"
    mirror: bool = False
    crf: bool = False
    enlarge_codes: bool = False

    def view(
        self, image: NDArray[np.uint8], labels: NDArray[np.int64], segmenter: Segmenter
    ) -> tuple[NDArray[np.uint8], NDArray[np.int64]]:
        """Return the part of image and labels that is scored.

        Args:
            image: shape (height, width, 3).
            labels: shape (height, width), or that of the image at another scale.
            segmenter: whose resolution and stride hold.

        Returns:
            Image and labels as given, or their middle squares, of one size.
        """
        if not self.square:
            return image, labels
        viewing = self._viewing(segmenter)
        resized, size = viewing.sizes(labels.shape[0], labels.shape[1])
        rows = np.arange(resized[0]) * labels.shape[0] // resized[0]
        columns = np.arange(resized[1]) * labels.shape[1] // resized[1]
        return viewing.apply(image), centre_of(labels[np.ix_(rows, columns)], size)

    def predict(
        self,
        segmenter: Segmenter,
        probe: LinearProbe | None,
        image: NDArray[np.uint8],
        size: tuple[int, int],
    ) -> dict[str, NDArray[np.uint8]]:
        """Return masks.

        Args:
            segmenter: the model.
            probe: linear probe, or ``None``.
            image: as :meth:`view` gave it.
            size: height and width of the masks.

        Returns:
            ``cluster`` and, with a probe, ``linear``: class indices of shape ``size``.
        """
        viewed = image if self.square else self._viewing(segmenter).apply(image)
        codes = segmenter.encode_viewed(viewed, mirror=self.mirror)
        centres = segmenter.centres.cpu()
        scorers: dict[str, Scorer] = {"cluster": lambda maps: cluster_similarity(maps, centres)}
        if probe is not None:
            scorers["linear"] = probe.scores
        with torch.inference_mode():
            return {
                name: self._mask(name, scorer, codes, image, size)
                for name, scorer in scorers.items()
            }

    def _mask(
        self,
        name: str,
        scorer: Scorer,
        codes: torch.Tensor,
        image: NDArray[np.uint8],
        size: tuple[int, int],
    ) -> NDArray[np.uint8]:
        if not (self.crf or self.enlarge_codes):
            return mask_of(scorer(codes), size)
        scores = (
            scorer(enlarge(codes, size)) if self.enlarge_codes else enlarge(scorer(codes), size)
        )
        if self.crf:
            scores = refine(class_log_probabilities(name, scores), image)
        mask: NDArray[np.uint8] = scores[0].argmax(dim=0).to(torch.uint8).numpy()
        return mask

    def _viewing(self, segmenter: Segmenter) -> Viewing:
        return Viewing(
            self.resolution or segmenter.settings.resolution,
            segmenter.backbone.size_multiple,
            square=self.square,
            resampling=self.resampling,
        )


def class_log_probabilities(name: str, scores: torch.Tensor) -> torch.Tensor:
    """Return log-probabilities of cosine similarities (``cluster``) or of logits (``linear``)."""
    if name == "cluster":
        return cluster_log_probabilities(scores)
    return scores.log_softmax(dim=1)


STEGO_2022 = Protocol(
    resolution=320,
    square=True,
    resampling="nearest",
    mirror=True,
    crf=True,
    enlarge_codes=True,
)
"""The released protocol of STEGO: middle 320 pixels, mirror averaging, CRF."""
