"""The Segmenter: a backbone, a head and cluster centres that turn an image into a mask."""

from collections.abc import Callable, Iterator, Sequence
from dataclasses import fields, replace
from pathlib import Path
from typing import Any

import numpy as np
import torch
import torch.nn.functional as F
from numpy.typing import NDArray
from PIL import Image
from torch import nn

from segdistill.backbones import Backbone
from segdistill.backbones.finite import finite_maps, not_finite_error
from segdistill.config.settings import MIN_REGION, DeviceName, PrecisionName
from segdistill.decoding.coverage import Coverage, valid_cells
from segdistill.decoding.decode import image_in_memory, read_picture
from segdistill.decoding.pictures import Picture
from segdistill.devices import Compute, PixelBudget, choose_compute
from segdistill.errors import UserError
from segdistill.features.preparation import FeaturePreparation, storage_format
from segdistill.images.palette import VOID
from segdistill.images.resize import Viewing
from segdistill.model.card import CardFacts
from segdistill.model.description import SegmentClass, SegmenterSettings, check_members
from segdistill.model.files import SegmenterParts, read_parts, write_parts
from segdistill.model.head import SegmentationHead
from segdistill.model.hub import model_folder, push_model
from segdistill.model.levels import Levels
from segdistill.model.prototypes import CodeMaps, Prototypes
from segdistill.objective.clusters import class_similarity, cluster_similarity, unit_vectors
from segdistill.refinement.dense import Encode, encode_images, encoded_strips
from segdistill.refinement.upsampling import Upsampling, cleaned_mask
from segdistill.storage import is_url

CELLS_AT_ONCE = 8192

TILE_SIDES = 2
"""Side of a tile as a multiple of the resolution; large enough to give context."""


class Segmenter(nn.Module):
    """Segments images into classes discovered without labels.

    :func:`segdistill.fit` returns one, and :meth:`load` reads that of a run:
    ``Segmenter.load("runs/photos").segment("beach.jpg")`` is the class of each pixel.

    Args:
        backbone: the frozen backbone.
        preparation: the preparation of the backbone's features.
        head: the head that maps prepared features to codes, or ``None`` to cluster the features
            themselves.
        centres: cluster centres of shape (clusters, code channels); a class consists of one or
            more clusters.
        settings: the resolution and the classes.
        prototypes: prototypes for re-clustering into another number of classes, if kept.
        levels: groupings of the clusters into few, some or many classes, if known.
        code_maps: prototype maps of some training images, if kept.

    As a module it maps images of shape (batch, 3, height, width) in 0..1, with sides that are
    multiples of the backbone's ``size_multiple``, to class scores: cosine similarities of shape
    (batch, classes, height / stride, width / stride), in -1..1.
    """

    centres: torch.Tensor

    def __init__(
        self,
        backbone: Backbone,
        preparation: FeaturePreparation,
        head: SegmentationHead | None,
        centres: torch.Tensor,
        settings: SegmenterSettings,
        prototypes: Prototypes | None = None,
        levels: Levels | None = None,
        code_maps: CodeMaps | None = None,
    ) -> None:
        super().__init__()
        check_members(settings.classes, len(centres))
        self.backbone = backbone
        self.preparation = preparation
        self.head = head
        self.register_buffer("centres", unit_vectors(centres))
        self.settings = settings
        self.prototypes = prototypes
        self.levels = levels
        self.code_maps = code_maps
        self.compute: Compute = choose_compute("cpu", "32-true")
        self.budget = PixelBudget(self.compute.device, thread_safe=backbone.thread_safe)
        self.eval()

    @property
    def classes(self) -> tuple[SegmentClass, ...]:
        """The classes, ordered by index."""
        return self.settings.classes

    def with_classes(
        self,
        classes: Sequence[SegmentClass],
        centres: torch.Tensor,
        levels: Levels | None = None,
    ) -> "Segmenter":
        """Return a model with other classes that shares everything else with this one.

        Args:
            classes: the new classes, ordered by index.
            centres: cluster centres of shape (clusters, code channels).
            levels: groupings of these clusters, if known.
        """
        settings = replace(self.settings, classes=tuple(classes))
        parts = replace(self.parts, centres=centres, settings=settings, levels=levels)
        changed = Segmenter(**vars(parts)).to(self.centres.device)
        changed.compute, changed.budget = self.compute, self.budget
        return changed

    @property
    def parts(self) -> SegmenterParts:
        """The parts of the model, as saved to files and passed to the constructor."""
        return SegmenterParts(*(getattr(self, each.name) for each in fields(SegmenterParts)))

    def place(self, device: DeviceName = "auto", precision: PrecisionName = "auto") -> "Segmenter":
        """Move the model to a device and return it.

        Raises:
            UserError: the device is not available.
        """
        return self.place_on(choose_compute(device, precision))

    def place_on(self, compute: Compute) -> "Segmenter":
        """Move the model to an already chosen device and precision, and return it."""
        self.compute = compute
        self.budget = PixelBudget(compute.device, thread_safe=self.backbone.thread_safe)
        return self.to(compute.device)

    def features(self, images: torch.Tensor) -> torch.Tensor:
        """Return prepared features of shape (batch, channels, h, w); images as for the class."""
        return self._prepared(self.backbone(images))

    def _prepared(self, maps: torch.Tensor) -> torch.Tensor:
        raw = maps.permute(0, 2, 3, 1)  # (b, c, h, w) -> (b, h, w, c)
        prepared: torch.Tensor = self.preparation(raw.float())
        return prepared.permute(0, 3, 1, 2)  # (b, h, w, c) -> (b, c, h, w)

    def codes_of(self, features: torch.Tensor) -> torch.Tensor:
        """Map prepared features of shape (b, channels, h, w) to codes of shape (b, codes, h, w)."""
        if self.head is None:
            return features
        codes: torch.Tensor = self.head(features.permute(0, 2, 3, 1))
        return codes.permute(0, 3, 1, 2)  # (b, h, w, d) -> (b, d, h, w)

    def codes_of_maps(self, maps: torch.Tensor) -> torch.Tensor:
        """Return the codes of backbone features of shape (batch, backbone channels, h, w)."""
        return self.codes_of(self._prepared(maps))

    def encode(self, images: torch.Tensor) -> torch.Tensor:
        """Return codes of shape (batch, code channels, h, w); images as for the class."""
        return self.codes_of(self.features(images))

    def forward(self, images: torch.Tensor) -> torch.Tensor:
        """Return class scores; see the class for shapes and ranges."""
        return self.scores_of_codes(self.encode(images))

    def scores_of_codes(self, codes: torch.Tensor) -> torch.Tensor:
        """Return the class scores of codes.

        Args:
            codes: codes of shape (batch, code channels, h, w).

        Returns:
            Cosine similarities of shape (batch, classes, h, w), in -1..1; for a class of several
            clusters, the largest of theirs.
        """
        similarity = cluster_similarity(codes, self.centres.to(codes.device))
        return class_similarity(similarity, [each.members for each in self.classes])

    def grid_features(
        self, image: NDArray[np.uint8], *, resolution: int | None = None
    ) -> torch.Tensor:
        """Return prepared features of shape (1, channels, h, w); see :meth:`grid_codes`."""
        viewed = self.viewed(image, resolution=resolution)
        return self._dense([viewed], self._prepared, mirror=False).cpu()

    def grid_codes(
        self, image: NDArray[np.uint8], *, mirror: bool = False, resolution: int | None = None
    ) -> torch.Tensor:
        """Return the codes of an image of any size on the backbone's grid.

        Args:
            image: array of shape (height, width, 3).
            mirror: average with the codes of the mirrored image.
            resolution: shorter side to which the image is resized for the backbone; defaults to
                that of training. Larger values give finer detail on larger images.

        Returns:
            Tensor of shape (1, code channels, h, w), on the CPU.
        """
        return self.encode_viewed(self.viewed(image, resolution=resolution), mirror=mirror)

    def encode_viewed(self, image: NDArray[np.uint8], *, mirror: bool = False) -> torch.Tensor:
        """Return :meth:`grid_codes` of an image already resized by :meth:`viewed`."""
        return self._dense([image], self.codes_of_maps, mirror=mirror).cpu()

    def viewed(
        self, image: NDArray[np.uint8], *, resolution: int | None = None
    ) -> NDArray[np.uint8]:
        """Resize an image of any size to the backbone's input size."""
        chosen = resolution or self.settings.resolution
        return Viewing(chosen, self.backbone.size_multiple).apply(image)

    def _dense(
        self, images: Sequence[NDArray[np.uint8]], finish: Encode, *, mirror: bool
    ) -> torch.Tensor:
        self.eval()  # no dropout, even if the caller put the module in training mode
        batch = torch.from_numpy(np.stack(images)).to(self.compute.device)
        return encode_images(
            batch.permute(0, 3, 1, 2),  # (b, h, w, 3) -> (b, 3, h, w)
            self._network(finish),
            stride=self.backbone.stride,
            multiple=self.backbone.size_multiple,
            tile=self.tile,
            mirror=mirror,
        )

    def _network(self, finish: Encode) -> Encode:
        def encode(images: torch.Tensor) -> torch.Tensor:
            with self.compute.autocast():
                maps = self.backbone(images)
            if not finite_maps(maps).all():
                raise not_finite_error(self.backbone.name)
            # As in training: of features in storage format, but in full precision, which is cheap
            # compared with the backbone.
            return finish(storage_format(maps).permute(0, 3, 1, 2))

        @torch.no_grad()
        def run(images: torch.Tensor) -> torch.Tensor:
            return self.budget.run(encode, images)

        return run

    @property
    def tile(self) -> int:
        """Longest side, in pixels, that the backbone processes in one piece."""
        return TILE_SIDES * self.settings.resolution

    def score_strips(
        self,
        read: Callable[[slice, slice], NDArray[np.uint8]],
        size: tuple[int, int],
        *,
        mirror: bool = False,
    ) -> Iterator[tuple[slice, torch.Tensor]]:
        """Yield class scores of an image while holding only a few tiles in memory.

        Args:
            read: function that returns the given rows and columns of the image, resized to the
                backbone's input size, as an array of shape (rows, columns, 3).
            size: height and width of the whole resized image.
            mirror: average with the mirrored image.

        Yields:
            A slice of grid rows, from top to bottom, and its cosine similarities of shape (1,
            classes, rows, width), on the CPU.
        """

        def part(rows: slice, columns: slice) -> torch.Tensor:
            pixels = torch.from_numpy(read(rows, columns)).to(self.compute.device)
            return pixels.permute(2, 0, 1)[None]  # (h, w, 3) -> (1, 3, h, w)

        self.eval()
        strips = encoded_strips(
            part,
            self._network(self.codes_of_maps),
            size,
            stride=self.backbone.stride,
            multiple=self.backbone.size_multiple,
            tile=self.tile,
            mirror=mirror,
            at_once=self.budget.images(self.tile, self.tile),
        )
        for rows, codes in strips:
            yield rows, self.scores_of_codes(codes).cpu()

    def grid_scores(
        self, image: NDArray[np.uint8], *, mirror: bool = False, resolution: int | None = None
    ) -> torch.Tensor:
        """Return class scores on the backbone's grid; arguments as for :meth:`grid_codes`.

        Returns:
            Cosine similarities of shape (1, classes, h, w), in -1..1, on the CPU.
        """
        return self.scores_of_viewed([self.viewed(image, resolution=resolution)], mirror=mirror)

    def scores_of_viewed(
        self, images: Sequence[NDArray[np.uint8]], *, mirror: bool = False
    ) -> torch.Tensor:
        """Return :meth:`grid_scores` of images that :meth:`viewed` resized to the same size.

        Returns:
            Cosine similarities of shape (images, classes, h, w), in -1..1, on the CPU.
        """
        return self.scores_and_distances(images, mirror=mirror)[0]

    def scores_and_distances(
        self, images: Sequence[NDArray[np.uint8]], *, mirror: bool = False
    ) -> tuple[torch.Tensor, list[torch.Tensor | None]]:
        """Return the class scores of images and their distances from the training images.

        Returns:
            The scores, as from :meth:`scores_of_viewed`; and for each image the cosine distances of
            its codes from their nearest prototypes, from 0 to 2, shape (h, w), or ``None`` if the
            model has no prototypes. Their mean (see :func:`mean_distance`) is comparable with
            :attr:`unusual_above`.
        """
        return self._scored(self._dense(images, self.codes_of_maps, mirror=mirror))

    @torch.no_grad()
    def scores_and_distances_of_stored(
        self, stored: NDArray[np.float16]
    ) -> tuple[torch.Tensor, list[torch.Tensor | None]]:
        """Return :meth:`scores_and_distances` from raw feature maps of the feature store.

        Args:
            stored: maps of shape (images, h, w, backbone channels), of images that :meth:`viewed`
                resized.
        """
        self.eval()
        maps = torch.from_numpy(stored).to(self.compute.device)
        return self._scored(self.codes_of_maps(maps.permute(0, 3, 1, 2)))

    def _scored(self, codes: torch.Tensor) -> tuple[torch.Tensor, list[torch.Tensor | None]]:
        scores = self.scores_of_codes(codes).cpu()
        if self.prototypes is None:
            return scores, [None] * len(codes)
        directions = F.normalize(self.prototypes.vectors.to(codes), dim=1)
        return scores, [_distances(each, directions) for each in codes]

    @property
    def unusual_above(self) -> float | None:
        """Distance above which an image counts as unusual; ``None`` if unknown."""
        return None if self.code_maps is None else self.code_maps.unusual_above

    def read(self, path: Path) -> NDArray[np.uint8]:
        """Read an image the way the training images were read: with the run's value ranges.

        Returns:
            Array of shape (height, width, 3).

        Raises:
            UnreadableImageError: the file cannot be decoded.
        """
        return self.read_picture(path).pixels

    def read_picture(self, path: Path, ignore: Path | None = None) -> Picture:
        """Read an image as :meth:`read` does, and which of its pixels have a value.

        Args:
            path: of the image.
            ignore: mask of pixels to be ignored.
        """
        return read_picture(path, self.settings.reading, ignore)

    def segment(
        self,
        image: str | Path | Image.Image | NDArray[Any],
        *,
        mirror: bool = False,
        resolution: int | None = None,
        upsampling: Upsampling = "guided",
        min_region: float = MIN_REGION,
    ) -> NDArray[np.uint8]:
        """Segment an image of any size.

        Args:
            image: a file, a Pillow image (both are rotated according to their EXIF orientation),
                or an array of shape (height, width) or (height, width, 3). All are read as the
                training images were: numbers of more than 8 bits by the value range of the run.
            mirror: average with the mirrored image; slightly better, but takes twice as long.
            resolution: shorter side to which the image is resized for the backbone; defaults to
                that of training.
            upsampling: ``guided`` follows the edges of the image, ``bilinear`` does not.
            min_region: minimum share of the image for a connected region; smaller ones are merged
                into a neighbour, 0 keeps all.

        Returns:
            Class indices of shape (height, width), the size of the image; 255 where it has no
            value.

        Raises:
            UnreadableImageError: the file cannot be decoded.
            UserError: the array is not an image.
        """
        if isinstance(image, str | Path):
            if is_url(image):
                raise UserError(f"{image}: a URL; segdistill.segment reads from there")
            pixels, valid, _ = self.read_picture(Path(image))
        elif isinstance(image, Image.Image | np.ndarray):
            pixels, valid, _ = image_in_memory(image).shown(self.settings.reading)
        else:
            raise UserError(
                f"an image of type {type(image).__name__}: must be a path, a Pillow image or an"
                " array; segdistill.segment takes several"
            )
        scores = self.grid_scores(pixels, mirror=mirror, resolution=resolution)
        mask = cleaned_mask(
            scores,
            pixels,
            upsampling=upsampling,
            detail=self.settings.detail,
            min_region=min_region,
        )
        return mask if valid is None else np.where(valid, mask, np.uint8(VOID))

    def save(self, folder: str | Path, *, overwrite: bool = False) -> None:
        """Save the model to a folder as safetensors and JSON.

        Only the name and fingerprint of the backbone are saved, not its weights.

        Raises:
            UserError: the folder already contains a model and ``overwrite`` is not set, or it
                cannot be written.
        """
        write_parts(self.parts, Path(folder), overwrite=overwrite)

    @classmethod
    def load(
        cls,
        folder: str | Path,
        *,
        backbone: str | None = None,
        device: DeviceName = "auto",
        precision: PrecisionName = "auto",
    ) -> "Segmenter":
        """Load a model from a run folder.

        Args:
            folder: a run folder, or any folder written by :meth:`save`.
            backbone: the current location of the backbone, if it has moved.
            device: the device to run on.
            precision: the precision of matrix products.

        Raises:
            UserError: the folder contains no model or one that this version cannot read, or the
                backbone is not the one that the model was trained with.
        """
        parts = read_parts(Path(folder), backbone=backbone)
        return cls(**vars(parts)).place(device, precision)

    @classmethod
    def from_pretrained(
        cls,
        source: str | Path,
        *,
        revision: str | None = None,
        backbone: str | None = None,
        device: DeviceName = "auto",
        precision: PrecisionName = "auto",
    ) -> "Segmenter":
        """Load a model from the Hugging Face hub or a folder.

        Args:
            source: a hub id such as ``someone/street-scenes``, or a run folder.
            revision: branch, tag or commit of the repository.
            backbone: as for :meth:`load`.
            device: as for :meth:`load`.
            precision: as for :meth:`load`.

        Raises:
            UserError: the model or its backbone cannot be downloaded or read.
        """
        folder = model_folder(source, revision=revision)
        return cls.load(folder, backbone=backbone, device=device, precision=precision)

    def push_to_hub(
        self,
        repo_id: str,
        *,
        private: bool = False,
        overwrite: bool = False,
        facts: CardFacts | None = None,
    ) -> str:
        """Push the model and a model card to the Hugging Face hub, without the backbone's weights.

        Args:
            repo_id: the repository, such as ``someone/street-scenes``; created if missing.
            private: whether to make a new repository private.
            overwrite: replace an existing model in the repository; the hub keeps the old one in
                its history.
            facts: settings and scores for the card; :func:`segdistill.push` finds those of a run.

        Returns:
            The URL of the commit.

        Raises:
            UserError: the hub cannot be reached or rejects the model, or the repository already
                contains one.
        """
        return push_model(self.parts, repo_id, private=private, overwrite=overwrite, facts=facts)


def mean_distance(distances: torch.Tensor | None, valid: NDArray[np.bool_] | None) -> float | None:
    """Return the mean of distances (h, w) where an image is valid; ``None`` if nothing is known.

    Args:
        distances: of the cells of an image, or ``None``.
        valid: which pixels of the image have a value, shape (height, width), or ``None``.
    """
    if distances is None:
        return None
    if valid is not None:
        cells = valid_cells(Coverage.of(valid).shares, (distances.shape[0], distances.shape[1]))
        distances = distances[torch.from_numpy(cells)]
    return float(distances.mean()) if distances.numel() else None


def _distances(codes: torch.Tensor, directions: torch.Tensor) -> torch.Tensor:
    """Return the cosine distances (h, w) of codes (channels, h, w) to their nearest directions."""
    cells = F.normalize(codes.flatten(1).mT.float(), dim=1)  # (c, h, w) -> (cells, c)
    parts = [1 - (part @ directions.mT).amax(dim=1) for part in torch.split(cells, CELLS_AT_ONCE)]
    return torch.cat(parts).view(codes.shape[1:]).cpu()
