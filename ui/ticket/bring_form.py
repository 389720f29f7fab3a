"""How a ticket that was brought along is to be trained."""

from __future__ import annotations

import streamlit as st

from lottery_core.data import is_prepared
from lottery_core.spec.arms import ARMS
from lottery_core.spec.checks import InvalidValue
from lottery_core.spec.datasets import DATASETS, unverified_in_words
from lottery_core.spec.experiment import Experiment
from lottery_core.spec.recipe import Recipe
from lottery_core.spec.terms import OPTIMISERS
from lottery_core.store import Level
from lottery_core.tickets import transfer
from lottery_core.tickets.incoming import Upload
from ui.shared.jobs import plan_of, rest_in_words
from ui.shared.runtime import runtime
from ui.shared.text import many, plain
from ui.shared.trouble import asking, show_refused


def show_form(upload: Upload, origin: Level | None) -> None:
    """What to train it on and with, what that would take, and the button; `origin` is the level of
    this cache that has its mask."""
    st.header("Train it")
    try:
        base = transfer.recipe_of(upload, origin)
    except InvalidValue as error:
        st.info(plain(str(error)), icon=":material/image_not_supported:")
        return
    claimed = "the Quick preset's recipe"
    if upload.claims.get("experiment"):
        claimed = "the recipe in the file"
    elif origin is not None:
        claimed = f"the recipe and the seed of the level it is of here, seed {base.seed}"
    st.caption(
        f"To begin with, {claimed}. Beside it runs the dense network, and controls of its size. "
        "Another data set, optimiser or seed shows whether the ticket transfers."
    )
    # Another file is another form, with its own recipe for defaults.
    key = f"bring_{upload.sha256[:12]}"
    first, second, third = st.columns(3)
    with first:
        changes = {"dataset": _choose_dataset(upload, base, key)}
        own_weights = _choose_weights(upload, key)
    with second:
        changes |= _choose_training(base, key)
    with third:
        changes["seed"] = st.number_input(
            "Seed", value=base.seed, step=1, key=f"{key}_seed", persist_state="session"
        )
        beside = _choose_beside(key)
    try:
        recipe = transfer.adapted(base, **changes)
        arms = transfer.arms(upload, recipe, own_weights=own_weights, **beside)
    except InvalidValue as error:
        st.error(plain(str(error)))
        st.button("Train", type="primary", disabled=True, key="bring_train")
        return
    _show_button(upload, [one for arm in arms.values() for one in arm])


def _choose_dataset(upload: Upload, base: Recipe, key: str) -> str:
    datasets = transfer.datasets_of(upload.net)
    dataset = st.selectbox(
        "Data set",
        datasets,
        datasets.index(base.dataset),
        key=f"{key}_dataset",
        persist_state="session",
        format_func=lambda name: DATASETS[name].title,
    )
    content = base.content if dataset == base.dataset else ""
    if content:
        st.caption(unverified_in_words(dataset, content))
    elif not is_prepared(dataset, runtime().store.datasets):
        st.caption("It is downloaded first: the Explorer can read it from a folder instead.")
    return dataset


def _choose_weights(upload: Upload, key: str) -> bool:
    """Whether survivors start from the weights in the file."""
    if upload.restart is None:
        st.caption("The file has no weights: survivors start from those of the seed.")
        return False
    chosen = st.radio(
        "Survivors start from",
        ["file", "initial"],
        key=f"{key}_weights",
        persist_state="session",
        format_func={
            "file": "The weights in the file",
            "initial": "Initial weights drawn with the seed",
        }.get,
    )
    return chosen == "file"


def _choose_training(base: Recipe, key: str) -> dict:
    """Optimiser, learning rate and iterations, as `transfer.adapted` takes them."""
    optimisers = list(OPTIMISERS)
    optimiser = st.selectbox(
        "Optimiser",
        optimisers,
        optimisers.index(base.optimiser),
        key=f"{key}_optimiser",
        persist_state="session",
        format_func=lambda name: OPTIMISERS[name].title,
    )
    usual = transfer.rate_of(base, optimiser)
    rate = st.number_input(
        "Learning rate", value=usual, format="%.6g", step=0.001, key=f"{key}_rate_{optimiser}",
        persist_state="session",
    )  # fmt: skip
    iterations = st.number_input(
        "Iterations", value=base.iterations, step=100, key=f"{key}_iterations",
        persist_state="session",
    )  # fmt: skip
    return {"optimiser": optimiser, "learning_rate": rate, "iterations": iterations}


def _choose_beside(key: str) -> dict:
    """How many seeds and which controls, as `transfer.arms` takes them."""
    replicates = st.number_input(
        "Seeds", value=1, step=1, key=f"{key}_seeds", help="How many, from that one on.",
        persist_state="session",
    )  # fmt: skip
    controls = st.multiselect(
        "Run beside it",
        list(transfer.CONTROLS),
        ["random-mask"],
        key=f"{key}_controls",
        persist_state="session",
        format_func=lambda name: ARMS[name].title.capitalize(),
    )
    return {"replicates": replicates, "controls": controls}


def _show_button(upload: Upload, experiments: list[Experiment]) -> None:
    todo = plan_of(experiments)
    st.markdown(f"**{many(todo.trainings, 'training')}{rest_in_words(todo)}**")
    st.button(
        "Train",
        type="primary",
        icon=":material/play_arrow:",
        on_click=_start,
        args=(upload, experiments),
        key="bring_train",
    )
    show_refused()


@asking
def _start(upload: Upload, experiments: list[Experiment]) -> None:
    runtime().store.write_ticket(upload.content_digest, upload.mask, upload.restart)
    runtime().queue.submit_all(experiments)
