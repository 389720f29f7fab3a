"""A round: one pruning step and what its survivors restart from; and schedules of several."""

from __future__ import annotations

import re
from collections.abc import Mapping, Sequence
from dataclasses import dataclass

from lottery_core.method.criteria import CRITERIA
from lottery_core.method.pruning import Target
from lottery_core.method.restart import RULES
from lottery_core.spec.checks import (
    InvalidValue,
    check_integer,
    check_known,
    check_number,
    make_floats,
)
from lottery_core.spec.limits import MAX_ITERATIONS, MAX_ROUNDS
from lottery_core.spec.terms import SCOPES

_HASH = re.compile("[0-9a-f]{64}")


@dataclass(frozen=True)
class Round:
    """One pruning step and what its survivors restart from.

    `sparsity` and `output_sparsity` are cumulative: the fraction of all weights of a layer
    (of the output layer) that are gone after this round. With `scope="global"` all layers
    are ranked together and `sparsity` is the fraction of the whole network; no layer has a
    rate of its own then. `layers` names other sparsities for single layers, as pairs of weight
    name and cumulative fraction. `criterion` and `restart` are names in `pruning.CRITERIA` and
    `restart.RULES`; `rewind_iteration` belongs to "rewind" and "rate-rewind" alone. With
    `reshuffled` the criterion decides how many weights each layer keeps, and chance which.
    A sparsity of 0 prunes nothing: the network is only trained on.

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

    def __post_init__(self) -> None:
        check_number("sparsity", self.sparsity, 0, 1, below=True)
        check_number("output_sparsity", self.output_sparsity, 0, 1, below=True)
        check_known("scope", self.scope, SCOPES)
        if self.scope == "global" and self.output_sparsity != self.sparsity:
            raise InvalidValue(
                "output_sparsity",
                self.output_sparsity,
                f"must equal sparsity={self.sparsity:g} with scope=global, where all layers are "
                "ranked together",
            )
        self._check_layers()
        check_known("criterion", self.criterion, CRITERIA)
        check_known("restart", self.restart, RULES)
        check_integer("rewind_iteration", self.rewind_iteration, 0, MAX_ITERATIONS)
        if not RULES[self.restart].asks_iteration and self.rewind_iteration:
            raise InvalidValue(
                "rewind_iteration",
                self.rewind_iteration,
                f"does not apply to restart={self.restart}; set it to 0",
            )
        if not isinstance(self.reshuffled, bool):
            raise InvalidValue("reshuffled", self.reshuffled, "must be True or False")
        self._check_ticket()
        if not self.sparsity and self.restart not in ("keep", "rate-rewind"):
            raise InvalidValue(
                "sparsity",
                self.sparsity,
                f"with restart={self.restart} repeats the training before; prune something",
            )
        make_floats(self, "sparsity", "output_sparsity")

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

    def _check_layers(self) -> None:
        for name, sparsity in self.layers:
            check_number(f"layers: {name}", sparsity, 0, 1, below=True)
        if self.layers and self.scope == "global":
            raise InvalidValue(
                "layers",
                self.layers,
                "can't have rates of their own with scope=global; choose scope=layerwise",
            )
        named = dict(self.layers)
        if len(named) < len(self.layers):
            raise InvalidValue("layers", self.layers, "must name each layer once")
        plain = tuple((name, float(named[name])) for name in sorted(named))
        object.__setattr__(self, "layers", plain)

    def targets(self, names: Sequence[str]) -> list[Target]:
        """What is ranked together, and how much of it goes; `names` are those of all prunable
        weights, the output layer's last."""
        if self.scope == "global":
            return [Target(tuple(names), self.sparsity)]
        sparsities = dict.fromkeys(names, self.sparsity)
        sparsities |= {names[-1]: self.output_sparsity} | dict(self.layers)
        return [Target((name,), sparsities[name]) for name in names]


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
    if same.get("scope") == "global" and (output_factor != 1 or factors):
        name = "output_factor" if output_factor != 1 else "layer_factors"
        raise InvalidValue(
            name,
            output_factor if output_factor != 1 else factors,
            "cannot apply with scope=global, where all layers are ranked together; "
            "leave it out or choose scope=layerwise",
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
