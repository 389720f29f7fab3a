"""Tickets of a torch module of somebody's own as files: what is served is whole, and what can't
be said of it is refused."""

import io

import numpy as np
import pytest
import torch
from safetensors import safe_open
from safetensors.numpy import load
from torch.nn.utils import prune

import lottery_core as lt
from lottery_core.method import criteria
from lottery_core.spec import networks
from lottery_core.tickets import card, files
from lottery_core.tickets.incoming import read_upload
from tests.test_library import small
from tests.test_own import Everything, saliency

pytestmark = pytest.mark.usefixtures("forgotten")

SERVED = ("ticket", "mask", "mask-npz", "pt", "pt-trained", "card")
REFUSED = ("onnx", "script", "bundle", *files.OF_SMALLER)


@pytest.fixture
def level(store):
    own = lt.network("everything", 1, Everything)
    return lt.run(small(network=own, controls=[], rounds=1), store.root, loop="torch").levels[-1]


@pytest.fixture(params=["its own process", "another process"])
def process(request, level):
    """Who exports: the process that brought the module along, or one that never saw it."""
    if request.param == "another process":
        networks.OWN.clear()
        networks.network.cache_clear()
    return request.param


def test_every_format_is_either_served_or_refused():
    assert {*SERVED, *REFUSED} == {*files.FORMATS}


@pytest.mark.parametrize("part", ["restart", "trained"])
def test_a_state_dict_goes_into_the_pruned_module_as_it_is(store, level, process, part):
    name = {"restart": "pt", "trained": "pt-trained"}[part]
    state = torch.load(io.BytesIO(files.export(store, level.info.key, name)), weights_only=True)
    module = Everything()
    for layer in (module.conv, module.out):
        prune.identity(layer, "weight")
    module.load_state_dict(state)
    weights = {"restart": level.start, "trained": level.end}[part]
    for layer in (module.conv, module.out):
        prune.remove(layer, "weight")
    for weight, values in module.state_dict().items():
        if weight in weights:
            assert np.array_equal(values, weights[weight]), weight


def test_masks_and_tensors_go_by_the_names_of_the_state_dict(store, level, process, tmp_path):
    ticket = files.export(store, level.info.key, "ticket")
    found = load(ticket)
    for part, arrays in {"mask": level.mask, "restart": level.start, "trained": level.end}.items():
        for name, values in arrays.items():
            assert np.array_equal(found[f"{part}/{name}"], values), name
    assert len(found) == len(level.mask) + len(level.start) + len(level.end)
    for name in ("mask", "ticket"):
        (tmp_path / name).write_bytes(files.export(store, level.info.key, name))
        with safe_open(tmp_path / name, "np") as file:
            header = file.metadata()
        assert "network" not in header  # no list of operations that is empty
        assert level.info.experiment["recipe"]["network"] in header["contents"]
    arrays = np.load(io.BytesIO(files.export(store, level.info.key, "mask-npz")))
    assert {name: arrays[name].sum() for name in arrays} == {
        name: kept.sum() for name, kept in level.mask.items()
    }


@pytest.mark.parametrize("name", REFUSED)
def test_what_would_have_to_say_what_the_module_computes_is_refused(store, level, process, name):
    with pytest.raises(
        lt.InvalidValue,
        match="has a network of its author's own, everything, and what a torch module computes "
        "stands in its code alone; take the ticket as pt",
    ):
        files.export(store, level.info.key, name)


def test_the_command_refuses_before_anything_is_written(store, level, command, tmp_path):
    key, out = level.info.key, tmp_path / "file"
    code, said = command("export", key, "--format", "onnx", "--out", out, "--cache", store.root)
    assert code == 2
    assert "stands in its code alone" in " ".join(said.replace("│", " ").split())
    assert not out.exists()
    code, _ = command("export", key, "--format", "mask", "--out", out, "--cache", store.root)
    assert code == 0
    assert load(out.read_bytes()).keys() == level.mask.keys()


def test_the_card_names_the_code_and_promises_no_command_and_no_script(store, level, process):
    text = files.export(store, level.info.key, "card").decode()
    name = level.info.experiment["recipe"]["network"]
    assert f"`{name}`, a torch module of its author's own" in text
    assert f"in a process that knows {name}" in text
    assert "python -m" not in text
    assert "beside its script" not in text


def test_the_ticket_of_an_own_criterion_is_one_like_any_other_and_no_command_repeats_it(store):
    own = lt.criterion("saliency", 1, saliency)
    run = lt.run(small(criterion=own, controls=[], rounds=1), store.root, loop="torch")
    level = run.levels[-1]
    known = card.card(card.gather(store, level))
    assert "No command line expresses this experiment" in known
    assert f"in a process that knows {own}" in known
    assert "beside its script" in known
    del criteria.CRITERIA[own]  # another process
    for name in REFUSED:
        assert files.export(store, level.info.key, name)
    content = files.export(store, level.info.key, "ticket")
    upload = read_upload("a.safetensors", content)
    assert upload.network == "8"
    why = dict(upload.reading.left_out)["header: experiment"]
    assert why == "names code of its author's own, which no file can bring along"


def test_a_file_of_an_own_network_is_no_way_to_name_it(store, level, process):
    """Read by its shapes like any other file, or refused; never as code that a file names."""
    ticket = files.export(store, level.info.key, "ticket")
    with pytest.raises(lt.InvalidValue, match="has layers of 4 x 1 x 3 x 3, 10 x 676, 3 x 3"):
        read_upload("a.safetensors", ticket)
