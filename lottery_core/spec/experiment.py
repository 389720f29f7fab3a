"""An experiment: a recipe with its rounds, and the keys of its levels.

A *recipe* fixes one training, a *round* one pruning step and what its survivors restart from. All
three are frozen and checked when they are made, so a value that exists is a value that can run.

Level 0 is named by the hash of its recipe and of the images and labels it trains on, level n by
the hash of its parent's key and its round (see `keys`):

    key_0 = H(version, data, recipe)        key_n = H(version, key_(n-1), round_n)

where the parent of a control's level n is level n-1 of the experiment it stands beside. Two
experiments that begin alike therefore share their first levels, whatever follows. `data` is the
digest of what is published under the data set's name, or of the recipe's own `content`. What
cannot change a result (device, threads, number of workers) is not a field.
"""

from __future__ import annotations

import json
import math
from collections.abc import Mapping, Sequence
from dataclasses import asdict, dataclass, replace
from functools import cached_property

from lottery_core.method.masks import removed_of
from lottery_core.spec.checks import InvalidValue, check_known, check_number
from lottery_core.spec.datasets import DATASETS
from lottery_core.spec.keys import hashed, key_of
from lottery_core.spec.limits import MAX_MULTIPLY_ADDS, MAX_ROUNDS, MAX_SEED, times_too_much
from lottery_core.spec.recipe import Recipe
from lottery_core.spec.rounds import Round
from lottery_core.spec.symmetries import fewest_weights
from lottery_core.spec.terms import CONTROLS

# What only the last round may do, and the control that does it at every level; where none stands
# here, the one that is called as the field's value is.
_LAST = {"reshuffled": "random-mask", "transplant": "transplanted", "dynamics": "", "supermask": ""}


@dataclass(frozen=True)
class Until:
    """When to stop before all rounds are done: after the first level of the experiment with these
    `rounds` whose validation accuracy at the end of training is more than `fall`, a fraction of the
    images, below that of its dense network."""

    fall: float
    rounds: tuple[Round, ...]

    def __post_init__(self) -> None:
        check_number("fall", self.fall, 0, 1, below=True)
        if not self.rounds:
            raise InvalidValue("rounds", 0, "leave nothing to stop at; choose at least 1")

    def fell_at(self, accuracies: Sequence[float | None]) -> int | None:
        """The first level that fell, of the validation accuracies of levels 0, 1, ... as far as
        they are known."""
        for n, accuracy in enumerate(accuracies):
            # What rounding leaves of equal differences is no fall.
            if None not in (accuracy, accuracies[0]) and accuracies[0] - accuracy > (
                self.fall + 1e-9
            ):
                return n
        return None


@dataclass(frozen=True)
class Experiment:
    """A recipe and its rounds: level 0 is the dense network, level n follows round n.

    With a `control` (one of `CONTROLS`) each level n >= 1 is that control beside level n of the
    same experiment without it. With `until` these are the rounds at most: it is a request to stop
    early, and once it is known where (see `findings.ending`), an experiment of so many rounds like
    any other. Its levels are the same, under the same keys.
    """

    recipe: Recipe
    rounds: tuple[Round, ...] = ()
    control: str = ""
    until: Until | None = None

    def __post_init__(self) -> None:
        if self.until and not self.recipe.validation_size:
            raise InvalidValue(
                "validation_size",
                0,
                "leaves nothing to see accuracy fall by, and test images select nothing; hold out "
                "some training images for validation, or choose another schedule",
            )
        if self.control:
            check_known("control", self.control, CONTROLS)
        if len(self.rounds) > MAX_ROUNDS:
            raise InvalidValue("rounds", len(self.rounds), f"must be at most {MAX_ROUNDS}")
        earlier = 0.0
        for n, step in enumerate(self.rounds, 1):
            for name, _ in step.layers:
                check_known("layers", name, self.recipe.shapes)
            if step.ticket and step is not self.rounds[0]:
                raise InvalidValue(
                    "ticket",
                    step.ticket,
                    "may keep what an earlier round pruned, so only the first round may have one",
                )
            for name, control in _LAST.items():
                if getattr(step, name) and step is not self.rounds[-1]:
                    raise InvalidValue(
                        name,
                        getattr(step, name),
                        "leaves nothing to go on from, so only the last round may have it; for "
                        f"every level choose control={control or getattr(step, name)}",
                    )
            if step.sparsity < earlier or step.sparsity == earlier > 0:
                raise InvalidValue(
                    "sparsities",
                    step.sparsity,
                    f"must be above the round before ({earlier:g}): pruned weights stay pruned, "
                    "so list cumulative sparsities in rising order",
                )
            earlier = step.sparsity
            known = self.recipe.snapshot_iterations
            if step.rewind_iteration not in known:
                raise InvalidValue(
                    "rewind_iteration",
                    step.rewind_iteration,
                    f"is not a saved snapshot; choose one of {', '.join(map(str, known))}",
                )
            if self.dynamics(n) and self.recipe.iterations < 2:
                raise InvalidValue(
                    "iterations",
                    self.recipe.iterations,
                    "leaves no time to change a mask in; choose at least 2",
                )
        self._check_units()
        if self.multiply_adds > MAX_MULTIPLY_ADDS:
            raise InvalidValue(
                "iterations",
                self.recipe.iterations,
                f"for {len(self.rounds) + 1} levels of this network and batch is "
                f"{times_too_much(self.multiply_adds)} the work one experiment may "
                "ask for; choose fewer iterations, fewer rounds or a smaller network",
            )

    def _check_units(self) -> None:
        steps = [step for step in self.rounds if step.takes_units and not step.ticket]
        if not steps:
            return
        total, fewest = self.recipe.weights_total, fewest_weights(self.recipe.net)
        if fewest == total:
            raise InvalidValue(
                "criterion",
                steps[0].criterion,
                "takes hidden units and channels, and this network has no two in any layer; choose "
                "a wider network or another criterion",
            )
        for step in steps:
            if total - removed_of(step.sparsity, total) < fewest:
                most = math.floor(1e4 * (1 - fewest / total)) / 1e4
                raise InvalidValue(
                    "sparsities",
                    step.sparsity,
                    f"can't be reached with criterion={step.criterion}: the last unit of a layer "
                    f"stays, so that at most {most:g} of this network can go",
                )

    @property
    def multiply_adds(self) -> int:
        """Dense multiply-adds of all trainings: forward, and twice that backward."""
        per_step = 3 * self.recipe.net.multiply_adds() * self.recipe.batch_size
        return per_step * sum(self.iterations(n) for n in range(len(self.rounds) + 1))

    def iterations(self, n: int) -> int:
        """How many iterations the schedule of level `n` has."""
        is_long = n and self._asked(n, "as_long_as_search")
        return self.recipe.iterations * (n + 1 if is_long else 1)

    def first_iteration(self, n: int) -> int:
        """The one of them at which level `n` begins."""
        return self._asked(n, "rewind_iteration") if n else 0

    def dynamics(self, n: int) -> str:
        """How the mask of level `n` changes while it trains: a name in `DYNAMICS`; empty of one
        that does not."""
        return self._asked(n, "dynamics") if n else ""

    def supermask(self, n: int) -> str:
        """How the mask of level `n` is learned, of weights that stay untrained: a name in
        `SUPERMASKS`; empty of one whose weights are trained."""
        return self._asked(n, "supermask") if n else ""

    def found_in_training(self, n: int) -> str:
        """The rule by which the mask of level `n` comes about while it trains, changing or learned;
        empty of one that is there before."""
        return self.dynamics(n) or self.supermask(n)

    def schedule(self, n: int) -> Recipe:
        """The recipe as level `n` is trained by it: with its length and its learning rates."""
        if n and self._asked(n, "restart") == "keep":
            return self.recipe.at_last_rate()
        times = self.iterations(n) // self.recipe.iterations
        return self.recipe.stretched(times) if times > 1 else self.recipe

    def _asked(self, n: int, field: str) -> object:
        # As in `round(n)`, which is checked as it is made: some thousand are read for one page.
        return CONTROLS.get(self.control, {}).get(field, getattr(self.rounds[n - 1], field))

    @cached_property
    def trunk(self) -> Experiment:
        """The experiment beside whose levels this control stands; without a control, itself."""
        return replace(self, control="") if self.control else self

    @cached_property
    def donor(self) -> Experiment:
        """The dense network with the next seed (with the greatest, the one before), which lends its
        weights to a transplanted mask."""
        seed = self.recipe.seed
        return Experiment(replace(self.recipe, seed=seed + 1 if seed < MAX_SEED else seed - 1))

    def parents(self, n: int) -> dict[str, tuple[Experiment, int]]:
        """The levels that level `n` goes on from, by key: whose they are and which."""
        if n == 0:
            return {}
        trunk = self.trunk
        found = {trunk.keys[m]: (trunk, m) for m in (0, n - 1)}
        if self._asked(n, "transplant"):
            found[self.donor.key] = (self.donor, 0)
        return found

    def round(self, n: int) -> Round:
        """What leads from level n-1 of the trunk to level n."""
        step, changes = self.rounds[n - 1], CONTROLS.get(self.control, {})
        if step.restart == "ticket" and "restart" not in changes and "reshuffled" in changes:
            # Other places than the ticket's: its weights are not known there.
            changes = {**changes, "restart": "rewind"}
        return replace(step, **changes)

    @cached_property
    def keys(self) -> tuple[str, ...]:
        """One key per level; see the module's docstring."""
        if self.control:
            trunk = self.trunk.keys
            steps = range(1, len(trunk))
            branches = (key_of(trunk[n - 1], hashed(self.round(n))) for n in steps)
            return trunk[0], *branches
        data = self.recipe.content or DATASETS[self.recipe.dataset].digest
        keys = [key_of(data, hashed(self.recipe))]
        for step in self.rounds:
            keys.append(key_of(keys[-1], hashed(step)))
        return tuple(keys)

    @cached_property
    def key(self) -> str:
        """The experiment's name: the key of its last level; with `until` one of its own."""
        if self.until:
            return key_of("until", self.until.fall, self.judged.keys[-1], self.keys[-1])
        return self.keys[-1]

    @cached_property
    def judged(self) -> Experiment:
        """The experiment whose levels say when to stop, where there is an `until`."""
        return Experiment(self.recipe, self.until.rounds)

    def up_to(self, n: int) -> Experiment:
        """The experiment whose last level is level `n` of this one."""
        return replace(self, rounds=self.rounds[:n], until=None)

    def as_dict(self) -> dict:
        """Plain JSON values; `from_dict` reads them back."""
        return json.loads(json.dumps(asdict(self)))

    @classmethod
    def from_dict(cls, fields: dict) -> Experiment:
        """The inverse of `as_dict`; every rule is checked again."""
        recipe = fields["recipe"] | {"decay_at": tuple(fields["recipe"].get("decay_at", ()))}
        if "hidden" in recipe:  # as it was written when all networks were fully connected
            recipe["network"] = " ".join(map(str, recipe.pop("hidden"))) or "none"
        until = fields.get("until")
        if until:
            until = Until(until["fall"], _rounds(until["rounds"]))
        control = fields.get("control", "")
        return cls(Recipe(**recipe), _rounds(fields["rounds"]), control, until or None)

    @classmethod
    def known(cls, fields: dict) -> Experiment | None:
        """As `from_dict`; None for what was kept by another version and means nothing here."""
        try:
            return cls.from_dict(fields)
        except (ValueError, TypeError, KeyError, AttributeError):
            return None


def _rounds(plain: Sequence[Mapping]) -> tuple[Round, ...]:
    """Rounds from plain JSON values."""
    return tuple(
        Round(**step | {"layers": tuple((name, part) for name, part in step.get("layers", ()))})
        for step in plain
    )
