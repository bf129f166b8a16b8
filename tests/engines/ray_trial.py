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
from segdistill.engines.work import Item, Result
from segdistill.errors import UserError


@dataclass(frozen=True)
class Trial:
    """Doubles numbers, or does not."""

    kind: str
    device: str = "auto"

    def start(self, *, threads: int) -> Callable[[Sequence[Item]], Iterator[Result]]:
        if self.kind == "failing":
            raise RuntimeError("the driver is too old")

        def double(items: Sequence[Item]) -> Iterator[Result]:
            for item in items:
                if self.kind == "killing" and item.name == "5":
                    os.kill(os.getpid(), signal.SIGKILL)
                facts = {"number": 2 * int(item.name), "threads": threads}
                yield Result(item.name, "doubled", facts=facts)

        return double


def main() -> None:
    import ray  # noqa: PLC0415 - an extra

    kind, gpus, workers = sys.argv[1], int(sys.argv[2]), int(sys.argv[3])
    machine: Any = {"num_cpus": 2, "num_gpus": gpus}
    ray.init(address="local", include_dashboard=False, log_to_driver=False, **machine)
    items = [Item(str(number), "doubled") for number in range(11)]
    try:
        done = list(run_in_ray(Trial(kind), items, workers=workers, batch=4))
    except UserError as error:
        sys.stdout.write(f"UserError: {error}\n")
        return
    facts = [result.facts for result in done]
    numbers, threads = sorted(each["number"] for each in facts), {each["threads"] for each in facts}
    sys.stdout.write(f"{numbers} {threads}\n")


if __name__ == "__main__":
    main()
