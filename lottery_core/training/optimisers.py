"""SGD and Adam as `torch.optim` has them, on the same compiled functions.

`torch.optim` imports torch's compiler with its first optimiser, whether or not anything is to be
compiled: over a second of a process's start, and 70 MB.
"""

from __future__ import annotations

from collections.abc import Iterable

import torch

from lottery_core.spec.recipe import Recipe

_BETAS, _EPSILON = (0.9, 0.999), 1e-8  # Kingma and Ba 2014, and what every library takes


class Optimiser:
    """One step after another on parameters of one device; those without a gradient stay.

    Steps are `times` as long as the recipe says. What it remembers, a tensor a parameter: `sums`,
    the running sums of gradients and, for Adam, of their squares; `taken`, how many steps Adam has
    taken.
    """

    def __init__(
        self,
        parameters: Iterable[torch.nn.Parameter],
        recipe: Recipe,
        device: str,
        times: float = 1.0,
    ):
        self._parameters = [one for one in parameters if one.requires_grad]
        self._recipe, self._times = recipe, times
        self._rate: float | torch.Tensor = times * recipe.learning_rate
        if device == "cuda":  # a recorded step reads its rate from where it stood
            self._rate = torch.tensor(self._rate, device=device)
        sums = 2 if recipe.optimiser == "adam" else int(recipe.momentum > 0)
        self.sums = [[torch.zeros_like(one) for one in self._parameters] for _ in range(sums)]
        self.taken = [torch.zeros((), device=one.device) for one in self._parameters]

    def set_rate(self, rate: float) -> None:
        """The learning rate from the next step on; what the recipe says, before it is `times`."""
        if isinstance(self._rate, torch.Tensor):
            self._rate.fill_(self._times * rate)
        else:
            self._rate = self._times * rate

    def forget(self, parameter: torch.nn.Parameter, where: torch.Tensor) -> None:
        """Remember nothing of a parameter's numbers where that is True."""
        for n, one in enumerate(self._parameters):
            for of in self.sums if one is parameter else ():
                of[n].masked_fill_(where, 0)

    def zero_grad(self) -> None:
        """Forget the last gradients."""
        for one in self._parameters:
            one.grad = None

    @torch.no_grad()
    def step(self) -> None:
        """One step along the gradients."""
        moved = [n for n, one in enumerate(self._parameters) if one.grad is not None]
        kinds = {self._parameters[n].dtype for n in moved}  # one, unless a module is of two
        for kind in kinds:
            self._step([n for n in moved if self._parameters[n].dtype == kind])

    def _step(self, moved: list[int]) -> None:
        parameters = [self._parameters[n] for n in moved]
        gradients = [one.grad for one in parameters]
        sums = [[of[n] for n in moved] for of in self.sums]
        options = {"weight_decay": self._recipe.weight_decay, "lr": self._rate, "maximize": False}
        if self._recipe.optimiser == "sgd":
            options |= {"momentum": self._recipe.momentum, "dampening": 0.0, "nesterov": False}
            velocities = sums[0] if sums else []
            torch._fused_sgd_(parameters, gradients, velocities, is_first_step=False, **options)
            return
        taken = [self.taken[n] for n in moved]
        torch._foreach_add_(taken, 1)
        options |= {"beta1": _BETAS[0], "beta2": _BETAS[1], "eps": _EPSILON, "amsgrad": False}
        torch._fused_adam_(parameters, gradients, *sums, [], taken, **options)
