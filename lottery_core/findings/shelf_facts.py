"""What a run's experiment says of itself, and what came of it, in a few plain values each."""

from __future__ import annotations

import hashlib
from collections.abc import Iterable, Mapping
from dataclasses import astuple, dataclass

from lottery_core.findings.lines import line_id
from lottery_core.findings.replicates import Infos
from lottery_core.findings.verdict import TEST, has_won, picked
from lottery_core.spec.arms import arm_of, title_of
from lottery_core.spec.experiment import Experiment
from lottery_core.spec.own import short
from lottery_core.spec.sizes import schedule_in_words


@dataclass(frozen=True)
class Facts:
    """An experiment: its key, its line (see `lines.line_id`), its seed; the keys of its `levels`,
    and of those of others that it `needs`; its data set, network, criterion and arm by name, and
    what each is called; its `schedule` in words; the digest of the ticket it begins with, if any.
    """

    key: str
    line: str
    seed: int
    levels: tuple[str, ...]
    needs: tuple[str, ...]
    dataset: str
    data_title: str
    network: str
    criterion: str
    arm: str
    title: str
    schedule: str
    ticket: str = ""

    @classmethod
    def known(cls, key: str, plain: dict | None) -> Facts | None:
        """Of an experiment as it was written down under that key; None if another version wrote
        it and it means nothing here."""
        experiment = Experiment.known(plain) if plain else None
        if experiment is None or experiment.key != key:
            return None
        recipe, rounds = experiment.recipe, experiment.rounds
        # A control's level n is trained from the trunk's level n-1.
        trunk = experiment.trunk.keys[1:-1] if experiment.control else ()
        pruned = [step for step in rounds if step.sparsity]
        most = "at most " if experiment.until else ""
        iterations = f"{recipe.iterations:,} iterations"
        return cls(
            key=key,
            line=line_id(experiment),
            seed=recipe.seed,
            levels=experiment.keys,
            needs=tuple(trunk),
            dataset=recipe.dataset,
            data_title=recipe.data_title,
            network=recipe.net.sizes,
            criterion=short(pruned[-1].criterion) if pruned else "none",
            arm=arm_of(experiment),
            title=title_of(experiment),
            schedule=f"{most}{schedule_in_words(rounds)}, {iterations}" if pruned else iterations,
            ticket=rounds[0].ticket if rounds else "",
        )

    def as_list(self) -> list:
        """In plain values; `from_list` reads them back."""
        return list(vars(self).values())

    @classmethod
    def from_list(cls, plain: list) -> Facts:
        """What `as_list` gave. Raises TypeError for what is none."""
        key, line, seed, levels, needs, *rest = plain
        return cls(key, line, seed, tuple(levels), tuple(needs), *rest)


@dataclass(frozen=True)
class Result:
    """What came of a run, over its seeds, by `findings.verdict`: the smallest level that wins, as
    `percent` of the weights, its test `accuracy` and the `dense` network's, both fractions, means
    over the seeds; these are None where no level is picked. `wins` says whether the test images
    bear it out, `judged` whether there was a pruned level to judge. `seconds` is the time that all
    its levels took to train."""

    percent: float | None
    accuracy: float | None
    dense: float | None
    wins: bool
    judged: bool
    seconds: float

    def as_list(self) -> list:
        """In plain values, in the order of the fields."""
        return list(astuple(self))

    def in_words(self) -> str:
        """ "wins", "not by the test images", "none wins", or nothing where none was judged."""
        if self.percent is None:
            return "none wins" if self.judged else ""
        return "wins" if self.wins else "not by the test images"


def result_of(runs: Mapping[int, Infos]) -> Result:
    """What came of the levels of these seeds, each from level 0 on."""
    seconds = sum(info.seconds for infos in runs.values() for info in infos)
    judged = any(len(infos) > 1 for infos in runs.values())
    found = picked(runs) if judged else None
    if found is None:
        return Result(None, None, None, False, judged, seconds)
    test = next(one.difference for one in found.conditions if one.what == TEST)
    wins = found.wins and has_won(runs)
    return Result(found.percent, test.a, test.b, wins, judged, seconds)


def chain_of(names: Iterable[str]) -> str:
    """A short name for a chain of others."""
    return hashlib.sha256("\n".join(names).encode()).hexdigest()[:24]
