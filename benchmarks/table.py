"""The table of all benchmarks: its rows, and how times and memory are measured."""

import json
import os
import platform
import tempfile
import time
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path

import torch
from torch.profiler import ProfilerActivity, profile

from segdistill.devices import Compute

Work = Callable[[], object]

CPU = torch.device("cpu")
HEADINGS = (
    *("what", "size", "plain ms", "this ms", "ratio", "floor ms"),
    *("plain MB", "this MB", "share", "agreement"),
)


@dataclass(frozen=True)
class Conditions:
    """How to measure.

    Attributes:
        compute: device and precision.
        runs: number of runs, of which the best counts.
        smallest: use tiny sizes, only to check that implementations agree; times are meaningless.
    """

    compute: Compute
    runs: int
    smallest: bool = False

    @property
    def device(self) -> torch.device:
        return self.compute.device

    def at_most(self, runs: int) -> int:
        """Return the number of runs for slow work."""
        return min(self.runs, runs)


@dataclass(frozen=True)
class Agreement:
    """How much two implementations differ, and how much they may."""

    what: str
    difference: float
    bound: float

    @property
    def holds(self) -> bool:
        return self.difference <= self.bound  # False for NaN, too

    def __str__(self) -> str:
        return f"{self.what}: {self.difference:.1g}, at most {self.bound:g}"


@dataclass(frozen=True)
class Row:
    """One measurement.

    Attributes:
        name: name of the benchmark, as given to `--only`.
        what: what is measured.
        size: size of the input, and the unit of work that the times are for.
        agreement: agreement of the two implementations, or why it was not measured.
        this: milliseconds of the library's implementation.
        plain: milliseconds of the plain implementation, if there is one.
        floor: milliseconds below which no implementation can get, if known. Without a plain
            implementation, the ratio is the floor divided by ``this``.
        memory: peak megabytes of the plain implementation and of the library's.
    """

    name: str
    what: str
    size: str
    agreement: Agreement | str
    this: float
    plain: float | None = None
    floor: float | None = None
    memory: tuple[float, float] | None = None

    @property
    def holds(self) -> bool:
        return isinstance(self.agreement, str) or self.agreement.holds

    def line(self) -> str:
        """Return the row in Markdown."""
        compared = self.floor if self.plain is None else self.plain
        ratio = "" if compared is None else f"{compared / self.this:.2f}"
        if ratio and self.plain is None:
            ratio += " of the floor"
        cells = [f"`{self.name}` {self.what}", self.size, _number(self.plain), _number(self.this)]
        cells += [ratio, _number(self.floor), *_memory_cells(self.memory), str(self.agreement)]
        return f"| {' | '.join(cells)} |"


def heading() -> str:
    """Return the first two lines of the table."""
    return f"| {' | '.join(HEADINGS)} |\n|{'---|' * len(HEADINGS)}"


def circumstances(conditions: Conditions) -> str:
    """Return the conditions of the measurement: versions, device, load."""
    load = f", load {os.getloadavg()[0]:.1f}" if hasattr(os, "getloadavg") else ""
    return (
        f"torch {torch.__version__}, {_device_name(conditions.device)},"
        f" {conditions.compute.precision}, threads: {torch.get_num_threads()} of"
        f" {os.cpu_count()} cores, {platform.machine()}{load}; best of {conditions.runs}"
    )


def best_of(
    runs: int, *forms: Work, device: torch.device = CPU, overlapped: bool = False
) -> list[float]:
    """Return the milliseconds of each implementation's best run, running them in turn.

    Args:
        runs: number of runs of each.
        forms: implementations, called without arguments; one-time work should be done before.
        device: device that they compute on.
        overlapped: the work uses several threads at once, whose processor time would be counted
            twice.
    """
    rounds = [
        [milliseconds(form, device=device, overlapped=overlapped) for form in forms]
        for _ in range(runs)
    ]
    return [min(times) for times in zip(*rounds, strict=True)]


def milliseconds(work: Work, *, device: torch.device = CPU, overlapped: bool = False) -> float:
    """Return the milliseconds of one call; arguments as for :func:`best_of`.

    One thread on the CPU is measured in processor time, so that other work on the machine has
    little effect; everything else in wall-clock time.
    """
    alone = device.type == "cpu" and torch.get_num_threads() == 1 and not overlapped
    clock = time.process_time if alone else time.perf_counter
    _wait_for(device)
    start = clock()
    work()
    _wait_for(device)
    return (clock() - start) * 1000


def peak_megabytes(work: Work, device: torch.device) -> float | None:
    """Return the peak megabytes of tensors in a call, beyond those allocated before.

    ``None`` if the device does not report it.
    """
    if device.type == "cuda":
        torch.cuda.reset_peak_memory_stats(device)
        before = torch.cuda.memory_allocated(device)
        work()
        return (torch.cuda.max_memory_allocated(device) - before) / 1e6
    return _profiled_megabytes(work) if device.type == "cpu" else None


def both_megabytes(plain: Work, this: Work, device: torch.device) -> tuple[float, float] | None:
    """Return :func:`peak_megabytes` of both implementations, or ``None`` if it is not reported."""
    held = peak_megabytes(plain, device), peak_megabytes(this, device)
    return None if held[0] is None or held[1] is None else (held[0], held[1])


def _profiled_megabytes(work: Work) -> float:
    with profile(activities=[ProfilerActivity.CPU], profile_memory=True) as profiler:
        work()
    with tempfile.TemporaryDirectory() as folder:
        trace = Path(folder) / "trace.json"
        profiler.export_chrome_trace(str(trace))
        events = json.loads(trace.read_text())["traceEvents"]
    changes = [event["args"] for event in events if event["name"] == "[memory]"]
    before = int(changes[0]["Total Allocated"]) - int(changes[0]["Bytes"])
    return (max(int(change["Total Allocated"]) for change in changes) - before) / 1e6


def _wait_for(device: torch.device) -> None:
    if device.type == "cuda":
        torch.cuda.synchronize(device)
    elif device.type == "mps":
        torch.mps.synchronize()


def _device_name(device: torch.device) -> str:
    if device.type == "cuda":
        return torch.cuda.get_device_name(device)
    described = Path("/proc/cpuinfo")
    if device.type == "cpu" and described.exists():
        for line in described.read_text().splitlines():
            key, _, value = line.partition(":")
            if key.strip() == "model name":
                return f"{value.strip()} (cpu)"
    return f"{platform.processor() or platform.machine()} ({device.type})"


def _number(value: float | None) -> str:
    """Format with three significant digits, or as an integer from 100 on."""
    if value is None:
        return ""
    return f"{value:,.0f}" if value >= 100 else f"{value:.3g}"


def _memory_cells(memory: tuple[float, float] | None) -> list[str]:
    if memory is None:
        return ["", "", ""]
    plain, this = memory
    return [_number(plain), _number(this), f"{this / plain:.2f}"]
