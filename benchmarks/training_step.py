"""A training step from stored features beside its plain form, on one thread.

A step reads features in half precision, prepares them, works out codes, STEGO's objective and the
gradient of the head. The plain form does so on whole maps; this form looks only at what is sampled.
Both are given the same features, places, pairs and random numbers.

Prints a Markdown table: milliseconds of processor time a step, the best of several with the
programs in turn; a floor, which is the bare matrix products of this form; the most memory that the
tensors of a step hold beside the stored features; how far the gradients differ, as a share of the
largest.

    python -m benchmarks.training_step
"""

import argparse
import json
import platform
import tempfile
import time
from collections.abc import Callable
from pathlib import Path

import torch
from tests.plain.step_case import (
    StepCase,
    StepShape,
    made_case,
    plain_step,
    read_batch,
    this_step,
)
from torch.profiler import ProfilerActivity, profile

from segdistill.config.settings import ObjectiveSettings

RUNS = 10
OBJECTIVE = ObjectiveSettings(feature_dropout=0.1)
SHAPES = {
    "28x28, 384 channels": StepShape(28, 28, (384,), objective=OBJECTIVE),
    "44x60, 384 channels": StepShape(44, 60, (384,), objective=OBJECTIVE),
    "30x40, 472 channels to 128": StepShape(30, 40, (40, 112, 320), 128, objective=OBJECTIVE),
}
SMALLEST = StepShape(
    6, 5, (8, 12), 10, code_channels=7, batch=3, objective=ObjectiveSettings(samples=3)
)
HEADINGS = (
    *("maps", "plain ms", "this ms", "ratio", "floor ms"),
    *("plain MB", "this MB", "share", "gradients differ"),
)
FORMS: dict[str, Callable[[StepCase], torch.Tensor]] = {"plain": plain_step, "this": this_step}


def milliseconds(work: Callable[[], object]) -> float:
    start = time.process_time()
    work()
    return (time.process_time() - start) * 1000


def bare_products(case: StepCase) -> Callable[[], object]:
    """The matrix products that the loss and its gradient take where they are sampled."""
    batch, head = read_batch(case), case.head
    # Images fill their cells up to those of the image that needs most: count what they need.
    parts = (batch.images, batch.positives)
    cells = sum(int((part.nearest.amax(dim=(1, 2)) + 1).sum()) for part in parts)
    images, each, kinds = len(batch.partners[0]), batch.places, 2 + len(batch.partners)
    raw, features, codes = len(case.preparation.mean), *reversed(head.linear.weight.shape)
    places = 3 * images * each
    products = [
        (1, (cells, features), (features, features)),  # the hidden layer
        (1, (features, cells), (cells, features)),  # its gradient
        (2, (places, features), (features, codes)),  # the linear layers
        (2, (codes, places), (places, features)),  # their gradients
        (1, (places, codes), (codes, features)),
        (kinds, (images, each, features), (images, features, each)),  # correlations of features
        (kinds, (images, each, codes), (images, codes, each)),  # correlations of codes
        (2 * kinds, (images, each, each), (images, each, codes)),  # their gradients
    ]
    if case.preparation.components is not None:
        products.append((1, (cells, raw), (raw, features)))
    operands = [(count, torch.randn(left), torch.randn(right)) for count, left, right in products]

    def work() -> None:
        for count, left, right in operands:
            for _ in range(count):
                torch.matmul(left, right)

    return work


def megabytes(form: str, case: StepCase) -> float:
    """The most that tensors hold in a step, beyond what it is given."""
    case.head.zero_grad()
    with profile(activities=[ProfilerActivity.CPU], profile_memory=True) as profiler:
        FORMS[form](case)
    with tempfile.TemporaryDirectory() as folder:
        trace = Path(folder) / "trace.json"
        profiler.export_chrome_trace(str(trace))
        events = json.loads(trace.read_text())["traceEvents"]
    changes = [event["args"] for event in events if event["name"] == "[memory]"]
    before = int(changes[0]["Total Allocated"]) - int(changes[0]["Bytes"])
    return (max(int(change["Total Allocated"]) for change in changes) - before) / 1e6


def gradient(form: str, case: StepCase) -> torch.Tensor:
    torch.manual_seed(0)
    FORMS[form](case)
    return torch.cat(
        [weight.grad.flatten() for weight in case.head.parameters() if weight.grad is not None]
    )


def row(name: str, shape: StepShape, runs: int) -> str:
    case = made_case(shape)
    plain_gradient = gradient("plain", case)
    difference = (gradient("this", case) - plain_gradient).abs().max() / plain_gradient.abs().max()
    floor = bare_products(case)
    rounds = [
        [milliseconds(lambda form=form: form(case)) for form in FORMS.values()]  # type: ignore[misc]
        + [milliseconds(floor)]
        for _ in range(runs)
    ]
    plain, this, least = (min(times) for times in zip(*rounds, strict=True))
    cells = [name, f"{plain:.0f}", f"{this:.0f}", f"{plain / this:.1f}", f"{least:.0f}"]
    memory = [megabytes(form, case) for form in FORMS]
    cells += [*(f"{size:.1f}" for size in memory), f"{memory[1] / memory[0]:.2f}"]
    return f"| {' | '.join([*cells, f'{difference:.0e}'])} |"


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--smallest", action="store_true", help="only one tiny step, to try it out")
    parser.add_argument("--runs", type=int, default=RUNS)
    options = parser.parse_args()
    torch.set_num_threads(1)
    runs = 1 if options.smallest else options.runs
    print(f"torch {torch.__version__}, 1 thread, {platform.machine()}, best of {runs}", end="; ")
    print("batches of 16, 11x11 places, codes of 70 channels, dropout 0.1\n")
    print(f"| {' | '.join(HEADINGS)} |\n|{'---|' * len(HEADINGS)}", flush=True)
    for name, shape in ({"smallest": SMALLEST} if options.smallest else SHAPES).items():
        print(row(name, shape, runs), flush=True)


if __name__ == "__main__":
    main()
