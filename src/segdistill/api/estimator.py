"""The model in the manner of scikit-learn: ``fit``, ``predict`` and ``transform`` for arrays."""

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
from segdistill.model.upsampling import Upsampling

Picture = NDArray[np.uint8] | str | Path
"""An image: an array of shape (height, width, 3), 8-bit RGB, or a file."""


class SegmentationEstimator:
    """Finds kinds of things in images, and segments images into them.

    It follows scikit-learn's conventions, for clones, pipelines and searches, and does not need
    scikit-learn. Images are a list of arrays of shape (height, width, 3), 8-bit RGB, of any and
    different sizes, or of files, or one array of shape (images, height, width, 3).

    Args:
        classes: number of kinds of things; estimated where it is left out.
        backbone: as for :func:`segdistill.fit`.
        resolution: shorter side, in pixels, of images as the backbone sees them.
        steps: optimiser steps; left out, training ends automatically.
        seed: of everything drawn at random.
        settings: all other settings; those above count over them.
        upsampling: how masks come to pixels: ``guided`` by the image's edges, or ``bilinear``.
        device: where to compute.
        precision: of matrix products.

    Attributes:
        segmenter_: the model, once fitted.

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

    def fit(self, images: Iterable[Picture], y: object = None) -> Self:
        """Learn from images without labels.

        Arrays lie in a temporary folder meanwhile; their features are kept in the feature store,
        as those of files are, and found again by the content of the arrays.

        Args:
            images: see the class.
            y: ignored; there for pipelines.

        Raises:
            UserError: an image is of another shape or type, or a parameter cannot be used.
        """
        del y
        with _as_files(images) as files:
            self.segmenter_ = fit(files, settings=self._settings())
        return self

    def predict(self, images: Iterable[Picture]) -> list[NDArray[np.uint8]]:
        """Return a mask for each image: class indices of shape (height, width), its own size."""
        segmenter = self._fitted()
        return [
            segmenter.segment(_checked(image, index), upsampling=self.upsampling)
            for index, image in enumerate(images)
        ]

    def transform(self, images: Iterable[Picture]) -> list[NDArray[np.float32]]:
        """Return the codes of each image on the backbone's grid, shape (rows, columns, channels).

        Classes are regions of codes: cosine similarity tells how alike two places are.
        """
        segmenter = self._fitted()
        return [
            segmenter.grid_codes(_pixels(segmenter, _checked(image, index)))[0]
            .permute(1, 2, 0)  # (channels, h, w) -> (h, w, channels)
            .numpy()
            for index, image in enumerate(images)
        ]

    def fit_predict(self, images: Iterable[Picture], y: object = None) -> list[NDArray[np.uint8]]:
        """Learn from images, and return their masks; see :meth:`fit` and :meth:`predict`."""
        listed = list(images)
        return self.fit(listed, y).predict(listed)

    def fit_transform(
        self, images: Iterable[Picture], y: object = None
    ) -> list[NDArray[np.float32]]:
        """Learn from images, and return their codes; see :meth:`fit` and :meth:`transform`."""
        listed = list(images)
        return self.fit(listed, y).transform(listed)

    @classmethod
    def _parameters(cls) -> list[str]:
        return [name for name in inspect.signature(cls.__init__).parameters if name != "self"]

    def get_params(self, deep: bool = True) -> dict[str, Any]:
        """Return what the estimator was made with, by name.

        Args:
            deep: makes no difference: no parameter is an estimator.
        """
        del deep
        return {name: getattr(self, name) for name in self._parameters()}

    def set_params(self, **parameters: Any) -> Self:
        """Change parameters by name; those of a fitted model stay until the next fit.

        Raises:
            ValueError: there is no such parameter.
        """
        for name, value in parameters.items():
            if name not in self._parameters():
                known = ", ".join(self._parameters())
                raise ValueError(f"{name}: no such parameter; there are {known}")
            setattr(self, name, value)
        return self

    def __repr__(self) -> str:
        defaults = inspect.signature(type(self).__init__).parameters
        given = self.get_params().items()
        told = [f"{k}={v!r}" for k, v in given if v is not defaults[k].default]
        return f"{type(self).__name__}({', '.join(told)})"

    def __sklearn_is_fitted__(self) -> bool:
        return hasattr(self, "segmenter_")

    def __sklearn_tags__(self) -> Any:
        # Asked for by scikit-learn alone, which then is there.
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
def _as_files(images: Iterable[Picture]) -> Iterator[list[ImageFile]]:
    """Give images as files while the block runs: arrays as files in a temporary folder."""
    if isinstance(images, str | Path):
        raise UserError(f"{images}: give a list of arrays or files, or use segdistill.fit")
    with TemporaryDirectory() as folder:
        files = []
        for index, image in enumerate(images):
            checked = _checked(image, index)
            if isinstance(checked, Path):
                files.append(ImageFile(checked, Path(checked.name)))
            else:
                # Neither compressed nor lossy, and the same bytes for the same pixels.
                path = Path(folder, f"{index:09d}.bmp")
                Image.fromarray(checked).save(path)
                files.append(ImageFile(path, Path(path.name)))
        if not files:
            raise UserError("there are no images; give a list of arrays or files")
        yield files


def _checked(image: Picture, index: int) -> NDArray[np.uint8] | Path:
    """Return an image as an array or a path.

    Raises:
        UserError: it is neither, or an array of another shape or type.
    """
    if isinstance(image, str | Path):
        return Path(image)
    array = np.asarray(image)
    if array.dtype != np.uint8 or array.ndim != 3 or array.shape[2] != 3 or 0 in array.shape:
        raise UserError(
            f"image {index}: {array.dtype} {array.shape}; give 8-bit arrays (uint8) of shape"
            " (height, width, 3)"
        )
    return array


def _pixels(segmenter: Segmenter, image: NDArray[np.uint8] | Path) -> NDArray[np.uint8]:
    return segmenter.read(image) if isinstance(image, Path) else image
