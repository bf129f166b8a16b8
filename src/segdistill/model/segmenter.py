"""The Segmenter: a backbone, a head and clusters, from an image to a mask."""

from collections.abc import Callable, Iterator, Sequence
from dataclasses import fields, replace
from pathlib import Path

import numpy as np
import torch
import torch.nn.functional as F
from numpy.typing import NDArray
from PIL import Image, ImageOps
from torch import nn

from segdistill.backbones import Backbone
from segdistill.config.settings import MIN_REGION, DeviceName, PrecisionName
from segdistill.devices import Compute, PixelBudget, choose_compute
from segdistill.errors import UserError
from segdistill.features.preparation import FeaturePreparation
from segdistill.images.decode import read_image, to_rgb
from segdistill.images.resize import Viewing
from segdistill.model.dense import Encode, encode_images, encoded_strips
from segdistill.model.description import SegmentClass, SegmenterSettings, check_members
from segdistill.model.files import SegmenterParts, read_parts, write_parts
from segdistill.model.head import SegmentationHead
from segdistill.model.hub import CardFacts, model_folder, push_model
from segdistill.model.levels import Levels
from segdistill.model.prototypes import CodeMaps, Prototypes
from segdistill.model.upsampling import Upsampling, cleaned_mask
from segdistill.objective.clusters import class_similarity, cluster_similarity
from segdistill.storage import is_url

CELLS_AT_ONCE = 8192

TILE_SIDES = 2
"""A tile's side, as a multiple of the resolution: large enough to see the surroundings."""


class Segmenter(nn.Module):
    """Segments images into the classes that were found without labels.

    Args:
        backbone: frozen.
        preparation: of the backbone's features.
        head: from prepared features to codes, or ``None`` to cluster the features themselves.
        centres: of the clusters, shape (clusters, code channels); a class is made of one or more.
        settings: resolution and classes.
        prototypes: from which other numbers of classes can be made, if they were kept.
        levels: how the clusters are grouped into few, some or many classes, if that is known.
        code_maps: prototypes in some of the training images, if they were kept.

    As a module it maps images (batch, 3, height, width) in 0..1, sides multiples of the
    backbone's ``size_multiple``, to class scores: cosine similarities of shape (batch, classes,
    height / stride, width / stride), in -1..1.
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
        self.register_buffer("centres", F.normalize(centres, dim=1))
        self.settings = settings
        self.prototypes = prototypes
        self.levels = levels
        self.code_maps = code_maps
        self.compute: Compute = choose_compute("cpu", "32-true")
        self.budget = PixelBudget(self.compute.device)
        self.eval()

    @property
    def classes(self) -> tuple[SegmentClass, ...]:
        """The classes, in the order of their indices."""
        return self.settings.classes

    def with_classes(
        self,
        classes: Sequence[SegmentClass],
        centres: torch.Tensor,
        levels: Levels | None = None,
    ) -> "Segmenter":
        """Return a model with other classes; all else is shared with this one.

        Args:
            classes: in the order of their indices.
            centres: of their clusters, shape (clusters, code channels).
            levels: of these clusters, if they are known.
        """
        settings = replace(self.settings, classes=tuple(classes))
        parts = replace(self.parts, centres=centres, settings=settings, levels=levels)
        changed = Segmenter(**vars(parts)).to(self.centres.device)
        changed.compute, changed.budget = self.compute, self.budget
        return changed

    @property
    def parts(self) -> SegmenterParts:
        """All that the model is made of: what files hold and the constructor takes."""
        return SegmenterParts(*(getattr(self, each.name) for each in fields(SegmenterParts)))

    def place(self, device: DeviceName = "auto", precision: PrecisionName = "auto") -> "Segmenter":
        """Move to a device; returns itself.

        Raises:
            UserError: the device is not present.
        """
        return self.place_on(choose_compute(device, precision))

    def place_on(self, compute: Compute) -> "Segmenter":
        """Move to a device and a precision that were chosen already."""
        self.compute = compute
        self.budget = PixelBudget(compute.device)
        return self.to(compute.device)

    def features(self, images: torch.Tensor) -> torch.Tensor:
        """Return prepared features, shape (batch, channels, h, w); images as for the class."""
        return self._prepared(self.backbone(images))

    def _prepared(self, maps: torch.Tensor) -> torch.Tensor:
        raw = maps.permute(0, 2, 3, 1)  # (b, c, h, w) -> (b, h, w, c)
        prepared: torch.Tensor = self.preparation(raw.float())
        return prepared.permute(0, 3, 1, 2)  # (b, h, w, c) -> (b, c, h, w)

    def codes_of(self, features: torch.Tensor) -> torch.Tensor:
        """Return the codes of prepared features: (b, channels, h, w) to (b, codes, h, w)."""
        if self.head is None:
            return features
        codes: torch.Tensor = self.head(features.permute(0, 2, 3, 1))
        return codes.permute(0, 3, 1, 2)  # (b, h, w, d) -> (b, d, h, w)

    def codes_of_maps(self, maps: torch.Tensor) -> torch.Tensor:
        """Return the codes of what the backbone gives, shape (batch, backbone channels, h, w)."""
        return self.codes_of(self._prepared(maps))

    def encode(self, images: torch.Tensor) -> torch.Tensor:
        """Return codes, shape (batch, code channels, h, w); images as for the class."""
        return self.codes_of(self.features(images))

    def forward(self, images: torch.Tensor) -> torch.Tensor:
        """Return class scores; see the class for shapes and ranges."""
        return self.scores_of_codes(self.encode(images))

    def scores_of_codes(self, codes: torch.Tensor) -> torch.Tensor:
        """Return class scores.

        Args:
            codes: shape (batch, code channels, h, w).

        Returns:
            Cosine similarities of shape (batch, classes, h, w), in -1..1: of a class that is made
            of several clusters the largest.
        """
        similarity = cluster_similarity(codes, self.centres.to(codes.device))
        return class_similarity(similarity, [each.members for each in self.classes])

    def grid_features(
        self, image: NDArray[np.uint8], *, resolution: int | None = None
    ) -> torch.Tensor:
        """Return prepared features, shape (1, channels, h, w); all else as :meth:`grid_codes`."""
        viewed = self.viewed(image, resolution=resolution)
        return self._dense([viewed], self._prepared, mirror=False).cpu()

    def grid_codes(
        self, image: NDArray[np.uint8], *, mirror: bool = False, resolution: int | None = None
    ) -> torch.Tensor:
        """Return codes on the backbone's grid, for an image of any size.

        Args:
            image: shape (height, width, 3).
            mirror: average with the codes of the mirrored image.
            resolution: shorter side at which the backbone sees the image; by default as in
                training. Images of more pixels than that show finer detail with a larger one.

        Returns:
            Tensor of shape (1, code channels, h, w), on the CPU.
        """
        return self.encode_viewed(self.viewed(image, resolution=resolution), mirror=mirror)

    def encode_viewed(self, image: NDArray[np.uint8], *, mirror: bool = False) -> torch.Tensor:
        """Return :meth:`grid_codes` of an image that :meth:`viewed` brought to its size."""
        return self._dense([image], self.codes_of_maps, mirror=mirror).cpu()

    def viewed(
        self, image: NDArray[np.uint8], *, resolution: int | None = None
    ) -> NDArray[np.uint8]:
        """Bring an image of any size to that at which the backbone sees it."""
        chosen = resolution or self.settings.resolution
        return Viewing(chosen, self.backbone.size_multiple).apply(image)

    def _dense(
        self, images: Sequence[NDArray[np.uint8]], finish: Encode, *, mirror: bool
    ) -> torch.Tensor:
        self.eval()  # dropout has no place here, whoever trained this module on
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
            # In full precision, as in training: it costs little beside the backbone.
            return finish(maps)

        @torch.no_grad()
        def run(images: torch.Tensor) -> torch.Tensor:
            return self.budget.run(encode, images)

        return run

    @property
    def tile(self) -> int:
        """Longest side, in pixels, of what goes through the backbone in one piece."""
        return TILE_SIDES * self.settings.resolution

    def score_strips(
        self,
        read: Callable[[slice, slice], NDArray[np.uint8]],
        size: tuple[int, int],
        *,
        mirror: bool = False,
    ) -> Iterator[tuple[slice, torch.Tensor]]:
        """Yield class scores of an image of which no more than a few tiles are held.

        Args:
            read: gives the part of the image in some rows and columns, shape (rows, columns, 3), at
                the size at which the backbone sees it.
            size: height and width of the whole at that size.
            mirror: average with the mirrored image.

        Yields:
            Rows of the grid, from top to bottom, and cosine similarities there, of shape (1,
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
        """Return :meth:`grid_scores` of images that :meth:`viewed` brought to one size.

        Returns:
            Cosine similarities of shape (images, classes, h, w), in -1..1, on the CPU.
        """
        return self.scores_and_distances(images, mirror=mirror)[0]

    def scores_and_distances(
        self, images: Sequence[NDArray[np.uint8]], *, mirror: bool = False
    ) -> tuple[torch.Tensor, list[float | None]]:
        """Return class scores of images, and how unlike the training images they are.

        Returns:
            Scores, as :meth:`scores_of_viewed` returns them; and for each image the mean cosine
            distance of its codes from their nearest prototypes, from 0 to 2, to be compared with
            :attr:`unusual_above`; ``None`` if the model keeps no prototypes.
        """
        codes = self._dense(images, self.codes_of_maps, mirror=mirror)
        scores = self.scores_of_codes(codes).cpu()
        if self.prototypes is None:
            return scores, [None] * len(images)
        directions = F.normalize(self.prototypes.vectors.to(codes), dim=1)
        return scores, [_mean_distance(each, directions) for each in codes]

    @property
    def unusual_above(self) -> float | None:
        """Distance above which an image is unlike the training images; ``None`` if unknown."""
        return None if self.code_maps is None else self.code_maps.unusual_above

    def read(self, path: Path) -> NDArray[np.uint8]:
        """Read an image as the training images were read, which matters for GeoTIFFs.

        Returns:
            Array of shape (height, width, 3).

        Raises:
            UnreadableImageError: the file cannot be decoded.
        """
        return read_image(path, self.settings.raster)

    def segment(
        self,
        image: str | Path | Image.Image | NDArray[np.uint8],
        *,
        mirror: bool = False,
        resolution: int | None = None,
        upsampling: Upsampling = "guided",
        min_region: float = MIN_REGION,
    ) -> NDArray[np.uint8]:
        """Segment an image of any size.

        Args:
            image: a file, a Pillow image (both are turned upright by their EXIF orientation), or
                an array of shape (height, width, 3).
            mirror: average with the mirrored image: a little better, twice the time.
            resolution: shorter side at which the backbone sees the image; by default as in
                training.
            upsampling: ``guided`` follows the edges of the image, ``bilinear`` does not.
            min_region: share of the image that a connected region needs; smaller ones join a
                neighbour, 0 keeps all.

        Returns:
            Class indices of shape (height, width), the image's own size.

        Raises:
            UnreadableImageError: the file cannot be decoded.
        """
        if isinstance(image, str | Path):
            if is_url(image):
                raise UserError(f"{image}: a URL; segdistill.segment reads from there")
            pixels = self.read(Path(image))
        elif isinstance(image, Image.Image):
            pixels = to_rgb(ImageOps.exif_transpose(image))
        elif isinstance(image, np.ndarray):
            pixels = image
        else:
            raise UserError(
                f"an image of type {type(image).__name__}: must be a path, a Pillow image or an"
                " array; segdistill.segment takes several"
            )
        scores = self.grid_scores(pixels, mirror=mirror, resolution=resolution)
        return cleaned_mask(scores, pixels, upsampling=upsampling, min_region=min_region)

    def save(self, folder: str | Path, *, overwrite: bool = False) -> None:
        """Write the model into a folder, as safetensors and JSON.

        The backbone's weights are not written, only its name and fingerprint.

        Raises:
            UserError: the folder holds a model already and ``overwrite`` is not set, or it cannot
                be written.
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
        """Read a model from a run folder.

        Args:
            folder: a run folder, or any that :meth:`save` wrote.
            backbone: where the backbone lies now, if it has moved since.
            device: where to compute.
            precision: of matrix products.

        Raises:
            UserError: the folder holds no model, or not one that this version can read, or the
                backbone is not the one it was trained with.
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
        """Read a model from the Hugging Face hub, or from a folder.

        Args:
            source: a hub id such as ``someone/street-scenes``, or a run folder.
            revision: branch, tag or commit of the repository.
            backbone: as for :meth:`load`.
            device: the same.
            precision: the same.

        Raises:
            UserError: the model cannot be had, or not be read, or its backbone cannot.
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
        """Share the model on the Hugging Face hub, with a card; the backbone's weights stay out.

        Args:
            repo_id: such as ``someone/street-scenes``; made if it is not there.
            private: whether a new repository is seen by its owner alone.
            overwrite: replace a model that the repository holds; the hub keeps the former one in
                its history.
            facts: settings and scores for the card; :func:`segdistill.push` finds those of a run.

        Returns:
            The address of the commit.

        Raises:
            UserError: the hub cannot be reached, or does not take the model, or holds one already.
        """
        return push_model(self.parts, repo_id, private=private, overwrite=overwrite, facts=facts)


def _mean_distance(codes: torch.Tensor, directions: torch.Tensor) -> float:
    """Return the mean cosine distance of codes (channels, h, w) from the nearest direction."""
    cells = F.normalize(codes.flatten(1).mT.float(), dim=1)  # (c, h, w) -> (cells, c)
    parts = (part @ directions.mT for part in torch.split(cells, CELLS_AT_ONCE))
    return sum(float((1 - part.amax(dim=1)).sum()) for part in parts) / len(cells)
