"""A small piece of work for Ray, on a cluster that claims what it is reported to have.

python -m tests.engines.ray_trial {doubling,killing,failing} GPUS WORKERS
"""

import os
import signal
import sys
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass
from typing import Any

from segdistill.engines.ray_data import run_in_ray
from segdistill.engines.work import Row
from segdistill.errors import UserError


@dataclass(frozen=True)
class Trial:
    """Doubles numbers, or does not."""

    kind: str
    device: str = "auto"

    def start(self, *, threads: int) -> Callable[[Sequence[Row]], Iterator[Row]]:
        if self.kind == "failing":
            raise RuntimeError("the driver is too old")

        def double(rows: Sequence[Row]) -> Iterator[Row]:
            for row in rows:
                if self.kind == "killing" and row["number"] == 5:
                    os.kill(os.getpid(), signal.SIGKILL)
                yield {"number": 2 * row["number"], "threads": threads}

        return double


def main() -> None:
    import ray  # noqa: PLC0415 - an extra

    kind, gpus, workers = sys.argv[1], int(sys.argv[2]), int(sys.argv[3])
    machine: Any = {"num_cpus": 2, "num_gpus": gpus}
    ray.init(address="local", include_dashboard=False, log_to_driver=False, **machine)
    rows = [{"number": number} for number in range(11)]
    try:
        done = list(run_in_ray(Trial(kind), rows, workers=workers, batch=4))
    except UserError as error:
        sys.stdout.write(f"UserError: {error}\n")
        return
    numbers, threads = sorted(row["number"] for row in done), {row["threads"] for row in done}
    sys.stdout.write(f"{numbers} {threads}\n")


if __name__ == "__main__":
    main()
