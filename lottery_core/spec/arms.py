"""Arms: ways to treat the same masks or densities, side by side.

An arm turns an experiment into the one it is compared with. All share level 0. An arm that
stands beside the experiment's own levels (see `experiment.CONTROLS`) costs one training a level
whichever level is asked for; one with a chain of its own costs its chain up to there.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass, replace

from lottery_core.method.dynamics import DYNAMICS
from lottery_core.method.supermasks import SUPERMASKS
from lottery_core.spec.experiment import Experiment
from lottery_core.spec.own import short
from lottery_core.spec.rounds import Round


@dataclass(frozen=True)
class Arm:
    """`of` makes the arm of an experiment; level n of both belong together. `is_longer` says that
    at level n it was trained n + 1 times as long as a ticket: as long as the search for that."""

    title: str
    summary: str
    of: Callable[[Experiment], Experiment]
    is_longer: bool = False


def _control(name: str) -> Callable[[Experiment], Experiment]:
    return lambda experiment: replace(experiment.trunk, control=name)


def _restarting(**changes) -> Callable[[Experiment], Experiment]:
    def of(experiment: Experiment) -> Experiment:
        rounds = tuple(replace(step, **changes) for step in experiment.rounds)
        return replace(experiment, rounds=rounds, control="")

    return of


def _never_pruned(experiment: Experiment) -> Experiment:
    on = Round(sparsity=0.0, output_sparsity=0.0, restart="keep")
    return replace(experiment, rounds=(on,) * len(experiment.rounds), control="")


def _moving(rule: str, *, is_longer: bool = False) -> Arm:
    """The control that trains by a rule of `DYNAMICS`, as long as the search or as the ticket."""
    known = DYNAMICS[rule]
    name, title = rule, known.title
    summary = "as many weights in all, spread by ERK, that change places in training"
    if known.left:
        summary = "from all weights down to the ticket's count in each layer in one training"
    summary += f": {known.summary}"
    if is_longer:
        name, title = f"{rule}-long", f"{title}, as long as the search"
        summary += "; trained as long as the ticket's level and all before it together"
    return Arm(title, summary, _control(name), is_longer)


def _untrained(rule: str, *, signs: bool = False) -> Arm:
    """The control whose mask is learned by a rule of `SUPERMASKS`, of weights that stay initial, or
    of their signs."""
    known = SUPERMASKS[rule]
    name, title, of = rule, known.title, "weights stay the initial ones"
    if signs:
        name, title = f"{rule}-signs", f"{title} of signs"
        of = "weights stay their initial signs, with one magnitude for a layer"
    summary = f"as many weights per layer, in a mask that is learned while {of}: {known.summary}"
    return Arm(title, summary, _control(name))


ARMS = {
    "reinit": Arm(
        "random reinit",
        "the ticket's mask with new random weights",
        _control("reinit"),
    ),
    "signs": Arm(
        "signs only",
        "the ticket's mask and initial signs, with one magnitude for all weights of a layer",
        _control("signs"),
    ),
    "new-order": Arm(
        "other data order",
        "the ticket's mask and weights, trained on the images in another order",
        _control("new-order"),
    ),
    "new-magnitudes": Arm(
        "new magnitudes",
        "the ticket's mask and signs, with magnitudes drawn anew",
        _control("new-magnitudes"),
    ),
    "new-signs": Arm(
        "new signs",
        "the ticket's mask and magnitudes, with signs drawn anew",
        _control("new-signs"),
    ),
    "transplanted": Arm(
        "transplanted mask",
        "the ticket's mask as it is, with the weights that the next seed's dense network had",
        _control("transplanted"),
    ),
    "permuted": Arm(
        "permuted mask",
        "the ticket's mask, its units in the order that matches the next seed's dense network, "
        "with the weights that this one had",
        _control("permuted"),
    ),
    "random-mask": Arm(
        "random mask",
        "as many weights per layer, others than the ticket's, from their original values; whole "
        "units, where the ticket's criterion takes these",
        _control("random-mask"),
    ),
    "random-erk": Arm(
        "ERK random mask",
        "as many weights in all, of each layer by ERK's budget (Evci et al. 2020) and drawn by "
        "chance, from their original values",
        _control("random-erk"),
    ),
    "reshuffled-reinit": Arm(
        "reshuffled mask, random reinit",
        "as many weights (or whole units) per layer, others than the ticket's, with new random "
        "weights",
        _control("reshuffled-reinit"),
    ),
    "set": _moving("set"),
    "set-long": _moving("set", is_longer=True),
    "rigl": _moving("rigl"),
    "rigl-long": _moving("rigl", is_longer=True),
    "gradual": _moving("gradual"),
    "edge-popup": _untrained("edge-popup"),
    "edge-popup-signs": _untrained("edge-popup", signs=True),
    "learned-mask": _untrained("learned-mask"),
    "learned-mask-signs": _untrained("learned-mask", signs=True),
    "early-bird": _moving("early-bird"),
    "fine-tune": Arm(
        "fine-tuned, no rewind",
        "the same rounds; survivors keep their trained weights and the last learning rate",
        _restarting(restart="keep", rewind_iteration=0),
        is_longer=True,
    ),
    "rate-rewind": Arm(
        "learning-rate rewinding",
        "the same rounds; survivors keep their trained weights, the learning rate starts over",
        _restarting(restart="rate-rewind"),
        is_longer=True,
    ),
    "dense-longer": Arm(
        "dense, equally long",
        "nothing is pruned; trained on for as many iterations as all levels up to there",
        _never_pruned,
        is_longer=True,
    ),
}


def at(name: str, experiment: Experiment, n: int) -> Experiment:
    """The arm at level `n` alone: its last level is level n of `ARMS[name].of(experiment)`, and a
    control trains none of its own levels before."""
    arm = ARMS[name].of(experiment.up_to(n))
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
    if step.dynamics:
        return step.dynamics + "-long" * step.as_long_as_search
    if step.supermask:
        return step.supermask + "-signs" * (step.restart == "signs")
    if step.reshuffled_as:
        return f"random-{step.reshuffled_as}"
    if step.reshuffled:
        return "reshuffled-reinit" if step.restart == "reinit" else "random-mask"
    if step.transplant:
        return {"plain": "transplanted"}.get(step.transplant, step.transplant)
    if step.order:
        return "new-order"
    return {"rewind": "ticket", "keep": "fine-tune"}.get(step.restart, step.restart)


def has_ticket(experiment: Experiment) -> bool:
    """Whether it finds tickets to alter: rewound ones, whose dense network was trained here."""
    return arm_of(experiment) == "ticket" and not experiment.rounds[0].ticket


def how_much_longer(experiment: Experiment) -> str:
    """Of an arm that is trained as long as the search how long that is at its last level, beside a
    ticket: " (up to 7x as long)"; empty of the others."""
    name = arm_of(experiment)
    if name in ARMS and ARMS[name].is_longer and experiment.rounds:
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
