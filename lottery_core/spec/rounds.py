"""A round: one pruning step and what its survivors restart from; and schedules of several."""

from __future__ import annotations

import re
from collections.abc import Mapping, Sequence
from dataclasses import dataclass

from lottery_core.method.budgets import BUDGETS, respread
from lottery_core.method.criteria import CRITERIA
from lottery_core.method.dynamics import DYNAMICS
from lottery_core.method.evidence import Evidence
from lottery_core.method.masks import Arrays, reshuffle
from lottery_core.method.pruning import UNIFORM, Target, prune
from lottery_core.method.restart import RULES
from lottery_core.method.supermasks import SUPERMASKS
from lottery_core.method.units import reshuffle_units
from lottery_core.spec.checks import (
    InvalidValue,
    check_integer,
    check_known,
    check_number,
    make_floats,
)
from lottery_core.spec.limits import MAX_ITERATIONS, MAX_ROUNDS, MAX_SEED
from lottery_core.spec.terms import SCOPES, SCOPES_OF_UNITS, TRANSPLANTS

# Scopes that leave no rate to choose for a layer, and why.
_OWN_RATES = {
    "global": "where all layers are ranked together",
    **dict.fromkeys(BUDGETS, "which says itself what each layer keeps"),
}


def _why_no_rates(scope: object, criterion: object) -> str:
    """Why no layer can have a rate of its own, as what follows "with"; empty where it can."""
    if criterion in CRITERIA and CRITERIA[criterion].takes_units:
        return f"criterion={criterion}, where what reads a unit goes with what makes it"
    return f"scope={scope}, {_OWN_RATES[scope]}" if scope in _OWN_RATES else ""


_HASH = re.compile("[0-9a-f]{64}")


@dataclass(frozen=True)
class Round:
    """One pruning step and what its survivors restart from.

    `sparsity` and `output_sparsity` are cumulative: the fraction of all weights of a layer
    (of the output layer) that are gone after this round. With `scope="global"` all layers
    are ranked together and `sparsity` is the fraction of the whole network; with a scope of
    `budgets.BUDGETS`, "erk" or "balanced", it is that too, and of what is left each layer keeps as
    much as the budget says. No layer has a rate of its own in these scopes. `layers` names other
    sparsities for single layers, as pairs of weight name and cumulative fraction. `criterion` and
    `restart` are names in `criteria.CRITERIA` and `restart.RULES`; `rewind_iteration` belongs to
    the rules that ask for one. A criterion that takes whole units takes as few as leave no more
    weights of the network than `sparsity` says, in a scope of `terms.SCOPES_OF_UNITS`.

    The survivors see the training images in that `order`, of which 0 is the dense network's (see
    `training.base.batch_order`). With a `transplant`, a name in `TRANSPLANTS`, they are rewound to
    the weights of another seed's dense network, which `Experiment.donor` names. With `reshuffled`
    the criterion decides how many weights (or whole units) each layer keeps, and chance which; with
    `reshuffled_as`, a name in `BUDGETS`, it decides how many weights are kept in all, the budget
    how many of each layer, and chance which. A sparsity of 0 prunes nothing: the network is only
    trained on.

    With `dynamics`, a name in `dynamics.DYNAMICS`, that mask changes while the network trains, from
    the initial weights on; "gradual" and "early-bird" begin with all weights and come to as many of
    each layer.
    `as_long_as_search` trains it as long as the level and all before it are together: its whole
    schedule is stretched, as Evci et al. 2020 do.

    With a `supermask`, a name in `supermasks.SUPERMASKS`, no weight is trained: a mask is learned
    that keeps as many of each layer, while the weights stay the initial ones, or of restart "signs"
    their signs with one magnitude a layer.

    With a `ticket`, the content hash of one that was brought to the store, its mask is taken as
    it is; the criterion is not asked, and the sparsities only say how much is gone. Restart
    "ticket" takes its weights too, for which `rewind_iteration` says where in the schedule they
    stand.
    """

    sparsity: float
    output_sparsity: float
    scope: str = "layerwise"
    criterion: str = "magnitude"
    restart: str = "rewind"
    rewind_iteration: int = 0
    layers: tuple[tuple[str, float], ...] = ()
    reshuffled: bool = False
    ticket: str = ""
    reshuffled_as: str = ""
    order: int = 0
    transplant: str = ""
    dynamics: str = ""
    as_long_as_search: bool = False
    supermask: str = ""

    def __post_init__(self) -> None:
        check_number("sparsity", self.sparsity, 0, 1, below=True)
        check_number("output_sparsity", self.output_sparsity, 0, 1, below=True)
        check_known("scope", self.scope, SCOPES)
        check_known("criterion", self.criterion, CRITERIA)
        if self.takes_units and self.scope not in SCOPES_OF_UNITS:
            raise InvalidValue(
                "scope",
                self.scope,
                "shares out single weights, by a layer's shape, and does not apply to the whole "
                f"units that criterion={self.criterion} takes; choose one of "
                f"{', '.join(SCOPES_OF_UNITS)}",
            )
        why = _why_no_rates(self.scope, self.criterion)
        if why and self.output_sparsity != self.sparsity:
            raise InvalidValue(
                "output_sparsity",
                self.output_sparsity,
                f"must equal sparsity={self.sparsity:g} with {why}",
            )
        self._check_layers(why)
        check_known("restart", self.restart, RULES)
        check_integer("rewind_iteration", self.rewind_iteration, 0, MAX_ITERATIONS)
        if not RULES[self.restart].asks_iteration and self.rewind_iteration:
            raise InvalidValue(
                "rewind_iteration",
                self.rewind_iteration,
                f"does not apply to restart={self.restart}; set it to 0",
            )
        check_integer("order", self.order, 0, MAX_SEED)
        self._check_reshuffled()
        self._check_ticket()
        if self.transplant:
            check_known("transplant", self.transplant, TRANSPLANTS)
            if self.restart != "rewind":
                rule = f"does not apply to restart={self.restart}; set it to rewind"
                raise InvalidValue("transplant", self.transplant, rule)
        self._check_dynamics()
        self._check_supermask()
        if not self.sparsity and self.restart not in ("keep", "rate-rewind"):
            raise InvalidValue(
                "sparsity",
                self.sparsity,
                f"with restart={self.restart} repeats the training before; prune something",
            )
        make_floats(self, "sparsity", "output_sparsity")

    def _check_reshuffled(self) -> None:
        if not isinstance(self.reshuffled, bool):
            raise InvalidValue("reshuffled", self.reshuffled, "must be True or False")
        if self.reshuffled_as == "":
            return
        check_known("reshuffled_as", self.reshuffled_as, BUDGETS)
        if not self.reshuffled:
            raise InvalidValue(
                "reshuffled_as", self.reshuffled_as, "does not apply without reshuffled=True"
            )

    def _check_dynamics(self) -> None:
        if not isinstance(self.as_long_as_search, bool):
            raise InvalidValue("as_long_as_search", self.as_long_as_search, "must be True or False")
        if self.dynamics == "":
            if self.as_long_as_search:
                raise InvalidValue(
                    "as_long_as_search", True, f"needs dynamics: one of {', '.join(DYNAMICS)}"
                )
            return
        check_known("dynamics", self.dynamics, DYNAMICS)
        if self.restart != "rewind" or self.rewind_iteration or self.transplant:
            raise InvalidValue(
                "dynamics",
                self.dynamics,
                "begins with the dense network's initial weights; choose restart=rewind, "
                "rewind_iteration=0 and no transplant",
            )

    def _check_supermask(self) -> None:
        if self.supermask == "":
            return
        check_known("supermask", self.supermask, SUPERMASKS)
        if self.dynamics:
            rule = f"learns the mask, which dynamics={self.dynamics} changes; choose one of the two"
            raise InvalidValue("supermask", self.supermask, rule)
        if self.restart not in ("rewind", "signs") or self.rewind_iteration or self.transplant:
            raise InvalidValue(
                "supermask",
                self.supermask,
                "is one of untrained weights; choose restart=rewind or restart=signs, "
                "rewind_iteration=0 and no transplant",
            )

    def _check_ticket(self) -> None:
        if self.ticket and not (isinstance(self.ticket, str) and _HASH.fullmatch(self.ticket)):
            raise InvalidValue("ticket", self.ticket, "must be the hash of a ticket: 64 hex digits")
        if self.restart == "ticket" and not self.ticket:
            raise InvalidValue("restart", self.restart, "needs a ticket; choose restart=rewind")
        if self.restart == "ticket" and self.reshuffled:
            raise InvalidValue(
                "restart",
                self.restart,
                "knows no weights outside the ticket's own mask; choose restart=rewind with a "
                "reshuffled one",
            )

    def _check_layers(self, why: str) -> None:
        for name, sparsity in self.layers:
            check_number(f"layers: {name}", sparsity, 0, 1, below=True)
        if self.layers and why:
            remedy = (
                f"{why}; leave them out"
                if self.takes_units
                else f"scope={self.scope}; choose scope=layerwise"
            )
            raise InvalidValue(
                "layers", self.layers, f"can't have rates of their own with {remedy}"
            )
        named = dict(self.layers)
        if len(named) < len(self.layers):
            raise InvalidValue("layers", self.layers, "must name each layer once")
        plain = tuple((name, float(named[name])) for name in sorted(named))
        object.__setattr__(self, "layers", plain)

    @property
    def takes_units(self) -> bool:
        """Whether its criterion takes whole units and channels."""
        return CRITERIA[self.criterion].takes_units

    def targets(self, names: Sequence[str]) -> list[Target]:
        """What is ranked or budgeted together, and how much of it goes; `names` are those of all
        prunable weights, the output layer's last."""
        if self.takes_units:
            budget = UNIFORM if self.scope == "layerwise" else ""
            return [Target(tuple(names), self.sparsity, budget)]
        if self.scope in _OWN_RATES:
            budget = self.scope if self.scope in BUDGETS else ""
            return [Target(tuple(names), self.sparsity, budget)]
        sparsities = dict.fromkeys(names, self.sparsity)
        sparsities |= {names[-1]: self.output_sparsity} | dict(self.layers)
        return [Target((name,), sparsities[name]) for name in names]

    def pruned(self, evidence: Evidence) -> Arrays:
        """The mask that the criterion leaves."""
        return prune(evidence, self.criterion, self.targets([*evidence.mask]))

    def cut(self, evidence: Evidence, chance: int, given: Arrays | None = None) -> Arrays:
        """The mask after this round: the criterion's, or the one that is `given`; drawn by the seed
        `chance` where the round is reshuffled: whole units, where these go, unless a budget spreads
        their weights."""
        mask = given or self.pruned(evidence)
        if self.reshuffled_as:
            mask = respread(mask, self.reshuffled_as)
        elif self.reshuffled and self.takes_units and not given:
            return reshuffle_units(mask, evidence.axes, chance)
        return reshuffle(mask, chance) if self.reshuffled else mask


def one_shot(sparsity: float) -> list[float]:
    """All pruning in one round."""
    check_number("sparsity", sparsity, 0, 1, above=True, below=True)
    return [sparsity]


def iterative(rate: float, rounds: int) -> list[float]:
    """Each of `rounds` rounds removes the fraction `rate` of what is left: 1 - (1 - rate)^n."""
    check_number("rate", rate, 0, 1, above=True, below=True)
    check_integer("rounds", rounds, 1, MAX_ROUNDS)
    return [1 - (1 - rate) ** n for n in range(1, rounds + 1)]


def rounds_of(
    sparsities: Sequence[float],
    *,
    output_factor: float = 1.0,
    layer_factors: Mapping[str, float] | None = None,
    **same,
) -> tuple[Round, ...]:
    """Rounds that reach each of the cumulative `sparsities` in turn.

    In every round the output layer loses `output_factor` times the fraction of its remaining
    weights that the other layers lose of theirs (1: the notebook; 0.5: the paper), and a layer
    whose weight is named in `layer_factors` that factor times. `same` holds the fields of
    `Round` that are alike in all of them.
    """
    factors = dict(layer_factors or {})
    check_number("output_factor", output_factor, 0, 1)
    for factor in factors.values():
        check_number("layer_factors", factor, 0, 1)
    why = _why_no_rates(same.get("scope"), same.get("criterion"))
    if why and (output_factor != 1 or factors):
        name = "output_factor" if output_factor != 1 else "layer_factors"
        other = "" if why.startswith("criterion") else " or choose scope=layerwise"
        raise InvalidValue(
            name,
            output_factor if output_factor != 1 else factors,
            f"cannot apply with {why}; leave it out{other}",
        )
    if len(sparsities) > MAX_ROUNDS:
        raise InvalidValue("rounds", len(sparsities), f"must be at most {MAX_ROUNDS}")
    rounds, before = [], 0.0
    left = dict.fromkeys(["output", *factors], 1.0)
    for sparsity in sparsities:
        check_number("sparsities", sparsity, 0, 1, above=True, below=True)
        rate = (sparsity - before) / (1 - before)
        before = sparsity
        # Twelve digits: a computed and a typed sparsity are one request and get one key.
        reached = {"all": round(sparsity, 12)}
        for name, factor in {"output": output_factor, **factors}.items():
            left[name] *= 1 - factor * rate
            slower = max(0.0, round(1 - left[name], 12))
            reached[name] = reached["all"] if factor == 1 else slower
        layers = tuple((name, reached[name]) for name in factors)
        rounds.append(Round(reached["all"], reached["output"], layers=layers, **same))
    return tuple(rounds)
