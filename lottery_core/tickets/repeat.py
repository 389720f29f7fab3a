"""An experiment -> the command that runs it again, found without knowing who asked for it."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import asdict, fields, replace

from lottery_core.spec.arms import ARMS
from lottery_core.spec.checks import InvalidValue
from lottery_core.spec.choice import Choice
from lottery_core.spec.experiment import Experiment
from lottery_core.spec.links import command
from lottery_core.spec.presets import PRESETS
from lottery_core.spec.recipe import Recipe


def command_of(experiment: Experiment) -> str | None:
    """The shortest command that makes all levels of an experiment again; None where the options
    can't express it. What is returned has been checked: it gives the same keys."""
    wanted = set(experiment.keys)

    def same(choice: Choice) -> bool:
        try:
            return wanted <= {key for one in choice.experiments() for key in one.keys}
        except InvalidValue:
            return False

    found = next(filter(same, _candidates(experiment)), None)
    if found is None:
        return None
    for change in _simpler(experiment.recipe):
        simpler = replace(found, **change)
        if same(simpler):
            found = simpler
    commands = []
    for name, preset in PRESETS.items():
        # What belongs to another schedule or optimiser need not be said.
        quieter = replace(
            found, **{field: getattr(preset.choice, field) for field in _ignored(found)}
        )
        commands.append(command(name, quieter if same(quieter) else found))
    return min(commands, key=len).removesuffix(" --out results")


def _candidates(experiment: Experiment) -> Iterator[Choice]:
    recipe, steps = experiment.recipe, experiment.rounds
    known = {field.name for field in fields(Choice)} & {field.name for field in fields(Recipe)}
    base = Choice(
        **{name: value for name, value in asdict(recipe).items() if name in known},
        length=recipe.iterations,
        unit="iterations",
        controls=(experiment.control,) if experiment.control in ARMS else (),
    )
    if not steps:  # the dense network comes with any experiment of its recipe
        yield replace(base, schedule="one-shot", sparsity=0.5)
        return
    first = steps[0]
    if not first.sparsity:  # the network trained on comes beside any experiment of its length
        yield replace(base, rate=0.5, rounds=len(steps), controls=("dense-longer",))
        return
    base = replace(
        base,
        scope=first.scope,
        criterion=first.criterion,
        restart=first.restart,
        rewind_iteration=first.rewind_iteration,
        output_factor=_factor(first.output_sparsity, first.sparsity),
        layer_factors=tuple(
            (name.removesuffix(".weight"), _factor(sparsity, first.sparsity))
            for name, sparsity in first.layers
        ),
        sparsities=tuple(step.sparsity for step in steps),
    )
    if len(steps) == 1:
        yield replace(base, schedule="one-shot", sparsity=first.sparsity)
    yield replace(base, schedule="iterative", rate=first.sparsity, rounds=len(steps))
    yield replace(base, schedule="list")


def _factor(sparsity: float, whole: float) -> float:
    return round(sparsity / whole, 9)


def _simpler(recipe: Recipe) -> Iterator[dict]:
    yield {"evaluate_every": 0}
    epochs = recipe.iterations / recipe.iterations_per_epoch
    for digits in range(5):
        yield {"length": round(epochs, digits), "unit": "epochs"}
        if round(round(epochs, digits) * recipe.iterations_per_epoch) == recipe.iterations:
            return


def _ignored(choice: Choice) -> list[str]:
    """Fields that change nothing about a choice, its schedule and optimiser being what they are."""
    own = {"iterative": ("rate", "rounds"), "one-shot": ("sparsity",), "list": ("sparsities",)}
    names = [name for kind, those in own.items() if kind != choice.schedule for name in those]
    return names + (["momentum"] if choice.optimiser != "sgd" else [])
