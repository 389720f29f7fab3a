"""A recipe and its rounds in words, as the card and the report have them."""

from __future__ import annotations

from lottery_core.method.criteria import CRITERIA
from lottery_core.method.restart import RULES
from lottery_core.spec.arms import ARMS
from lottery_core.spec.datasets import DATASETS, NORMALISATIONS, title_of
from lottery_core.spec.experiment import Experiment
from lottery_core.spec.own import is_own
from lottery_core.spec.terms import AUGMENTATIONS, CONTROLS, INITS, OPTIMISERS, SCOPES_OF_UNITS


def recipe_rows(experiment: dict) -> list[list[str]]:
    """What was asked for, as pairs of words, with `code` marked as in Markdown. `experiment` is
    that of `Experiment.as_dict`, of this version or another."""
    recipe, rounds = experiment["recipe"], experiment["rounds"]
    optimiser = OPTIMISERS[recipe["optimiser"]].title
    if recipe["optimiser"] == "sgd":
        optimiser = f"SGD, momentum {recipe['momentum']:g}"
    rate = f"{recipe['learning_rate']:g}"
    if recipe["warmup"]:
        rate += f", risen to over {recipe['warmup']:,} iterations"
    if recipe["decay_at"]:
        at = ", ".join(f"{step:,}" for step in recipe["decay_at"])
        rate += f", times {recipe['decay_factor']:g} at iteration {at}"
    rows = [
        ["data set", data_in_words(recipe)],
        *([["SHA-256 of the data", f"`{recipe['content']}`"]] if recipe.get("content") else []),
        ["normalisation", NORMALISATIONS[recipe["normalisation"]]],
        ["validation", f"{recipe['validation_size']:,} images held out"],
        ["training images", AUGMENTATIONS[recipe.get("augmentation", "none")].title],
        ["network", _network_in_words(experiment)],
        ["initial weights", INITS[recipe["init"]].title],
        ["optimiser", optimiser],
        ["learning rate", rate],
        ["weight decay", f"{recipe['weight_decay']:g}"],
        ["batch", f"{recipe['batch_size']:,} images"],
        ["training", _length(experiment)],
        ["seed", str(recipe["seed"])],
    ]
    if rounds:
        last = rounds[-1]
        reached = ", ".join(f"{100 * step['sparsity']:.4g} %" for step in rounds)
        rows += [
            ["sparsity after each round", reached],
            ["pruned by", _pruned_by(rounds)],
            ["restart", last["restart"]],
        ]
        if last["output_sparsity"] != last["sparsity"]:
            rows.append(["output layer's sparsity", f"{100 * last['output_sparsity']:.4g} %"])
        rows += [[f"sparsity of `{name}`", f"{100 * part:.4g} %"] for name, part in last["layers"]]
        if last["restart"] in RULES and RULES[last["restart"]].asks_iteration:
            rows.append(["rewound to iteration", f"{last['rewind_iteration']:,}"])
    if experiment.get("control"):
        rows.append(["control", ARMS[experiment["control"]].summary])
    return rows


def last_round(experiment: dict) -> dict:
    """The last round of an experiment in plain values, as its control changes it; empty where there
    is none."""
    rounds = experiment["rounds"]
    return rounds[-1] | CONTROLS.get(experiment.get("control", ""), {}) if rounds else {}


def _length(experiment: dict) -> str:
    each = experiment["recipe"]["iterations"]
    words = f"{each:,} iterations a level"
    if last_round(experiment).get("as_long_as_search"):
        whole = each * (len(experiment["rounds"]) + 1)
        words += f", {whole:,} in this one; warm-up and decay at the same parts of them"
    return words


def _network_in_words(experiment: dict) -> str:
    name = experiment["recipe"].get("network", "")
    if is_own(name):
        return f"`{name}`, a torch module of its author's own"
    # Without its rounds, whose criterion may be code that this process does not know.
    known = Experiment.known(experiment | {"rounds": [], "control": ""})
    return known.recipe.net.in_words if known else "of another version"


def data_in_words(recipe: dict) -> str:
    """The data set of a recipe in plain values."""
    known = recipe["dataset"] in DATASETS
    return title_of(recipe["dataset"], recipe.get("content", "")) if known else recipe["dataset"]


def _pruned_by(rounds: list[dict]) -> str:
    brought, last = rounds[0].get("ticket"), rounds[-1]
    words = [f"the mask of ticket `{brought}`"] if brought else []
    if not brought or len(rounds) > 1:
        known = CRITERIA.get(last["criterion"])
        units = f": {SCOPES_OF_UNITS[last['scope']]}" if known and known.takes_units else ""
        words.append(f"{last['criterion']}, {last['scope']}{units}")
    return ", then ".join(words)


def units_in_words(scope: str) -> str:
    """Which whole units go in a scope of theirs, and how many: sentences; of another scope, how
    many alone."""
    which = SCOPES_OF_UNITS.get(scope, "")
    return (
        f"{which[:1].upper()}{which[1:]}{'. ' if which else ''}As few go as leave no more weights "
        "than asked for, so that a little more is gone; the last unit of each layer stays."
    )
