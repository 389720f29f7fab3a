"""How a ticket that was brought along is to be trained."""

from __future__ import annotations

import streamlit as st

from lottery_core.data import is_prepared
from lottery_core.spec.arms import ARMS
from lottery_core.spec.checks import InvalidValue
from lottery_core.spec.datasets import DATASETS, unverified_in_words
from lottery_core.spec.experiment import Experiment
from lottery_core.spec.links import read_value, write_value
from lottery_core.spec.recipe import Recipe
from lottery_core.spec.terms import OPTIMISERS
from lottery_core.store import Level
from lottery_core.tickets import transfer
from lottery_core.tickets.incoming import Upload
from ui.shared.jobs import plan_of, rest_in_words
from ui.shared.runtime import runtime
from ui.shared.text import many, plain
from ui.shared.trouble import asking, show_refused
from ui.ticket.subject import FORM, LINK


class _Form:
    """The widgets of one file's form: what they begin with, and what the link says of them."""

    def __init__(self, upload: Upload) -> None:
        # Another file is another form, with its own recipe for defaults.
        self._key = f"bring_{upload.sha256[:12]}"
        same = LINK.asked.get("ticket") == upload.content_digest
        self._asked = LINK.asked if same else {}
        self._said: dict[str, str | None] = {}

    def key(self, name: str) -> str:
        """The key of a widget."""
        return LINK.widget_key(f"{self._key}_{name}")

    def begin(self, name: str, usual: object) -> object:
        """What a widget begins with: what the link says, where it can be read, or the usual."""
        try:
            return read_value(FORM[name], self._asked[name])
        except (KeyError, InvalidValue):
            return usual

    def says(self, name: str, text: str) -> bool:
        """Whether the link says that."""
        return self._asked.get(name) == text

    def keep(self, name: str, value: object, usual: object) -> None:
        """Have the link say a value that is not the usual one."""
        self._said[name] = None if value == usual else write_value(value)

    def write(self) -> None:
        """Say it in the link."""
        LINK.change(**self._said)


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
    form = _Form(upload)
    first, second, third = st.columns(3)
    with first:
        changes = {"dataset": _choose_dataset(upload, base, form)}
        own_weights = _choose_weights(upload, form)
    with second:
        changes |= _choose_training(base, form)
    with third:
        changes["seed"] = _number("Seed", "seed", base.seed, form)
        beside = _choose_beside(form)
    form.write()
    try:
        recipe = transfer.adapted(base, **changes)
        arms = transfer.arms(upload, recipe, own_weights=own_weights, **beside)
    except InvalidValue as error:
        st.error(plain(str(error)))
        st.button("Train", type="primary", disabled=True, key="bring_train")
        return
    _show_button(upload, [one for arm in arms.values() for one in arm])


def _number(label: str, name: str, usual: int, form: _Form, step: int = 1, more: str = "") -> int:
    value = st.number_input(
        label, value=form.begin(name, usual), step=step, key=form.key(name), help=more or None
    )
    form.keep(name, value, usual)
    return value


def _choose_dataset(upload: Upload, base: Recipe, form: _Form) -> str:
    datasets = transfer.datasets_of(upload.net)
    asked = form.begin("on", base.dataset)
    dataset = st.selectbox(
        "Data set",
        datasets,
        datasets.index(asked if asked in datasets else base.dataset),
        key=form.key("on"),
        format_func=lambda name: DATASETS[name].title,
    )
    form.keep("on", dataset, base.dataset)
    content = base.content if dataset == base.dataset else ""
    if content:
        st.caption(unverified_in_words(dataset, content))
    elif not is_prepared(dataset, runtime().store.datasets):
        st.caption("It is downloaded first: the Explorer can read it from a folder instead.")
    return dataset


def _choose_weights(upload: Upload, form: _Form) -> bool:
    """Whether survivors start from the weights in the file."""
    if upload.restart is None:
        st.caption("The file has no weights: survivors start from those of the seed.")
        return False
    chosen = st.radio(
        "Survivors start from",
        ["file", "initial"],
        int(form.says("weights", "initial")),
        key=form.key("weights"),
        format_func={
            "file": "The weights in the file",
            "initial": "Initial weights drawn with the seed",
        }.get,
    )
    form.keep("weights", chosen, "file")
    return chosen == "file"


def _choose_training(base: Recipe, form: _Form) -> dict:
    """Optimiser, learning rate and iterations, as `transfer.adapted` takes them."""
    optimisers = list(OPTIMISERS)
    optimiser = st.selectbox(
        "Optimiser",
        optimisers,
        optimisers.index(form.begin("optimiser", base.optimiser)),
        key=form.key("optimiser"),
        format_func=lambda name: OPTIMISERS[name].title,
    )
    form.keep("optimiser", optimiser, base.optimiser)
    usual = transfer.rate_of(base, optimiser)
    rate = st.number_input(
        "Learning rate",
        value=form.begin("rate", usual),
        format="%.6g",
        step=0.001,
        key=form.key(f"rate_{optimiser}"),
    )
    form.keep("rate", rate, usual)
    iterations = _number("Iterations", "iterations", base.iterations, form, 100)
    return {"optimiser": optimiser, "learning_rate": rate, "iterations": iterations}


def _choose_beside(form: _Form) -> dict:
    """How many seeds and which controls, as `transfer.arms` takes them."""
    replicates = _number("Seeds", "seeds", 1, form, more="How many, from that one on.")
    usual = ("random-mask",)
    asked = form.begin("beside", usual)
    controls = st.multiselect(
        "Run beside it",
        list(transfer.CONTROLS),
        [name for name in asked if name in transfer.CONTROLS],
        key=form.key("beside"),
        format_func=lambda name: ARMS[name].title.capitalize(),
    )
    form.keep("beside", tuple(controls), usual)
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
