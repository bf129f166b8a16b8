"""Evaluation protocols: the default at full size, and the protocol of the STEGO paper."""

from collections.abc import Callable
from dataclasses import asdict, dataclass
from typing import Any

import numpy as np
import torch
from numpy.typing import NDArray

from segdistill.config.settings import Resolution
from segdistill.config.validation import checked
from segdistill.images.resize import Resampling, Viewing, centre_of, enlarge, resize_image
from segdistill.model.linear_probe import LinearProbe
from segdistill.model.segmenter import Segmenter
from segdistill.objective.clusters import cluster_log_probabilities
from segdistill.refinement.crf_refinement import check_size, refine
from segdistill.refinement.upsampling import Upsampling, upsampled_mask

CRF_SUFFIX = "_crf"


@dataclass(frozen=True)
class Classifier:
    """A classifier of codes.

    Attributes:
        name: short name.
        classes: number of classes.
        scores: maps codes (1, channels, h, w) to class scores (1, classes, h, w).
        log_probabilities: maps these scores to log-probabilities, for the CRF.
        detail: how much of a cell's own score guided upsampling keeps.
    """

    name: str
    classes: int
    scores: Callable[[torch.Tensor], torch.Tensor]
    log_probabilities: Callable[[torch.Tensor], torch.Tensor]
    detail: float = 0.0


@dataclass(frozen=True)
class Protocol:
    """An evaluation protocol.

    Attributes:
        resolution: shorter side of the backbone's input; by default as in training.
        square: evaluate a centre crop of images and labels, at the resolution, instead of whole
            images at full size.
        resampling: resampling filter for images.
        mirror: average with mirrored images.
        upsampling: upsampling of class scores; see :mod:`segdistill.refinement.upsampling`.
        crf: also evaluate masks refined with the fully connected CRF.
        enlarge_codes: upsample codes to pixels before comparing them with the centres, instead of
            upsampling similarities: nearly the same result, with many times the memory.
            ``upsampling`` is then ignored.

    Raises:
        UserError: the resolution is out of range.
    """

    resolution: int | None = None
    square: bool = False
    resampling: Resampling = "bicubic"
    mirror: bool = False
    upsampling: Upsampling = "guided"
    crf: bool = False
    enlarge_codes: bool = False

    def __post_init__(self) -> None:
        checked(self.resolution, Resolution | None, "resolution")

    def as_plain(self, segmenter: Segmenter) -> dict[str, Any]:
        """Return the protocol for a model as JSON-compatible values."""
        return asdict(self) | {"resolution": self.resolution or segmenter.settings.resolution}

    def view(
        self, image: NDArray[np.uint8], labels: NDArray[np.int64], segmenter: Segmenter
    ) -> tuple[NDArray[np.uint8], NDArray[np.int64]]:
        """Return the part of image and labels that is evaluated.

        Args:
            image: shape (height, width, 3).
            labels: shape (height, width); may differ from the image in scale.
            segmenter: the model.

        Returns:
            Image and labels unchanged, or their centre crops, which have the same size.
        """
        if not self.square:
            return image, labels
        viewing = self._viewing(segmenter)
        resized, size = viewing.sizes(labels.shape[0], labels.shape[1])
        rows = np.arange(resized[0]) * labels.shape[0] // resized[0]
        columns = np.arange(resized[1]) * labels.shape[1] // resized[1]
        return viewing.apply(image), centre_of(labels[np.ix_(rows, columns)], size)

    def predictions(self, segmenter: Segmenter, probe: LinearProbe | None) -> dict[str, int]:
        """Return the names of the masks from :meth:`predict`, and the number of classes of each.

        Args:
            segmenter: the model.
            probe: linear probe, or ``None``.
        """
        return {
            name: classifier.classes
            for classifier in classifiers(segmenter, probe)
            for name in self._names(classifier)
        }

    def predict(
        self,
        segmenter: Segmenter,
        probe: LinearProbe | None,
        image: NDArray[np.uint8],
        size: tuple[int, int],
    ) -> dict[str, NDArray[np.uint8]]:
        """Predict masks.

        Args:
            segmenter: the model.
            probe: linear probe, or ``None``.
            image: image from :meth:`view`.
            size: height and width of the masks.

        Returns:
            Class indices of shape ``size``: ``cluster`` and, with a probe, ``linear``; with the CRF
            also ``cluster_crf`` and ``linear_crf``.

        Raises:
            UserError: the image is too large for the CRF.
        """
        viewed = image if self.square else self._viewing(segmenter).apply(image)
        codes = segmenter.encode_viewed(viewed, mirror=self.mirror)
        masks: dict[str, NDArray[np.uint8]] = {}
        with torch.inference_mode():
            for classifier in classifiers(segmenter, probe):
                found = self._masks(classifier, codes, image, size)
                masks |= dict(zip(self._names(classifier), found, strict=True))
        return masks

    def _names(self, classifier: Classifier) -> list[str]:
        refined = [f"{classifier.name}{CRF_SUFFIX}"] if self.crf else []
        return [classifier.name, *refined]

    def _masks(
        self,
        classifier: Classifier,
        codes: torch.Tensor,
        image: NDArray[np.uint8],
        size: tuple[int, int],
    ) -> list[NDArray[np.uint8]]:
        if self.crf:
            check_size(*size, classifier.classes)
        if self.enlarge_codes:
            scores = classifier.scores(enlarge(codes, size))
            masks = [_best_class(scores)]
        else:
            on_grid = classifier.scores(codes)
            scores = enlarge(on_grid, size) if self.crf else on_grid
            guide = image if image.shape[:2] == size else resize_image(image, size)
            masks = [
                upsampled_mask(on_grid, guide, upsampling=self.upsampling, detail=classifier.detail)
            ]
        if self.crf:
            masks.append(_best_class(refine(classifier.log_probabilities(scores), image)))
        return masks

    def _viewing(self, segmenter: Segmenter) -> Viewing:
        return Viewing(
            self.resolution or segmenter.settings.resolution,
            segmenter.backbone.size_multiple,
            square=self.square,
            resampling=self.resampling,
        )


def classifiers(segmenter: Segmenter, probe: LinearProbe | None) -> list[Classifier]:
    """Return the classifiers of a model: its clusters and, if given, a linear probe.

    Args:
        segmenter: the model.
        probe: linear probe, or ``None``.
    """
    found = [
        Classifier(
            name="cluster",
            classes=len(segmenter.classes),
            scores=segmenter.scores_of_codes,
            log_probabilities=cluster_log_probabilities,
            detail=segmenter.settings.detail,
        )
    ]
    if probe is not None:
        found.append(
            Classifier(
                name="linear",
                classes=probe.out_features,
                scores=probe.scores,
                log_probabilities=lambda logits: logits.log_softmax(dim=1),
            )
        )
    return found


def _best_class(scores: torch.Tensor) -> NDArray[np.uint8]:
    # (1, classes, height, width) -> (height, width)
    mask: NDArray[np.uint8] = scores[0].argmax(dim=0).to(torch.uint8).numpy()
    return mask


STEGO_2022 = Protocol(
    resolution=320,
    square=True,
    resampling="nearest",
    mirror=True,
    upsampling="bilinear",
    crf=True,
    enlarge_codes=True,
)
"""Protocol of the released STEGO code: centre crop of 320 pixels, mirror averaging, CRF."""
