"""Adam without torch's compiler, which takes longer to import than many steps take."""

import inspect
from typing import Any

import torch


class Adam(torch.optim.Adam):
    """``torch.optim.Adam`` without the marks that make torch's compiler skip its methods.

    Calling a marked method imports the compiler, which takes more than a second. Nothing here is
    compiled.

    Example:
        >>> weight = torch.nn.Parameter(torch.tensor([1.0]))
        >>> optimiser = Adam([weight], lr=0.5)
        >>> weight.grad = torch.tensor([2.0])
        >>> optimiser.step()
        >>> round(weight.item(), 4)
        0.5
    """

    add_param_group = inspect.unwrap(torch.optim.Optimizer.add_param_group)
    zero_grad = inspect.unwrap(torch.optim.Optimizer.zero_grad)
    state_dict = inspect.unwrap(torch.optim.Optimizer.state_dict)
    load_state_dict = inspect.unwrap(torch.optim.Optimizer.load_state_dict)

    @torch.no_grad()
    def step(self, closure: Any = None) -> Any:
        """Take a step; as for ``torch.optim.Adam``."""
        return _STEP(self, closure)


_STEP = inspect.unwrap(torch.optim.Adam.step)
