"""All figures of a GPU in one go, within six minutes: a table, and what is aimed at.

Compares training steps from the store, whole steps of ViT-B/8 with batches of 32 without it, and
`segment`, with their plain implementations or with the network alone, and fits CamVid twice (or
synthetic photos; see :mod:`benchmarks.fit_time`). Fails without a GPU, or where implementations
disagree.

    python -m benchmarks.on_a_gpu
"""

import sys

import torch

from benchmarks import fit_time
from benchmarks.__main__ import main as compare

AIMS = (
    "whole step without a store: at least 3 times as fast as the plain one",
    "loss and update: at most 10% of such a step",
    "`segment`: at least 0.9 of the network alone",
    "a fit on CamVid: at most 10 s",
)


def main() -> int:
    if not torch.cuda.is_available():
        print("no CUDA device found", file=sys.stderr)
        return 1
    print("Aims:", *AIMS, sep="\n- ", end="\n\n")
    failed = compare(
        ["--device", "cuda", "--runs", "3", "--only", "training-step", "whole-step", "throughput"]
    )
    print()
    fit_time.main(["--device", "cuda"])
    return failed


if __name__ == "__main__":
    sys.exit(main())
