"""Adam is torch's, without importing torch's compiler."""

import subprocess
import sys

import pytest
import torch

from segdistill.training.optimiser import Adam


def stepped(make: type[torch.optim.Adam]) -> tuple[torch.nn.Parameter, torch.optim.Adam]:
    weight = torch.nn.Parameter(torch.linspace(-1, 1, 30))
    probe = torch.nn.Parameter(torch.ones(3))
    optimiser = make([{"params": [weight], "lr": 0.01}, {"params": [probe], "lr": 0.1}])
    for number in range(6):
        optimiser.zero_grad(set_to_none=number % 2 == 0)
        (weight.sin().sum() + (probe**2).sum()).backward()  # type: ignore[no-untyped-call]
        optimiser.step()
        optimiser.load_state_dict(optimiser.state_dict())
    return weight, optimiser


def test_it_is_adam() -> None:
    found, optimiser = stepped(Adam)
    expected, plain = stepped(torch.optim.Adam)
    assert torch.equal(found, expected)
    for one, other in zip(
        optimiser.state_dict()["state"].values(), plain.state_dict()["state"].values(), strict=True
    ):
        assert all(torch.equal(one[name], other[name]) for name in ("exp_avg", "exp_avg_sq"))


@pytest.mark.slow  # a process of its own
def test_the_compiler_is_not_imported() -> None:
    code = (
        "import sys\n"
        "from tests.training.test_optimiser import stepped\n"
        "from segdistill.training.optimiser import Adam\n"
        "stepped(Adam)\n"
        "assert 'torch._dynamo' not in sys.modules\n"
    )
    subprocess.run([sys.executable, "-c", code], check=True)
