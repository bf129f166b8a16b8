"""Image locations: sampling, coordinate conversion and bilinear neighbours.

A location is (x, y) in -1..1, where -1 and 1 are the centres of the outermost cells of a map, as in
``torch.nn.functional.grid_sample`` with ``align_corners=True``.
"""

import torch


def random_locations(
    count: int, samples: int, *, generator: torch.Generator | None = None
) -> torch.Tensor:
    """Draw uniform random locations for each of ``count`` images, shape (count, samples, 2)."""
    return torch.rand(count, samples, 2, generator=generator) * 2 - 1


def regular_locations(side: int) -> torch.Tensor:
    """Return a regular grid of locations in row-major order, shape (side * side, 2).

    Example:
        >>> regular_locations(2).tolist()
        [[-0.5, -0.5], [0.5, -0.5], [-0.5, 0.5], [0.5, 0.5]]
    """
    centres = (torch.arange(side) + 0.5) / side * 2 - 1
    y, x = torch.meshgrid(centres, centres, indexing="ij")
    return torch.stack([x.flatten(), y.flatten()], dim=1)


def bilinear_neighbours(
    locations: torch.Tensor, height: int | torch.Tensor, width: int | torch.Tensor
) -> tuple[torch.Tensor, torch.Tensor]:
    """Return the four cells around each location and their bilinear weights.

    ``sum(weights * map[cells])`` equals the result of ``grid_sample``. Reading only these cells
    makes training steps cheap: a map has thousands of cells, and a step needs a few hundred.

    Args:
        locations: (x, y) in -1..1, shape (..., locations, 2); those outside are clamped to the
            border.
        height: height of the maps, in cells; for maps of several sizes, shape (..., 1), int64.
        width: width of the maps, in cells, likewise.

    Returns:
        Cells as row-major indices, int64, and weights that sum to 1, both of shape
        (..., locations, 4).

    Example:
        >>> cells, weights = bilinear_neighbours(torch.tensor([[0.5, 0.0]]), 1, 3)
        >>> float((weights * torch.arange(3.0)[cells]).sum())
        1.5
    """
    last_column, last_row = (torch.as_tensor(size - 1) for size in (width, height))
    # Clamped as a share, so that a location on the border is exactly on it.
    x = ((locations[..., 0] + 1) / 2).clamp(0, 1) * last_column
    y = ((locations[..., 1] + 1) / 2).clamp(0, 1) * last_row
    left, top = x.floor().long(), y.floor().long()
    right, bottom = (left + 1).minimum(last_column), (top + 1).minimum(last_row)
    across, down = x - left, y - top
    cells = torch.stack(
        [top * width + left, top * width + right, bottom * width + left, bottom * width + right],
        dim=-1,
    )  # (..., locations, 4)
    weights = torch.stack(
        [(1 - across) * (1 - down), across * (1 - down), (1 - across) * down, across * down], dim=-1
    )
    return cells, weights


def shares_of_locations(locations: torch.Tensor, height: int, width: int) -> torch.Tensor:
    """Convert locations of a map to relative image coordinates.

    Args:
        locations: locations of shape (..., 2).
        height: height of the map, in cells.
        width: width of the map, in cells.

    Returns:
        Fractions of the image width and height, 0 at the left or top edge and 1 at the right or
        bottom edge, shape (..., 2).

    Example:
        >>> shares_of_locations(torch.tensor([-1.0, 0.0]), 3, 4).tolist()
        [0.125, 0.5]
    """
    cells = locations.new_tensor([width, height])
    return ((locations + 1) / 2 * (cells - 1) + 0.5) / cells


def locations_of_shares(shares: torch.Tensor, height: int, width: int) -> torch.Tensor:
    """Invert :func:`shares_of_locations`; the outer half of the border cells is outside -1..1.

    Example:
        >>> locations_of_shares(torch.tensor([0.125, 0.5]), 3, 4).tolist()
        [-1.0, 0.0]
    """
    cells = shares.new_tensor([width, height])
    return (shares * cells - 0.5) / (cells - 1).clamp_min(1) * 2 - 1


def locations_of_cells(cells: torch.Tensor, height: int, width: int) -> torch.Tensor:
    """Return the locations of cell centres.

    Args:
        cells: row-major cell indices, shape (batch, locations).
        height: height of the map, in cells.
        width: width of the map, in cells.

    Returns:
        Locations of shape (batch, locations, 2).

    Example:
        >>> locations_of_cells(torch.tensor([[0, 2, 5]]), 2, 3)
        tensor([[[-1., -1.],
                 [ 1., -1.],
                 [ 1.,  1.]]])
    """
    x = (cells % width) / max(width - 1, 1) * 2 - 1
    y = (cells // width) / max(height - 1, 1) * 2 - 1
    return torch.stack([x, y], dim=2)


def released_locations_of_cells(cells: torch.Tensor, height: int, width: int) -> torch.Tensor:
    """Return locations as computed by DepthG's released code: transposed, without the far edge.

    Rows come first, where the sampler expects x, and rows and columns are divided by their number,
    so the last cell does not reach 1.

    Example:
        >>> released_locations_of_cells(torch.tensor([[0, 2]]), 4, 4)
        tensor([[[-1., -1.],
                 [-1.,  0.]]])
    """
    rows = (cells // width) / height * 2 - 1
    columns = (cells % width) / width * 2 - 1
    return torch.stack([rows, columns], dim=2)


def random_partners(
    count: int, neighbour_of: torch.Tensor | None = None, *, generator: torch.Generator
) -> torch.Tensor:
    """Draw a partner for each of ``count`` images: another image, and not its neighbour.

    Args:
        count: number of images.
        neighbour_of: the neighbour of each image if that is among the images, shape (count,).
        generator: a random number generator.

    Returns:
        Indices of shape (count,). Of two images, the other is the partner even if it is the
        neighbour.

    Example:
        >>> generator = torch.Generator().manual_seed(0)
        >>> random_partners(3, torch.tensor([1, 0, 1]), generator=generator).tolist()
        [2, 2, 0]
    """
    partners = permutation_without_fixed_points(count, generator=generator)
    if neighbour_of is None or count < 3:
        return partners
    for image in (partners == neighbour_of).nonzero()[:, 0].tolist():
        others = torch.ones(count, dtype=torch.bool)
        others[[image, int(neighbour_of[image])]] = False
        candidates = others.nonzero()[:, 0]
        partners[image] = candidates[torch.randint(len(candidates), (1,), generator=generator)]
    return partners


def permutation_without_fixed_points(
    count: int, *, generator: torch.Generator | None = None
) -> torch.Tensor:
    """Draw a random partner for each of ``count`` images, never the image itself, shape (count,).

    As in STEGO's code, an image that draws itself gets the next image instead, so two images may
    share a partner.

    Raises:
        ValueError: fewer than two images.
    """
    if count < 2:
        raise ValueError(f"count is {count}: a partner takes at least 2 images")
    partners = torch.randperm(count, generator=generator)
    own = torch.arange(count)
    return torch.where(partners == own, (own + 1) % count, partners)
