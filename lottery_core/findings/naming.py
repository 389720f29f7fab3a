"""What lines are called: as much as is needed to tell them apart, and what they have in common."""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import fields

from lottery_core.findings.ending import fall_in_words
from lottery_core.findings.lines import Line
from lottery_core.method.restart import RULES
from lottery_core.spec.arms import title_of
from lottery_core.spec.experiment import Experiment, Until
from lottery_core.spec.own import short
from lottery_core.spec.recipe import Recipe
from lottery_core.spec.sizes import size_in_words


def line_names(chosen: Sequence[Line]) -> dict[str, str]:
    """What to call each line, by its name: its arm, its data set where they are of several, and of
    what else differs between them as much as is needed to tell them apart."""
    facts = {line.id: _facts(line.main, line.until) for line in chosen}
    needed: list[str] = []
    groups = [list(chosen)]
    for fact in dict.fromkeys(["dataset", *_known(facts.values())]):
        parts = []
        for group in groups:
            values = dict.fromkeys(facts[line.id].get(fact) for line in group)
            if len([value for value in values if value]) < 2:
                parts.append(group)
                continue
            needed.append(fact)
            parts += [
                [line for line in group if facts[line.id].get(fact) == value] for value in values
            ]
        groups = parts
    words = {
        line.id: ", ".join(
            [title_of(line.main)]
            + [facts[line.id][fact] for fact in dict.fromkeys(needed) if fact in facts[line.id]]
        )
        for line in chosen
    }
    known = list(words.values())
    return {
        name: text if known.count(text) == 1 else f"{text} ({name})" for name, text in words.items()
    }


def in_common(chosen: Sequence[Line]) -> str:
    """What all of them share, in words."""
    facts = [_facts(line.main, line.until) for line in chosen]
    told = ("network", "dataset", "rounds", "sparsity", "optimiser", "learning_rate", "batch_size",
            "iterations")  # fmt: skip
    values = [{one[name] for one in facts if name in one} for name in told]
    return ", ".join(next(iter(value)) for value in values if len(value) == 1)


def what_differs(chosen: Sequence[Line]) -> list[str]:
    """Every choice in which they differ besides their arm, each with what it is among them:
    "scope: global pruning or layerwise pruning"."""
    facts = [_facts(line.main, line.until) | _criterion(line.main) for line in chosen]
    found = []
    for name in _known(facts):
        values = sorted({one[name] for one in facts if name in one})
        if name != "beside" and len(values) > 1:
            found.append(f"{_LABELS.get(name, name.replace('_', ' '))}: {' or '.join(values)}")
    return found


_SCOPES = {"erk": "ERK layer budgets", "balanced": "balanced layer budgets"}
_LABELS = {"way": "schedule", "output": "output layer", "rewind": "rewinding"}


def _criterion(experiment: Experiment) -> dict[str, str]:
    pruned = [step for step in experiment.rounds if step.sparsity]
    return {"criterion": short(pruned[-1].criterion)} if pruned else {}


def _known(facts: Iterable[Mapping[str, str]]) -> list[str]:
    return list(dict.fromkeys(name for one in facts for name in one))


_WORDS = {
    "optimiser": lambda value: {"sgd": "SGD", "adam": "Adam"}[value],
    "learning_rate": lambda value: f"learning rate {value:g}",
    "batch_size": lambda value: f"batch {value}",
    "iterations": lambda value: f"{value:,} iterations",
    "validation_size": lambda value: f"{value:,} images held out",
}


def _facts(experiment: Experiment, until: Until | None) -> dict[str, str]:
    """What there is to say of an experiment besides its arm and seed, what matters most first.
    A fact that does not apply is left out."""
    recipe, steps = experiment.recipe, experiment.rounds
    found = {
        "network": recipe.net.title,
        "dataset": recipe.data_title,
    }
    pruned = [step for step in steps if step.sparsity]
    if until:
        found["rounds"] = f"until accuracy falls by {fall_in_words(until)}"
        steps, pruned = until.rounds, [step for step in until.rounds if step.sparsity]
    elif steps:
        found["rounds"] = f"{len(steps)} round{'s' if len(steps) > 1 else ''}"
    if pruned and not until:
        found["sparsity"] = f"to {_percent(pruned[-1].sparsity)} of the weights"
    for name in sorted((f.name for f in fields(Recipe)), key=lambda n: n not in _WORDS):
        if name not in ("network", "dataset", "content", "seed"):
            value = getattr(recipe, name)
            words = _WORDS.get(name, lambda value, name=name: f"{name.replace('_', ' ')} {value}")
            found[name] = words(value)
    if pruned:
        last = pruned[-1]
        if RULES[last.restart].asks_iteration and last.restart != "ticket":
            found["rewind"] = f"rewound to iteration {last.rewind_iteration:,}"
        found["scope"] = _SCOPES.get(last.scope, f"{last.scope} pruning")
        found["way"] = f"by way of {', '.join(_percent(step.sparsity) for step in pruned)}"
        if last.scope == "layerwise":
            found["output"] = f"output layer to {_percent(last.output_sparsity)}"
    if steps and steps[0].ticket:
        found["ticket"] = f"ticket {steps[0].ticket[:8]}"
    if experiment.control:
        found["beside"] = f"beside {title_of(experiment.trunk)}"
    return found


def _percent(sparsity: float) -> str:
    return size_in_words(100 * (1 - sparsity))
