"""Estimator with the scikit-learn API: ``fit``, ``predict`` and ``transform`` on arrays."""

import inspect
from collections.abc import Iterable, Iterator
from contextlib import contextmanager
from dataclasses import replace
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import Any, Self

import numpy as np
from numpy.typing import NDArray
from PIL import Image

from segdistill.api.fitting import fit
from segdistill.config.settings import DeviceName, FitSettings, PrecisionName
from segdistill.errors import UserError
from segdistill.images.folder import ImageFile
from segdistill.model.segmenter import Segmenter
from segdistill.refinement.upsampling import Upsampling

ImageInput = NDArray[np.uint8] | str | Path
"""An image: an 8-bit RGB array of shape (height, width, 3), or a file."""


class SegmentationEstimator:
    """Unsupervised semantic segmentation as a scikit-learn estimator.

    Works with scikit-learn's ``clone``, pipelines and parameter searches, but does not require
    scikit-learn. Images are given as a list of files or of 8-bit RGB arrays of shape (height,
    width, 3), which may differ in size, or as one array of shape (images, height, width, 3).

    Args:
        classes: number of classes; estimated from the images by default.
        backbone: as for :func:`segdistill.fit`.
        resolution: shorter side, in pixels, of the backbone's input images.
        steps: number of optimiser steps; by default training stops automatically.
        seed: random seed.
        settings: all other settings; the arguments above take precedence.
        upsampling: upsampling of masks: ``guided`` by the image's edges, or ``bilinear``.
        device: device to compute on.
        precision: precision of matrix products.

    Attributes:
        segmenter_: the fitted model.

    Example:
        >>> estimator = SegmentationEstimator(classes=4).set_params(seed=7)
        >>> estimator
        SegmentationEstimator(classes=4, seed=7)
        >>> estimator.get_params()["classes"]
        4
    """

    _estimator_type = "clusterer"

    def __init__(
        self,
        classes: int | None = None,
        *,
        backbone: str | None = None,
        resolution: int | None = None,
        steps: int | None = None,
        seed: int | None = None,
        settings: FitSettings | None = None,
        upsampling: Upsampling = "guided",
        device: DeviceName | None = None,
        precision: PrecisionName | None = None,
    ) -> None:
        self.classes = classes
        self.backbone = backbone
        self.resolution = resolution
        self.steps = steps
        self.seed = seed
        self.settings = settings
        self.upsampling = upsampling
        self.device = device
        self.precision = precision

    def fit(self, images: Iterable[ImageInput], y: object = None) -> Self:
        """Learn from images without labels.

        Arrays are written to a temporary folder during the fit. Their features are cached in the
        feature store by content, like those of files.

        Args:
            images: see the class.
            y: ignored; exists for compatibility with pipelines.

        Raises:
            UserError: an image has the wrong shape or type, or a parameter is invalid.
        """
        del y
        with _as_files(images) as files:
            self.segmenter_ = fit(files, settings=self._settings())
        return self

    def predict(self, images: Iterable[ImageInput]) -> list[NDArray[np.uint8]]:
        """Return a mask of class indices for each image, shape (height, width)."""
        segmenter = self._fitted()
        return [
            segmenter.segment(_checked(image, index), upsampling=self.upsampling)
            for index, image in enumerate(images)
        ]

    def transform(self, images: Iterable[ImageInput]) -> list[NDArray[np.float32]]:
        """Return the codes of each image on the backbone's grid, shape (rows, columns, channels).

        Compare codes by cosine similarity; each class is a cluster of codes.
        """
        segmenter = self._fitted()
        return [
            segmenter.grid_codes(_pixels(segmenter, _checked(image, index)))[0]
            .permute(1, 2, 0)  # (channels, h, w) -> (h, w, channels)
            .numpy()
            for index, image in enumerate(images)
        ]

    def fit_predict(
        self, images: Iterable[ImageInput], y: object = None
    ) -> list[NDArray[np.uint8]]:
        """Fit to images and return their masks; see :meth:`fit` and :meth:`predict`."""
        listed = list(images)
        return self.fit(listed, y).predict(listed)

    def fit_transform(
        self, images: Iterable[ImageInput], y: object = None
    ) -> list[NDArray[np.float32]]:
        """Fit to images and return their codes; see :meth:`fit` and :meth:`transform`."""
        listed = list(images)
        return self.fit(listed, y).transform(listed)

    @classmethod
    def _parameters(cls) -> list[str]:
        return [name for name in inspect.signature(cls.__init__).parameters if name != "self"]

    def get_params(self, deep: bool = True) -> dict[str, Any]:
        """Return the parameters of the estimator by name.

        Args:
            deep: ignored, since no parameter is an estimator.
        """
        del deep
        return {name: getattr(self, name) for name in self._parameters()}

    def set_params(self, **parameters: Any) -> Self:
        """Set parameters by name; a fitted model is unchanged until the next fit.

        Raises:
            ValueError: there is no such parameter.
        """
        for name, value in parameters.items():
            if name not in self._parameters():
                known = ", ".join(self._parameters())
                raise ValueError(f"{name}: no such parameter; choose from {known}")
            setattr(self, name, value)
        return self

    def __repr__(self) -> str:
        defaults = inspect.signature(type(self).__init__).parameters
        given = self.get_params().items()
        shown = [f"{k}={v!r}" for k, v in given if v is not defaults[k].default]
        return f"{type(self).__name__}({', '.join(shown)})"

    def __sklearn_is_fitted__(self) -> bool:
        return hasattr(self, "segmenter_")

    def __sklearn_tags__(self) -> Any:
        # Only called by scikit-learn, so it is installed.
        from sklearn.utils import InputTags, Tags, TargetTags, TransformerTags  # noqa: PLC0415

        return Tags(
            estimator_type="clusterer",
            target_tags=TargetTags(required=False),
            transformer_tags=TransformerTags(),
            input_tags=InputTags(two_d_array=False),
        )

    def _settings(self) -> FitSettings:
        named = ("classes", "backbone", "resolution", "seed", "device", "precision")
        given = {name: getattr(self, name) for name in named if getattr(self, name) is not None}
        settings = replace(self.settings or FitSettings(), **given)
        if self.steps is not None:
            settings = replace(settings, training=replace(settings.training, steps=self.steps))
        return settings

    def _fitted(self) -> Segmenter:
        if not self.__sklearn_is_fitted__():
            raise UserError(f"{type(self).__name__}: not fitted yet; call fit(images) first")
        return self.segmenter_


@contextmanager
def _as_files(images: Iterable[ImageInput]) -> Iterator[list[ImageFile]]:
    """Provide images as files while the block runs; arrays are written to a temporary folder."""
    if isinstance(images, str | Path):
        raise UserError(f"{images}: pass a list of arrays or files, or use segdistill.fit")
    with TemporaryDirectory() as folder:
        files = []
        for index, image in enumerate(images):
            checked = _checked(image, index)
            if isinstance(checked, Path):
                files.append(ImageFile(checked, Path(checked.name)))
            else:
                # Uncompressed, lossless and deterministic: the same pixels give the same bytes.
                path = Path(folder, f"{index:09d}.bmp")
                Image.fromarray(checked).save(path)
                files.append(ImageFile(path, Path(path.name)))
        if not files:
            raise UserError("no images; pass a list of arrays or files")
        yield files


def _checked(image: ImageInput, index: int) -> NDArray[np.uint8] | Path:
    """Return an image as an array or a path.

    Raises:
        UserError: an array has the wrong shape or type.
    """
    if isinstance(image, str | Path):
        return Path(image)
    array = np.asarray(image)
    if array.dtype != np.uint8 or array.ndim != 3 or array.shape[2] != 3 or 0 in array.shape:
        raise UserError(
            f"image {index}: {array.dtype} array of shape {array.shape}; must be uint8 of shape"
            " (height, width, 3)"
        )
    return array


def _pixels(segmenter: Segmenter, image: NDArray[np.uint8] | Path) -> NDArray[np.uint8]:
    return segmenter.read(image) if isinstance(image, Path) else image
