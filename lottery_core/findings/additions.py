"""What can be added to lines: their controls, and more seeds."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import replace

from lottery_core.findings.lines import Line
from lottery_core.spec.arms import ARMS
from lottery_core.spec.checks import InvalidValue, check_integer
from lottery_core.spec.experiment import Experiment
from lottery_core.spec.limits import MAX_MULTIPLY_ADDS, MAX_REPLICATES, MAX_SEED, times_too_much
from lottery_core.spec.links import read_choice, write_choice

CONTROLS = ("reinit", "random-mask", "fine-tune")  # those added at one press


def controls_of(line: Line) -> dict[str, tuple[Experiment, ...]]:
    """`CONTROLS` of a line's experiments, by arm, all seeds each; none where nothing is pruned."""
    base = tuple(experiment.trunk for experiment in line.experiments)
    if not base[0].rounds or not base[0].rounds[-1].sparsity:
        return {}
    arms = {name: tuple(map(ARMS[name].of, base)) for name in CONTROLS}
    return {name: arm for name, arm in arms.items() if arm[0].key != base[0].key}


def more_seeds(chosen: Sequence[Line], n: int) -> list[tuple[Line, list[Experiment]]]:
    """The experiments that give all lines the same seeds and `n` new ones. Raises
    `InvalidValue` where that is more than one request may ask for."""
    check_integer("seeds", n, 1, MAX_REPLICATES)
    known = {seed for line in chosen for seed in line.seeds}
    if max(known) + n > MAX_SEED:
        raise InvalidValue("seeds", n, f"go beyond the greatest seed, {MAX_SEED:,}")
    wanted = sorted(known | set(range(max(known) + 1, max(known) + 1 + n)))
    found = [
        (line, [line.with_another(seed) for seed in wanted if seed not in line.seeds])
        for line in chosen
    ]
    check_work([experiment for _, experiments in found for experiment in experiments])
    return found


def check_work(experiments: Sequence[Experiment]) -> None:
    """Raise `InvalidValue` where they are more work than one request may ask for."""
    work = sum(experiment.multiply_adds for experiment in experiments)
    if work > MAX_MULTIPLY_ADDS:
        raise InvalidValue(
            "seeds",
            len(experiments),
            f"runs are {times_too_much(work)} the work one request may ask for; "
            "choose fewer lines or fewer seeds",
        )


def params_for(line: Line, seeds: Sequence[int], controls: Sequence[str] = ()) -> dict[str, str]:
    """The link to the Explorer for a line's experiment with these seeds and, besides those it
    has, these controls; empty where it is not known which choice it came from."""
    try:
        preset, choice = read_choice(line.params)
    except InvalidValue:
        return {}
    if not line.params:
        return {}
    first, last = min(seeds), max(seeds)
    if last - first + 1 != len(set(seeds)) or len(set(seeds)) > MAX_REPLICATES:
        first = last  # not in a row: the Explorer shows one of them
    together = dict.fromkeys((*choice.controls, *controls))
    changed = replace(choice, seed=first, replicates=last - first + 1, controls=tuple(together))
    return write_choice(preset, changed)
