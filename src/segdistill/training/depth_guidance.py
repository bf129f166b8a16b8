"""Depth guidance for a batch: depth-based sampling, and depth and 3-D points at locations."""

from collections.abc import Sequence
from typing import NamedTuple

import numpy as np
import torch
import torch.nn.functional as F

from segdistill.backbones import require_attention
from segdistill.config.settings import DepthSettings, FitSettings
from segdistill.decoding.decode import to_tensor
from segdistill.features.depth_maps import DepthMaps
from segdistill.features.extract import FeatureMaps
from segdistill.features.preparation import FeaturePreparation
from segdistill.objective.depth_sampling import (
    depth_and_feature_cells,
    depth_histogram_cells,
    farthest_points,
)
from segdistill.objective.sampling import (
    bilinear_neighbours,
    locations_of_cells,
    released_locations_of_cells,
    shares_of_locations,
)
from segdistill.objective.scene_geometry import (
    perspective_points,
    released_unprojection,
    unproject,
)


class Scene(NamedTuple):
    """The geometry of an image on its feature grid.

    Attributes:
        share: relative depth from 0 (nearest) to 1 (farthest), NaN where unknown, shape (h, w).
        points: 3-D points of the cells in row-major order, NaN where unknown, shape (h * w, 3).
    """

    share: torch.Tensor
    points: torch.Tensor


class SampledDepth(NamedTuple):
    """Depth at sampled locations of a batch of images, NaN where unknown.

    Attributes:
        shares: relative depth from 0 (nearest) to 1 (farthest), shape (batch, locations).
        points: 3-D points, shape (batch, locations, 3).
        attention: attention between locations, shape (batch, heads, locations, locations);
            ``None`` unless hidden positives need it.
    """

    shares: torch.Tensor
    points: torch.Tensor
    attention: torch.Tensor | None = None

    def of_images(self, chosen: torch.Tensor) -> "SampledDepth":
        """Return the depth of some images, given as positions in the batch."""
        return SampledDepth(
            self.shares[chosen],
            self.points[chosen],
            None if self.attention is None else self.attention[chosen],
        )


def read_scenes(
    depth: DepthMaps, images: Sequence[int], settings: FitSettings
) -> list[Scene | None]:
    """Read the scenes of the given views, ``None`` for views without any known depth."""
    scenes: list[Scene | None] = []
    for image in images:
        grid = depth[image]
        if grid is None or not np.isfinite(grid.share).any():
            scenes.append(None)
            continue
        share = torch.from_numpy(grid.share.copy())
        if settings.depth.as_released:
            if (settings.dataset or "").startswith("potsdam"):
                share = share.floor()  # the released loader casts 0..1 to whole numbers
            scenes.append(Scene(share, released_unprojection(share[None])[0]))
        else:
            distance = torch.from_numpy(grid.distance.copy())
            to_points = unproject if settings.depth.space == "metric" else perspective_points
            points = to_points(distance[None], field_of_view=settings.depth.field_of_view)
            scenes.append(Scene(share, points[0]))
    return scenes


def locations_by_depth(
    scenes: Sequence[Scene | None],
    locations: torch.Tensor,
    settings: DepthSettings,
    generator: torch.Generator,
    *,
    maps: FeatureMaps,
    images: Sequence[int],
    preparation: FeaturePreparation,
) -> torch.Tensor:
    """Draw locations by depth; images without depth keep their given locations.

    Args:
        locations: locations drawn without depth, (x, y) in -1..1, shape (batch, locations, 2).
        maps: raw feature maps, for sampling that also spreads locations in feature space.
        images: the index of the map for each entry of the batch.

    Returns:
        Locations in the same format as ``locations``.
    """
    known = [(entry, scene) for entry, scene in enumerate(scenes) if scene is not None]
    if settings.sampling == "random" or not known:
        return locations
    count = locations.shape[1]
    if settings.sampling == "histogram":
        chosen = [
            depth_histogram_cells(
                # Depth on the scale of the scene's points: logarithmic or linear.
                scene.points[:, 2].view(1, *scene.share.shape),
                count,
                generator=generator,
            )[0]
            for _, scene in known
        ]
    else:
        points = _padded([scene.points for _, scene in known])
        if settings.sampling == "farthest":
            chosen = list(farthest_points(points, count, generator=generator))
        else:
            prepared = [_prepared(maps, images[entry], preparation) for entry, _ in known]
            features = _padded(prepared, fill=0.0)
            chosen = list(depth_and_feature_cells(points, features, count, generator=generator))
    chosen = [
        _with_unknown_depth(cells, scene, generator)
        for cells, (_, scene) in zip(chosen, known, strict=True)
    ]
    to_locations = released_locations_of_cells if settings.as_released else locations_of_cells
    drawn = locations.clone()
    for (entry, scene), cells in zip(known, chosen, strict=True):
        drawn[entry] = to_locations(cells[None], *scene.share.shape)[0]
    return drawn


def _with_unknown_depth(
    cells: torch.Tensor, scene: Scene, generator: torch.Generator
) -> torch.Tensor:
    """Include cells of unknown depth in proportion to their share of the image.

    They replace the last of ``cells``, which has shape (locations,) and is in sampling order.
    """
    unknown = (~scene.share.flatten().isfinite()).nonzero()[:, 0]
    count = round(len(cells) * len(unknown) / scene.share.numel())
    if not count:
        return cells
    drawn = unknown[torch.randint(len(unknown), (count,), generator=generator)]
    return torch.cat([cells[: len(cells) - count], drawn])


def sample_depth(
    scenes: Sequence[Scene | None], locations: torch.Tensor, settings: DepthSettings
) -> SampledDepth:
    """Sample depth and points bilinearly at locations of shape (batch, locations, 2).

    Unknown values are NaN. With ``as_released``, depth is resized to a regular grid, regardless of
    the locations.
    """
    count = locations.shape[1]
    shares, points = [], []
    for scene, image_locations in zip(scenes, locations, strict=True):
        if scene is None:
            shares.append(torch.full((count,), torch.nan))
            points.append(torch.full((count, 3), torch.nan))
            continue
        cells, weights = bilinear_neighbours(image_locations, *scene.share.shape)
        points.append(_interpolate(scene.points[cells], weights[:, :, None]))
        if settings.as_released:
            side = round(count**0.5)
            small = F.interpolate(scene.share[None, None], (side, side), mode="bilinear")
            shares.append(small.flatten())
        else:
            shares.append(_interpolate(scene.share.flatten()[cells], weights))
    return SampledDepth(torch.stack(shares), torch.stack(points))


def attention_between(
    maps: FeatureMaps, images: Sequence[int], locations: torch.Tensor
) -> torch.Tensor:
    """Return the attention between locations, (batch, heads, locations, locations), on the CPU.

    The backbone runs again on the views, since attention maps are too large to store. Each
    location, given in shape (batch, locations, 2), uses its nearest cell.

    Raises:
        UserError: the backbone has no attention.
    """
    backbone = require_attention(maps.backbone)
    found = []
    for image, image_locations in zip(images, locations, strict=True):
        height, width = maps.grid(image)
        pixels = to_tensor(maps.views[image].load()).to(maps.compute.device)
        with torch.no_grad(), maps.compute.autocast():
            attention = backbone.attention(pixels)[0].float()  # (1, heads, n, n) -> (heads, n, n)
        shares = shares_of_locations(image_locations, height, width)
        columns = (shares[:, 0] * width).long().clamp(0, width - 1)
        rows = (shares[:, 1] * height).long().clamp(0, height - 1)
        cells = (rows * width + columns).to(attention.device)
        found.append(attention[:, cells][:, :, cells].cpu())
    return torch.stack(found)


def _interpolate(values: torch.Tensor, weights: torch.Tensor) -> torch.Tensor:
    # A NaN in a cell of weight 0 must not propagate.
    return torch.where(weights > 0, values * weights, 0.0).sum(dim=1)


def _padded(parts: Sequence[torch.Tensor], fill: float = torch.nan) -> torch.Tensor:
    """Stack tensors with different numbers of cells, padding with cells that are never sampled."""
    most = max(map(len, parts))
    return torch.stack([F.pad(part, (0, 0, 0, most - len(part)), value=fill) for part in parts])


def _prepared(maps: FeatureMaps, image: int, preparation: FeaturePreparation) -> torch.Tensor:
    raw = torch.from_numpy(maps[image].copy()).float().flatten(0, 1)  # (h, w, c) -> (cells, c)
    with torch.no_grad():
        prepared: torch.Tensor = preparation(raw.to(preparation.mean.device))
    return prepared.cpu()
