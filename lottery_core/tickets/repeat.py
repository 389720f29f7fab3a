"""An experiment -> the command that runs it again, found without knowing who asked for it; or
the lines of Python that do."""

from __future__ import annotations

import json
from collections.abc import Iterator
from dataclasses import asdict, fields, replace

from lottery_core.findings.recipe_words import last_round
from lottery_core.spec.arms import ARMS
from lottery_core.spec.checks import InvalidValue
from lottery_core.spec.choice import Choice
from lottery_core.spec.experiment import Experiment
from lottery_core.spec.links import command
from lottery_core.spec.presets import PRESETS
from lottery_core.spec.recipe import Recipe
from lottery_core.tickets.content import own_code_of


def command_of(experiment: Experiment) -> str | None:
    """The shortest command that makes all levels of an experiment again; None where the options
    can't express it, as with code that only Python can bring along. What is returned has been
    checked: it gives the same keys."""
    if own_code_of(experiment.as_dict(), "network", "criterion"):
        return None
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


def repeat_in_words(experiment: dict, command: str | None) -> str:
    """How to do an experiment again, in Markdown, for who has this project and who has not;
    `command` is that of `command_of`."""
    recipe, rounds = experiment["recipe"], experiment["rounds"]
    if command:
        text = f"In the folder of the Lottery Ticket Explorer:\n\n    {command}"
        if recipe.get("content"):
            text += "\n\nwith `--dataset-folder` and the folder of these files, to begin with."
    else:
        before = ", the ticket's file once brought" if rounds and rounds[0].get("ticket") else ""
        if own := own_code_of(experiment, "network", "criterion"):
            before += f", in a process that knows {' and '.join(own)} (see docs/library.md)"
        text = (
            "No command line expresses this experiment. In the folder of the Lottery Ticket "
            f"Explorer, this does it{before}:\n\n"
            "    import json\n"
            "    from lottery_core.running import engine\n"
            "    from lottery_core.spec.experiment import Experiment\n"
            "    from lottery_core.store import CACHE, Store\n"
            "    from lottery_core.training.context import Context\n\n"
            f"    experiment = Experiment.from_dict(json.loads({json.dumps(experiment)!r}))\n"
            "    for level in engine.run(experiment, Context(Store(CACHE))):\n"
            "        print(level.info.level, level.info.test_accuracy)"
        )
    if not own_code_of(experiment, "network"):
        text += (
            "\n\nWithout it: the ticket file beside its script, which needs torch, torchvision and "
            "numpy alone."
        )
        if why := why_script_differs(experiment):
            text += f" {why}"
    return text


def why_script_differs(experiment: dict) -> str:
    """Why the script beside a ticket does not repeat the training of its level, as sentences; empty
    where it does. `experiment` is that of `Experiment.as_dict`."""
    last = last_round(experiment)
    if last.get("dynamics"):
        return (
            "The script does not repeat this training, in which the mask changed: it trains under "
            "the mask that this one ended with, and changes it no more."
        )
    if last.get("supermask"):
        return (
            "The script does not repeat this training: a mask was learned for all the untrained "
            "weights, and a ticket file holds those alone that the mask keeps. The script learns "
            "no mask: with `--from trained` it judges these weights untrained, else it trains them."
        )
    return ""
