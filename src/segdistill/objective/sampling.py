"""Drawing locations in images, and reading maps there."""

import torch


def random_locations(
    count: int, samples: int, *, generator: torch.Generator | None = None
) -> torch.Tensor:
    """Draw locations evenly over the image.

    Args:
        count: number of images.
        samples: locations an image.
        generator: source of randomness.

    Returns:
        Tensor of shape (count, samples, 2) of (x, y) in -1..1, where -1 and 1 are the centres of
        the outermost cells, as :func:`bilinear_neighbours` takes them.
    """
    return torch.rand(count, samples, 2, generator=generator) * 2 - 1


def sample_map(maps: torch.Tensor, locations: torch.Tensor) -> torch.Tensor:
    """Read maps at locations, bilinearly (STEGO, section 3.2; the plain form).

    Args:
        maps: shape (batch, channels, height, width).
        locations: shape (batch, rows, columns, 2), of (x, y) in -1..1; -1 and 1 are the centres of
            the outermost cells. Locations outside take the value at the border.

    Returns:
        Tensor of shape (batch, channels, rows, columns).

    Example:
        >>> ramp = torch.arange(3.0).view(1, 1, 1, 3)
        >>> sample_map(ramp, torch.tensor([0.5, 0.0]).view(1, 1, 1, 2)).item()
        1.5
    """
    return torch.nn.functional.grid_sample(
        maps, locations, mode="bilinear", padding_mode="border", align_corners=True
    )


def bilinear_neighbours(
    locations: torch.Tensor, height: int, width: int
) -> tuple[torch.Tensor, torch.Tensor]:
    """Find the four cells around each location, and their bilinear weights.

    ``sum(weights * map[cells])`` equals :func:`sample_map`. Reading just these cells is what
    makes a training step cheap: a map has thousands of cells, of which a step needs a few hundred.

    Args:
        locations: shape (locations, 2), of (x, y) in -1..1.
        height: of the map, in cells.
        width: of the map, in cells.

    Returns:
        Cells as row-major indices, int64, and weights that sum to 1, both of shape (locations, 4).

    Example:
        >>> cells, weights = bilinear_neighbours(torch.tensor([[0.5, 0.0]]), 1, 3)
        >>> float((weights * torch.arange(3.0)[cells]).sum())
        1.5
    """
    x = ((locations[:, 0] + 1) / 2 * (width - 1)).clamp(0, width - 1)
    y = ((locations[:, 1] + 1) / 2 * (height - 1)).clamp(0, height - 1)
    left, top = x.floor().long(), y.floor().long()
    right, bottom = (left + 1).clamp(max=width - 1), (top + 1).clamp(max=height - 1)
    across, down = x - left, y - top
    cells = torch.stack(
        [top * width + left, top * width + right, bottom * width + left, bottom * width + right],
        dim=1,
    )  # (locations, 4)
    weights = torch.stack(
        [(1 - across) * (1 - down), across * (1 - down), (1 - across) * down, across * down], dim=1
    )
    return cells, weights


def shares_of_locations(locations: torch.Tensor, height: int, width: int) -> torch.Tensor:
    """Return where locations lie in the image, whatever its size.

    Args:
        locations: (x, y) in -1..1, where -1 and 1 are the centres of the outermost cells of a map,
            shape (..., 2).
        height: of the map, in cells.
        width: of the map, in cells.

    Returns:
        Shares of width and height, from 0 at the left or upper edge to 1, shape (..., 2).

    Example:
        >>> shares_of_locations(torch.tensor([-1.0, 0.0]), 3, 4).tolist()
        [0.125, 0.5]
    """
    cells = locations.new_tensor([width, height])
    return ((locations + 1) / 2 * (cells - 1) + 0.5) / cells


def locations_of_shares(shares: torch.Tensor, height: int, width: int) -> torch.Tensor:
    """Return the locations of a map that lie at given shares of an image.

    The inverse of :func:`shares_of_locations`; the outermost half cells have no place of their own
    and come out below -1 or above 1.

    Args:
        shares: of width and height, from 0 to 1, shape (..., 2).
        height: of the map, in cells.
        width: of the map, in cells.

    Returns:
        (x, y), shape (..., 2).

    Example:
        >>> locations_of_shares(torch.tensor([0.125, 0.5]), 3, 4).tolist()
        [-1.0, 0.0]
    """
    cells = shares.new_tensor([width, height])
    return (shares * cells - 0.5) / (cells - 1).clamp_min(1) * 2 - 1


def permutation_without_fixed_points(
    count: int, *, generator: torch.Generator | None = None
) -> torch.Tensor:
    """Draw random partners, none its own.

    As in STEGO's code, an entry that falls on itself is moved to the next, so two entries may
    share a partner.

    Args:
        count: number of images, at least 2.
        generator: source of randomness.

    Returns:
        Tensor of shape (count,), int64.

    Raises:
        ValueError: fewer than two images.
    """
    if count < 2:
        raise ValueError(f"count is {count}: a partner takes at least 2 images")
    partners = torch.randperm(count, generator=generator)
    own = torch.arange(count)
    return torch.where(partners == own, (own + 1) % count, partners)
