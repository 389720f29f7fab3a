"""Arms: ways to treat the same masks or densities, side by side.

An arm turns an experiment into the one it is compared with. All share level 0. An arm that
stands beside the experiment's own levels (see `experiment.CONTROLS`) costs one training a level
whichever level is asked for; one with a chain of its own costs its chain up to there.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass, replace

from lottery_core.spec.experiment import Experiment
from lottery_core.spec.own import short
from lottery_core.spec.rounds import Round


@dataclass(frozen=True)
class Arm:
    """`of` makes the arm of an experiment; level n of both belong together. `trains_on` says that
    its levels go on from one another: at level n it was trained n + 1 times as long as a ticket."""

    title: str
    summary: str
    of: Callable[[Experiment], Experiment]
    trains_on: bool = False


def _control(name: str) -> Callable[[Experiment], Experiment]:
    return lambda experiment: replace(experiment.trunk, control=name)


def _restarting(**changes) -> Callable[[Experiment], Experiment]:
    def of(experiment: Experiment) -> Experiment:
        rounds = tuple(replace(step, **changes) for step in experiment.rounds)
        return Experiment(experiment.recipe, rounds)

    return of


def _never_pruned(experiment: Experiment) -> Experiment:
    on = Round(sparsity=0.0, output_sparsity=0.0, restart="keep")
    return Experiment(experiment.recipe, (on,) * len(experiment.rounds))


ARMS = {
    "reinit": Arm(
        "random reinit",
        "the ticket's mask with new random weights",
        _control("reinit"),
    ),
    "random-mask": Arm(
        "random mask",
        "as many weights per layer, others than the ticket's, from their original values",
        _control("random-mask"),
    ),
    "reshuffled-reinit": Arm(
        "reshuffled mask, random reinit",
        "as many weights per layer, others than the ticket's, with new random weights",
        _control("reshuffled-reinit"),
    ),
    "fine-tune": Arm(
        "fine-tuned, no rewind",
        "the same rounds; survivors keep their trained weights and the last learning rate",
        _restarting(restart="keep", rewind_iteration=0),
        trains_on=True,
    ),
    "rate-rewind": Arm(
        "learning-rate rewinding",
        "the same rounds; survivors keep their trained weights, the learning rate starts over",
        _restarting(restart="rate-rewind"),
        trains_on=True,
    ),
    "dense-longer": Arm(
        "dense, equally long",
        "nothing is pruned; trained on for as many iterations as all levels up to there",
        _never_pruned,
        trains_on=True,
    ),
}


def at(name: str, experiment: Experiment, n: int) -> Experiment:
    """The arm at level `n` alone: its last level is level n of `ARMS[name].of(experiment)`, and a
    control trains none of its own levels before."""
    arm = ARMS[name].of(replace(experiment, rounds=experiment.rounds[:n]))
    if not arm.control:
        return arm
    return Experiment(arm.recipe, (*arm.rounds[:-1], arm.round(n)))


def arm_of(experiment: Experiment) -> str:
    """How an experiment treats its survivors: a name in `ARMS`, "dense" or "ticket"."""
    if experiment.control:
        return experiment.control
    if not experiment.rounds:
        return "dense"
    step = experiment.rounds[-1]
    if not step.sparsity:
        return "dense-longer"
    if step.reshuffled:
        return "reshuffled-reinit" if step.restart == "reinit" else "random-mask"
    return {"rewind": "ticket", "keep": "fine-tune"}.get(step.restart, step.restart)


def how_much_longer(experiment: Experiment) -> str:
    """Of an arm whose levels go on from one another how long its last one was trained, beside a
    ticket: " (up to 7x as long)"; empty of the others."""
    name = arm_of(experiment)
    if name in ARMS and ARMS[name].trains_on and experiment.rounds:
        return f" (up to {len(experiment.rounds) + 1}x as long)"
    return ""


def title_of(experiment: Experiment) -> str:
    """The arm in the field's words, with the criterion unless it is magnitude."""
    name = arm_of(experiment)
    title = ARMS[name].title if name in ARMS else {"ticket": "rewound ticket"}.get(name, name)
    if name == "ticket" and experiment.rounds[0].ticket:
        title = "brought ticket"
        if experiment.rounds[0].restart == "rewind":
            title += ", mask alone"
    if experiment.rounds and name != "dense-longer":
        criterion = experiment.rounds[-1].criterion
        if criterion != "magnitude":
            title = f"{title}, {short(criterion)} criterion"
    return title
