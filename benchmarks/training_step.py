"""A training step from stored features, compared with its plain implementation.

A step reads features in half precision, prepares them, and computes codes, STEGO's objective and
the gradient of the head. The plain implementation does this on whole maps, the library only at the
sampled locations. Both get the same features, locations, pairs and random numbers.

The floor is the library's matrix products alone, in single precision. Memory is that of the tensors
of a step, without the stored features.
"""

from collections.abc import Callable, Iterator

import torch
import torch.nn.functional as F
from tests.plain.step_case import (
    StepCase,
    StepShape,
    made_case,
    plain_step,
    read_batch,
    this_step,
)

from benchmarks.table import Agreement, Conditions, Row, best_of, both_megabytes
from segdistill.config.settings import ObjectiveSettings, PrecisionName
from segdistill.devices import has_bfloat16

NAME = "training-step"
OBJECTIVE = ObjectiveSettings(feature_dropout=0.1)
SHAPES = (
    StepShape(28, 28, (384,), objective=OBJECTIVE),
    StepShape(44, 60, (384,), objective=OBJECTIVE),
    StepShape(30, 40, (40, 112, 320), 128, objective=OBJECTIVE),
    StepShape(28, 28, (384,), objective=OBJECTIVE, pairs="shared"),
    StepShape(30, 40, (472,), objective=OBJECTIVE, pairs="shared"),
)
SMALLEST = StepShape(
    6, 5, (8, 12), 10, code_channels=7, batch=3, objective=ObjectiveSettings(samples=3)
)
GRADIENT_BOUND = 1e-5
"""How much gradients may differ, as a share of the largest."""

BFLOAT16_BOUND = 1e-3
"""1 - cosine of gradients, where products are computed in bfloat16."""


def rows(conditions: Conditions) -> Iterator[Row]:
    precisions: list[PrecisionName] = ["32-true"]
    if has_bfloat16(conditions.device.type):
        precisions.append("bf16-mixed")
    for shape in (SMALLEST,) if conditions.smallest else SHAPES:
        for precision in precisions:
            yield row(shape, precision, conditions)


def row(shape: StepShape, precision: PrecisionName, conditions: Conditions) -> Row:
    device = conditions.device
    case = made_case(shape, device=device)

    def plain() -> torch.Tensor:
        return plain_step(case)

    def this() -> torch.Tensor:
        return this_step(case, precision)

    wanted, found = gradient(plain, case), gradient(this, case)
    if precision == "32-true":
        difference = (found - wanted).abs().max() / wanted.abs().max()
        agreement = Agreement("gradients", difference.item(), GRADIENT_BOUND)
    else:
        difference = 1 - F.cosine_similarity(found, wanted, dim=0)
        agreement = Agreement("1 - cosine of gradients", difference.item(), BFLOAT16_BOUND)
    times = best_of(conditions.runs, plain, this, bare_products(case), device=device)
    case.head.zero_grad()
    channels = f"{sum(shape.groups)} channels"
    if shape.components is not None:
        channels += f" to {shape.components}"
    samples = shape.objective.samples
    return Row(
        NAME,
        f"a step from stored features, with gradients, {precision}",
        f"{shape.batch} images, {shape.height}x{shape.width} cells, {channels},"
        f" {samples}x{samples} locations, {shape.pairs} pairs; per step",
        agreement,
        plain=times[0],
        this=times[1],
        floor=times[2],
        memory=both_megabytes(plain, this, device),
    )


def gradient(step: Callable[[], object], case: StepCase) -> torch.Tensor:
    torch.manual_seed(0)  # both drop the same channels
    step()
    return torch.cat(
        [weight.grad.flatten() for weight in case.head.parameters() if weight.grad is not None]
    )


def bare_products(case: StepCase) -> Callable[[], object]:
    """Return the matrix products of the loss and its gradient at the sampled locations."""
    batch, head, device = read_batch(case), case.head, case.device
    # Cells are padded to those of the image that needs most; count only what is needed.
    parts = batch.parts_read
    cells = sum(int((part.nearest.amax(dim=(1, 2)) + 1).sum()) for part in parts)
    images, each = parts[-1].nearest.shape[:2]
    kinds = 2 + len(batch.partners)
    raw, features, codes = len(case.preparation.mean), *reversed(head.linear.weight.shape)
    locations = sum(part.nearest.shape[0] * part.nearest.shape[1] for part in parts)
    products = [
        (1, (cells, features), (features, features)),  # the hidden layer
        (1, (features, cells), (cells, features)),  # its gradient
        (2, (locations, features), (features, codes)),  # the linear layers
        (2, (codes, locations), (locations, features)),  # their gradients
        (1, (locations, codes), (codes, features)),
        (kinds, (images, each, features), (images, features, each)),  # correlations of features
        (kinds, (images, each, codes), (images, codes, each)),  # correlations of codes
        (2 * kinds, (images, each, each), (images, each, codes)),  # their gradients
    ]
    if case.preparation.components is not None:
        products.append((1, (cells, raw), (raw, features)))
    operands = [
        (count, torch.randn(left, device=device), torch.randn(right, device=device))
        for count, left, right in products
    ]

    def work() -> None:
        for count, left, right in operands:
            for _ in range(count):
                torch.matmul(left, right)

    return work
