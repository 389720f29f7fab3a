"""Which level of which experiment the Ticket page is about, and what it is in numbers."""

from __future__ import annotations

from dataclasses import dataclass

import streamlit as st

from lottery_core.findings.early import cut_in_words
from lottery_core.findings.lines import known_experiments
from lottery_core.findings.rewinding import MOVED, UNTRAINED
from lottery_core.findings.verdict import level_to_show
from lottery_core.spec.arms import arm_of, title_of
from lottery_core.spec.checks import is_whole
from lottery_core.spec.experiment import Experiment
from lottery_core.spec.sizes import as_percent, schedule_in_words, size_in_words
from lottery_core.store import Level
from ui.shared.frame import one_of
from ui.shared.jobs import show_damaged
from ui.shared.link import Link
from ui.shared.reading import asked_together, finished, proven
from ui.shared.runtime import runtime
from ui.shared.scrubber import scrubber
from ui.shared.words import meaning, say_small

LINK = Link("ticket")
# What the link of a brought ticket says of how it is to be trained, where that is not the usual,
# and as which field of a choice each is read.
FORM = {
    "network": "network",
    "on": "dataset",
    "weights": "",
    "optimiser": "optimiser",
    "rate": "learning_rate",
    "iterations": "rounds",
    "seed": "seed",
    "seeds": "replicates",
    "beside": "controls",
}
GONE = "A level of this experiment could not be read; it is computed again when it is asked for."
VIEWS = {
    "inside": "Look inside",
    "survival": "Survival map",
    "try": "Try it",
    "hand": "Prune by hand",
    "take": "Take it away",
    "bring": "Bring it back",
}

_UNDER_FIRST_MASK = (
    "Of the same weights under the mask that its scores began with, before any of it was learned."
)
_AT_ITS_START = (
    "Of the weights that the level starts with, in its mask, before they are trained. A mask that "
    "training has found often names far more images rightly than guessing, though none of its "
    "weights was ever trained: a supermask (Zhou et al. 2019, arXiv 1905.01067)."
)


@dataclass(frozen=True)
class Subject:
    """Level `n` of an experiment, its key, and its dense network's; both without arrays."""

    experiment: Experiment
    n: int
    level: Level
    dense: Level

    @property
    def key(self) -> str:
        """The level's key."""
        return self.experiment.keys[self.n]

    @property
    def dense_key(self) -> str:
        """Level 0's key."""
        return self.experiment.keys[0]


def known() -> dict[str, Experiment]:
    """As `lines.known_experiments`, tickets before controls."""
    both = known_experiments(runtime().store).items()
    found = {key: experiment for key, (experiment, _) in both}
    tickets = {key: one for key, one in found.items() if arm_of(one) == "ticket"}
    return tickets | found


def asked_ticket() -> str:
    """The content hash of the brought ticket that is shown; empty if there is none."""
    return LINK.params.get("ticket", "")


def write_url(subject: Subject | None, view: str, ticket: str) -> None:
    """What is on the screen, as a link."""
    url = {"view": view} | ({"ticket": ticket} if ticket else {})
    if subject is not None:
        url |= {"key": subject.experiment.key, "level": str(subject.n)}
    else:
        # What was looked at before a file was brought is offered again after it.
        url |= {name: LINK.params[name] for name in ("key", "level") if name in LINK.params}
        LINK.asked.update(url)
        url |= {name: text for name, text in LINK.params.items() if name in FORM}
    LINK.write(url)


def choose_view() -> str:
    """Which of `VIEWS`."""
    asked = LINK.asked.get("view")
    return one_of("View", LINK.widget_key("ticket_view"), VIEWS, asked if asked in VIEWS else "")


def _asked(found: dict[str, Experiment]) -> tuple[str, int | None]:
    """The experiment and level that the link asks for; adds it to `found` where only its levels
    are known."""
    key, text = LINK.asked.get("key", ""), LINK.asked.get("level", "")
    n = int(text) if is_whole(text) else None
    if key and key not in found:
        # Not an experiment's key: a level's own, as the command line and files name it.
        for one in found.values():
            if key in one.keys:
                return one.key, one.keys.index(key)
        info = runtime().store.info(key) if key.isalnum() else None
        experiment = Experiment.known(info.experiment) if info else None
        if experiment is not None:
            found[key] = experiment
            return key, info.level
        st.warning("What the link names is not in this cache; something else is shown.")
    return key, n


def choose() -> Subject | None:
    """The level to look at; in the URL, so that a link finds it again. None in an empty cache."""
    found = known()
    asked, n = _asked(found)
    if not found:
        return None
    keys = list(found)
    chosen = st.selectbox(
        "Experiment",
        keys,
        keys.index(asked) if asked in found else 0,
        key=LINK.widget_key("ticket_experiment"),
        format_func=lambda key: in_words(found[key]),
    )
    experiment = found[chosen]
    levels = finished(experiment)
    show_damaged([experiment])
    if not levels:
        st.warning("Its levels can't be read; choose another, or run it again in the Explorer.")
        return None
    last = len(levels) - 1
    if chosen == asked and n is not None and n <= last:
        wanted = n
    else:
        wanted = min(level_to_show(asked_together(experiment)), last)
    n = scrubber(
        last, len(experiment.rounds), False, LINK.widget_key(f"ticket_level_{chosen}"), wanted
    )
    return Subject(experiment, n, levels[n], levels[0])


def in_words(experiment: Experiment) -> str:
    """An experiment in a line."""
    recipe = experiment.recipe
    words = [f"{recipe.net.sizes} on {recipe.data_title}", f"{recipe.iterations:,} iterations"]
    if experiment.rounds:
        words += [schedule_in_words(experiment.rounds)]
        words += [title_of(experiment)]
    return ", ".join([*words, f"seed {recipe.seed}"])


def show_number(label: str, value: str, note: str, explained: str | None = None) -> None:
    """A number with what belongs to it below."""
    st.metric(label, value, note, delta_color="off", delta_arrow="off", help=explained)


def show_numbers(subject: Subject) -> None:
    """What this level is, beside its dense network."""
    info, dense = subject.level.info, subject.dense.info
    stop = info.early_stop_iteration
    with st.container(horizontal=True, key="ticket_numbers"):
        show_number(
            "Weights kept",
            f"{info.weights_kept:,}",
            f"{size_in_words(info.percent_remaining)} of {info.weights_total:,}",
            meaning("P_m"),
        )
        show_number(
            "Test accuracy, end of training",
            as_percent(info.test_accuracy, 2),
            f"dense: {as_percent(dense.test_accuracy, 2)}" if subject.n else "dense",
            meaning("dense"),
        )
        is_learned = subject.experiment.supermask(subject.n)
        begins, of_dense = (_at_its_start(level) for level in (subject.level, subject.dense))
        show_number(
            "Test accuracy, at its start",
            as_percent(begins, 2),
            f"dense: {as_percent(of_dense, 2)}" if subject.n else "dense",
            _UNDER_FIRST_MASK if is_learned else _AT_ITS_START,
        )
        if stop is not None:
            show_number(
                "Early stop, iteration",
                f"{stop:,}",
                f"dense: {dense.early_stop_iteration:,}" if subject.n else "dense",
                meaning("early stop", "iteration"),
            )
    if found := proven(subject.experiment, subject.n):
        if found.holds:
            say_small(f":material/verified: {found.in_words()}")
        else:
            st.error(found.in_words())
    if info.explored is not None:
        say_small(
            f"Its mask changed while it trained: {as_percent(info.explored)} of all weights were "
            f"in it at some time. {MOVED}"
        )
    if is_learned:
        say_small(UNTRAINED)
    if cut := cut_in_words([info]):
        say_small(f"It is an early bird, {cut}.")
    say_small(f"One seed: {subject.experiment.recipe.seed}. Key of this level: `{subject.key}`")


def _at_its_start(level: Level) -> float:
    return float(level.history["test_accuracy"].iloc[0])


def show_empty() -> None:
    """For a cache without levels."""
    st.info(
        "There is no trained network in this cache yet. Find a ticket in the Explorer first, or "
        "bring one along.",
        icon=":material/confirmation_number:",
    )
    st.page_link("app.py", label="To the Explorer", icon=":material/explore:")
