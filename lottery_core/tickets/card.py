"""The ticket card: what a level is, in Markdown, for people who meet it without the app.

`gather` collects what the store knows of a level, its other seeds and its arms; `card` writes it.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from dataclasses import dataclass, field

from lottery_core.findings.lines import asked_with, with_seed
from lottery_core.findings.recipe_words import last_round, recipe_rows
from lottery_core.findings.replicates import Band, band, paired
from lottery_core.findings.rewinding import MOVED, UNTRAINED, Rewinding, proof
from lottery_core.findings.verdict import verdicts
from lottery_core.method.dynamics import DYNAMICS
from lottery_core.method.supermasks import SUPERMASKS
from lottery_core.spec.arms import ARMS, arm_of
from lottery_core.spec.checks import InvalidValue
from lottery_core.spec.experiment import Experiment
from lottery_core.spec.sizes import size_in_words
from lottery_core.store import LayerCounts, Level, LevelInfo, Store
from lottery_core.tickets.content import data_in_words, digest, network_of, parts_of
from lottery_core.tickets.repeat import command_of, repeat_in_words

# By seed, the infos of level 0 and of the level itself (of level 0 alone where it is that).
Runs = Mapping[int, list[LevelInfo]]


@dataclass(frozen=True)
class Known:
    """What a card tells of: a level's info and the digests of its arrays, the same level of every
    seed that is there, its own included, and of its arms by name; the command that repeats it,
    None where there is none; the seeds that were asked for together, which one verdict is on; and
    the proof of its rewinding, where there is one."""

    info: LevelInfo
    digests: Mapping[str, str]
    runs: Runs
    controls: Mapping[str, Runs] = field(default_factory=dict)
    command: str | None = None
    together: frozenset[int] = frozenset()
    rewinding: Rewinding | None = None


def gather(store: Store, level: Level) -> Known:
    """All that the store knows of a level that belongs on its card."""
    info, n = level.info, level.info.level
    digests = {name: digest(arrays) for name, arrays in parts_of(level).items()}
    alone = {info.seed: [info]}
    experiment = Experiment.known(info.experiment)
    if experiment is None or experiment.keys[n] != info.key:  # of another version
        return Known(info, digests, alone)
    seeds = _seeds(store)
    runs = _runs(store, experiment, seeds, n)
    controls = {}
    if arm_of(experiment) == "ticket":
        arms = {name: arm.of(experiment) for name, arm in ARMS.items()}
        controls = {name: _runs(store, one, runs, n) for name, one in arms.items()}
    there = {name: found for name, found in controls.items() if found}
    asked = asked_with(store, experiment, store.job(experiment.key))
    together = frozenset(one.recipe.seed for one in asked)
    command, proven = command_of(experiment), proof(store, level)
    return Known(info, digests, runs or alone, there, command, together, proven)


def _seeds(store: Store) -> list[int]:
    infos = store.infos(store.keys()).values()
    return sorted({info.seed for info in infos})


def _runs(store: Store, experiment: Experiment, seeds: Iterable[int], n: int) -> Runs:
    found = {}
    for seed in seeds:
        try:
            keys = with_seed(experiment, seed).keys
        except InvalidValue:
            continue
        infos = store.infos(dict.fromkeys((keys[0], keys[n])))
        if keys[n] in infos:
            found[seed] = [*infos.values()]
    return found


def card(known: Known) -> str:
    """The card in Markdown."""
    sections = (
        _head(known),
        _numbers(known),
        _selection(known.info),
        _layers(known.info),
        _recipe(known.info),
        _controls(known),
        f"## Repeat it\n\n{repeat_in_words(known.info.experiment, known.command)}",
        _identity(known),
    )
    return "\n\n".join(sections) + "\n"


def _head(known: Known) -> str:
    info, rounds = known.info, known.info.experiment["rounds"]
    net = network_of(info)
    whole = net.sizes if net else "the network"
    title = f"# {_title(info)}: {_size(info)} of {whole} on {data_in_words(info)}"
    what = [
        f"Level {info.level} of an experiment with the Lottery Ticket Explorer keeps "
        f"{info.weights_kept:,} of {info.weights_total:,} weights ({_size(info)}); biases are "
        "neither pruned nor counted."
    ]
    if rounds:
        what.append(_origin(info.experiment))
        what += [known.rewinding.in_words()] if known.rewinding else []
    else:
        what.append("It is the dense network: nothing is pruned.")
    is_untrained = last_round(info.experiment).get("supermask")
    what.append(
        "Its ticket file holds the mask and its untrained weights, twice: `trained/` differs from "
        "`restart/` by what batch norm measured alone, if there is any."
        if is_untrained
        else "Its ticket file holds the mask, the weights that training starts from (`restart/`) "
        "and those it ends with (`trained/`)."
    )
    if _arm(info) == "ticket":
        judged = {s: infos for s, infos in known.runs.items() if s in known.together}
        what.append(_verdict(judged or known.runs))
    return f"{title}\n\n{' '.join(what)}"


def _arm(info: LevelInfo) -> str:
    experiment = Experiment.known(info.experiment)
    return arm_of(experiment) if experiment else ""


def _title(info: LevelInfo) -> str:
    arm = _arm(info)
    # Whether a ticket wins is for the verdict to say.
    words = {"ticket": "lottery ticket", "dense": "dense network", "": "network"}.get(arm)
    words = words or ARMS[arm].title
    return f"{words[0].upper()}{words[1:]} {info.key[:8]}, level {info.level}"


def _origin(experiment: dict) -> str:
    step = last_round(experiment)
    if step.get("dynamics"):
        return _moved(experiment, step)
    if step.get("supermask"):
        return _learned(step)
    restart = step["restart"]
    iteration = step["rewind_iteration"]
    words = {
        "rewind": "Its survivors restart from "
        + (
            f"the weights that the dense network had at iteration {iteration:,}"
            if iteration
            else "the dense network's initial weights"
        ),
        "keep": "Its survivors keep their trained weights and go on at the last learning rate",
        "rate-rewind": "Its survivors keep their trained weights; the learning rate restarts at "
        f"iteration {iteration:,}",
        "reinit": "Its survivors restart from new random weights",
        "signs": "Its survivors restart with their initial signs and one magnitude a layer, the "
        "standard deviation of its initial weights",
        "new-magnitudes": "Its survivors restart with the signs that they had in the dense network "
        f"at iteration {iteration:,} and with magnitudes drawn anew",
        "new-signs": "Its survivors restart with the magnitudes that they had in the dense network "
        f"at iteration {iteration:,} and with signs drawn anew",
        "ticket": "Its survivors restart from the weights that came with its mask",
    }[restart]
    if experiment["rounds"][0].get("ticket"):
        words = f"Its mask was brought here from outside. {words}"
    if step.get("reshuffled_as"):
        words += (
            "; as many are kept in all as in its experiment, of each layer by ERK's budget, and "
            "which is chance"
        )
    elif step["reshuffled"]:
        words += "; which weights of a layer survive is chance, how many is not"
    if step.get("transplant"):
        words += ", which is not its own but the next seed's"
        if step["transplant"] == "permuted":
            words += "; of its mask the units are in the order that matches that network"
    if step.get("order"):
        words += "; they are trained on the images in another order than the dense network"
    return f"{words}."


def _moved(experiment: dict, step: dict) -> str:
    """How a mask came about that changed while its network trained."""
    rule, times = DYNAMICS[step["dynamics"]], len(experiment["rounds"]) + 1
    mask = "with every weight" if rule.left else "under a random mask with ERK's budget"
    longer = f", {times} times as long as its experiment's level" * step["as_long_as_search"]
    return (
        f"It began from the dense network's initial weights {mask}, and its mask changed while it "
        f"trained{longer}. {rule.title}: {rule.summary}. {MOVED}"
    )


def _learned(step: dict) -> str:
    """What was learned where weights stayed untrained."""
    rule = SUPERMASKS[step["supermask"]]
    weights = (
        "the dense network's initial signs, with one magnitude a layer, the standard deviation of "
        "its initial weights"
        if step["restart"] == "signs"
        else "the dense network's initial ones"
    )
    return (
        f"{UNTRAINED} Its weights are {weights}; of each layer it keeps as many as its "
        f"experiment's level. {rule.title[0].upper()}{rule.title[1:]}: {rule.summary}."
    )


def _verdict(runs: Runs) -> str:
    """Whether it wins, by the rule that the app applies everywhere."""
    found = verdicts(runs)
    if not found:
        return "Its dense network is not at hand, so whether it wins is not known."
    one = found[0]
    words = "It is a winning ticket" if one.wins else "It is not a winning ticket"
    held = "one seed" if one.n == 1 else f"mean over {one.n} seeds, and so in {one.held} of them"
    if one.is_by_accuracy_alone:
        held += "; nothing was held out to find an early stop with"
    elif one.n > 1 and one.wins and not one.is_certain:
        held += "; the 95 % intervals do not rule out a loss"
    return f"**{words}**: {one.reasons()} ({held})."


_NUMBERS = {
    "test_accuracy": ("Test accuracy, last iteration", "{:.2%}"),
    "test_accuracy_at_early_stop": ("Test accuracy, early stop", "{:.2%}"),
    "validation_accuracy": ("Validation accuracy, last iteration", "{:.2%}"),
    "early_stop_iteration": ("Early stop (least validation loss), iteration", "{:,.0f}"),
    "test_accuracy_before_retraining": ("Test accuracy before retraining", "{:.2%}"),
    "iterations_trained": ("Iterations trained", "{:,.0f}"),
    "explored": ("Weights that were in its mask at any time", "{:.2%}"),
    "settled": ("Iteration at which its mask had settled and was cut", "{:,.0f}"),
}


def _numbers(known: Known) -> str:
    """This seed's numbers, the dense network's, and the spread over all seeds there are."""
    info, runs = known.info, known.runs
    seed = info.seed
    same = {s: infos[-1] for s, infos in runs.items()}
    first = runs[seed][0] if info.level and seed in runs else None
    dense = first if first and first.level == 0 else None
    n = len(same)
    head = ["quantity", f"seed {seed}"]
    head += ["its dense network"] if info.level else []
    head += [f"mean of {n} seeds (least to greatest)"] if n > 1 else []
    rows = []
    for name, (words, form) in _NUMBERS.items():
        value, beside = getattr(info, name), getattr(dense, name, None)
        if value is None:
            continue
        row = [words, form.format(value)]
        if info.level:
            row.append("" if beside is None else form.format(beside))
        if n > 1:
            row.append(_band(band([getattr(one, name) for one in same.values()], "range"), form))
        rows.append(row)
    if n > 1:
        closing = f"Seeds: {', '.join(map(str, sorted(same)))}."
        if info.level:
            gap = paired(
                {s: infos[-1].test_accuracy for s, infos in runs.items()},
                {s: i[0].test_accuracy for s, i in runs.items() if i[0].level == 0},
            )
            closing += f" This level minus its dense network, last iteration: {_points(gap)}."
    else:
        closing = "One seed: how far another one would be from these numbers is not known."
    return f"## Numbers\n\n{_table(head, rows)}\n\n{closing}"


def _band(found: Band, form: str) -> str:
    if not found.n:
        return ""
    low, high = form.format(found.low), form.format(found.high)
    return f"{form.format(found.mean)} ({low} to {high}, n = {found.n})"


def _points(gap: Band) -> str:
    """A paired difference of accuracies."""
    if not gap.n:
        return "no seed has both"
    words = f"{100 * gap.mean:+z.2f} points"
    if gap.n == 1:
        return f"{words} (one seed)"
    return f"{words} (95 % interval {100 * gap.low:+z.2f} to {100 * gap.high:+z.2f}, n = {gap.n})"


def _selection(info: LevelInfo) -> str:
    held_out = info.experiment["recipe"]["validation_size"]
    words = (
        f"{held_out:,} training images were held out. Early stops are found with them, and levels "
        "of this experiment are to be picked by them; the test images select nothing and only "
        "report."
        if held_out
        else "No images were held out. Whoever picks a level of this experiment by its accuracy "
        "picks it on the test images, so that its test accuracy flatters it a little."
    )
    return f"## How it was selected\n\n{words}"


def _layers(info: LevelInfo) -> str:
    net, kept = network_of(info), {name: layer.kept for name, layer in info.layers.items()}
    rows = [[f"`{name}`", *_counts(layer)] for name, layer in info.layers.items()]
    rows.append(["all", *_counts(LayerCounts(info.weights_total, info.weights_kept))])
    head = ["layer", "weights", "kept", "kept, %"]
    if net is None:
        return f"## Layers\n\n{_table(head, rows)}"
    for row, (name, shape) in zip(rows, net.shapes.items(), strict=False):
        row.insert(1, " x ".join(map(str, shape)))
        row.append(f"{kept[name] * net.positions[name]:,}")
    rows[-1].insert(1, "")
    rows[-1].append(f"{net.multiply_adds(kept):,}")
    head.insert(1, "outputs x inputs" + (" x kernel" if net.is_convolutional else ""))
    words = (
        "Multiply-adds are those of the kept weights for one image; the dense network takes "
        f"{net.multiply_adds():,}."
    )
    return f"## Layers\n\n{_table([*head, 'multiply-adds'], rows)}\n\n{words}"


def _counts(layer: LayerCounts) -> list[str]:
    share = 100 * layer.kept / layer.weights
    return [f"{layer.weights:,}", f"{layer.kept:,}", f"{share:.2f}"]


def _recipe(info: LevelInfo) -> str:
    return f"## Recipe\n\n{_table(['what', 'value'], recipe_rows(info.experiment))}"


def _controls(known: Known) -> str:
    if not known.controls:
        return "## Controls\n\nNone are at hand beside this level."
    rows, form = [], _NUMBERS["test_accuracy"][1]
    ticket = {seed: infos[-1].test_accuracy for seed, infos in known.runs.items()}
    for name, runs in known.controls.items():
        accuracy = {seed: infos[-1].test_accuracy for seed, infos in runs.items()}
        found = band(list(accuracy.values()), "range")
        reached = _band(found, form) if found.n > 1 else f"{form.format(found.mean)} (one seed)"
        rows.append(
            [ARMS[name].title, ARMS[name].summary, reached, _points(paired(ticket, accuracy))]
        )
    head = ["control", "what it is", "test accuracy, last iteration", "this ticket minus it"]
    words = "Differences are taken seed by seed, with the interval of a paired t test."
    return f"## Controls\n\n{_table(head, rows)}\n\n{words}"


def _identity(known: Known) -> str:
    info = known.info
    rows = [["key", f"`{info.key}`"]]
    rows += [[f"SHA-256 of {name}", f"`{value}`"] for name, value in known.digests.items()]
    rows += [[f"version of {name}", str(value)] for name, value in info.versions.items()]
    rows += [["device", info.device], ["training loop", info.loop]]
    return (
        f"## Identity and versions\n\n{_table(['what', 'value'], rows)}\n\nThe key names all that "
        "leads to the level; the SHA-256 sums its arrays, whatever file they lie in."
    )


def _size(info: LevelInfo) -> str:
    return size_in_words(info.percent_remaining)


def _table(head: list[str], rows: list[list[str]]) -> str:
    lines = [head, ["---"] * len(head), *rows]
    return "\n".join(f"| {' | '.join(_cell(value) for value in line)} |" for line in lines)


def _cell(value: str) -> str:
    return value.replace("|", "\\|").replace("\n", " ")
