"""Measure the library's speed and memory and print one Markdown table.

Each row compares a plain implementation with the library's, on the same input. The command fails if
the two disagree.

    python -m benchmarks
    python -m benchmarks --only training-step neighbours --device cpu
    python -m benchmarks --smallest
"""

import argparse
import importlib
import sys
from collections.abc import Iterator, Sequence
from typing import get_args

import torch

from benchmarks.table import Conditions, Row, circumstances, heading
from segdistill.config.settings import DeviceName
from segdistill.devices import choose_compute

MODULES = {
    "training-step": "training_step",
    "farthest-points": "farthest_points",
    "neighbours": "neighbours",
    "backbone": "backbone",
    "throughput": "throughput",
    "whole-step": "whole_step",
    "crf": "dense_crf",
    "feature-store": "feature_store",
    "job": "job",
}


def main(arguments: Sequence[str] | None = None) -> int:
    options = parsed(arguments)
    torch.set_num_threads(options.threads)
    runs = 1 if options.smallest else options.runs
    conditions = Conditions(choose_compute(options.device), runs, options.smallest)
    print(f"{circumstances(conditions)}\n\n{heading()}", flush=True)
    failed = []
    for row in rows(options.only, conditions):
        print(row.line(), flush=True)
        if not row.holds:
            failed.append(row)
    for row in failed:
        print(f"{row.name}: {row.what}, {row.size}: {row.agreement}", file=sys.stderr)
    return 1 if failed else 0


def parsed(arguments: Sequence[str] | None) -> argparse.Namespace:
    parser = argparse.ArgumentParser(
        prog="python -m benchmarks",
        description=__doc__,
        formatter_class=argparse.RawDescriptionHelpFormatter,
    )
    parser.add_argument("--only", nargs="+", choices=MODULES, default=list(MODULES), metavar="NAME")
    parser.add_argument("--device", choices=get_args(DeviceName), default="auto")
    parser.add_argument("--runs", type=int, default=5, help="runs per row; the best counts")
    parser.add_argument("--threads", type=int, default=1, help="number of torch threads on the CPU")
    parser.add_argument(
        "--smallest",
        action="store_true",
        help="tiny sizes: only check that the implementations agree",
    )
    return parser.parse_args(arguments)


def rows(names: Sequence[str], conditions: Conditions) -> Iterator[Row]:
    for name in names:
        yield from importlib.import_module(f"benchmarks.{MODULES[name]}").rows(conditions)


if __name__ == "__main__":
    sys.exit(main())
