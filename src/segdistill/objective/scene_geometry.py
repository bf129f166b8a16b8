"""Unprojection of depth maps to 3-D points, and depth normalisation.

Depth is the distance along the viewing axis, shape (batch, height, width), in any unit. Unknown
depth is NaN (or infinity) and stays unknown. Points have shape (batch, height * width, 3), in
row-major order of the cells.
"""

import math

import torch

FIELD_OF_VIEW = 60.0
"""Horizontal field of view in degrees, between those of a phone's main camera (about 69) and of a
35 mm lens (about 54)."""

RELEASED_FIELD_OF_VIEW = 90.0
RELEASED_STRETCH = 5.0


def normalise_depth(depth: torch.Tensor) -> torch.Tensor:
    """Scale each depth map to 0 (nearest) .. 1 (farthest): DepthG's min-max normalisation.

    Constant maps become 0.

    Example:
        >>> normalise_depth(torch.tensor([[[2.0, 3.0, 4.0]]]))
        tensor([[[0.0000, 0.5000, 1.0000]]])
    """
    known = depth.isfinite()
    nearest = depth.where(known, math.inf).amin(dim=(1, 2), keepdim=True)
    farthest = depth.where(known, -math.inf).amax(dim=(1, 2), keepdim=True)
    spread = farthest - nearest
    scaled = (depth - nearest) / spread.where(spread > 0, 1.0)
    return scaled.where(known, math.nan)


def unproject(depth: torch.Tensor, *, field_of_view: float = FIELD_OF_VIEW) -> torch.Tensor:
    """Unproject cell centres to 3-D points with a pinhole camera model.

    The principal point is the centre of the map, and cells are square. x points right, y down and z
    forward.

    Args:
        depth: depth proportional to metres (not inverse depth). Prefer it unnormalised: scaling to
            0..1 puts the nearest cells at the camera itself.
        field_of_view: horizontal field of view, in degrees, between 0 and 180.

    Returns:
        Points (x, y, z) in the unit of the depth; NaN where depth is unknown or negative.

    Example:
        >>> unproject(torch.full((1, 1, 2), 2.0), field_of_view=90).round(decimals=4)
        tensor([[[-1.,  0.,  2.],
                 [ 1.,  0.,  2.]]])
    """
    height, width = depth.shape[1:]
    known = depth.where(depth.isfinite() & (depth >= 0), math.nan)
    slope = math.tan(math.radians(field_of_view) / 2) / (width / 2)  # of a ray, per cell
    across = (torch.arange(width, device=depth.device) + 0.5 - width / 2) * slope
    down = (torch.arange(height, device=depth.device) + 0.5 - height / 2) * slope
    return _points(known * across, known * down[:, None], known)


def perspective_points(
    depth: torch.Tensor, *, field_of_view: float = FIELD_OF_VIEW
) -> torch.Tensor:
    """Return cell centres in perspective coordinates: ray direction and logarithm of depth.

    ``(x / z, y / z, log z)`` of the points returned by :func:`unproject`. Doubling the depth is the
    same distance at 2 m as at 100 m, and neither distant sky nor a near wall dominates, so
    locations that are far apart here cover both the image and the range of depths. A change of unit
    shifts all points equally and preserves their distances.

    Args:
        depth: depth in any unit.
        field_of_view: see :func:`unproject`.

    Returns:
        Points; NaN where depth is unknown or not positive.

    Example:
        >>> perspective_points(torch.tensor([[[1.0, 10.0]]]), field_of_view=90).round(decimals=4)
        tensor([[[-0.5000,  0.0000,  0.0000],
                 [ 0.5000,  0.0000,  2.3026]]])
    """
    rays = unproject(torch.ones_like(depth), field_of_view=field_of_view)
    logarithms = depth.where(depth.isfinite() & (depth > 0), math.nan).log().flatten(1)
    points = torch.stack([rays[..., 0], rays[..., 1], logarithms], dim=2)
    return points.where(logarithms.isfinite()[..., None], math.nan)


def released_unprojection(depth: torch.Tensor) -> torch.Tensor:
    """Return points as computed by DepthG's released code.

    Half of the 90 degrees is passed to the tangent as 45 radians, for both axes; rays pass through
    cell corners instead of centres; z points backward and is stretched by a factor of 5.

    Args:
        depth: depth in 0..1.

    Example:
        >>> released_unprojection(torch.ones(1, 2, 2))[0, 0].round(decimals=4)
        tensor([-1.6198, -1.6198, -5.0000])
    """
    height, width = depth.shape[1:]
    slope = math.tan(RELEASED_FIELD_OF_VIEW / 2)
    across = (torch.arange(width, device=depth.device) / (width / 2) - 1) * slope
    down = (torch.arange(height, device=depth.device) / (height / 2) - 1) * slope
    return _points(depth * across, depth * down[:, None], -RELEASED_STRETCH * depth)


def _points(x: torch.Tensor, y: torch.Tensor, z: torch.Tensor) -> torch.Tensor:
    """Stack coordinates, each of shape (batch, height, width), into (batch, height * width, 3)."""
    return torch.stack([x, y, z], dim=3).flatten(1, 2)
