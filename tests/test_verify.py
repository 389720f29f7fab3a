"""Of a file that is brought back it is said what matches, what differs and what is unknown."""

import json
import warnings
from dataclasses import replace

import numpy as np
import pytest
from safetensors import safe_open
from safetensors.numpy import load, save
from typer.testing import CliRunner

from lottery_core.__main__ import app
from lottery_core.running import engine
from lottery_core.spec.experiment import Experiment
from lottery_core.spec.keys import VERSION
from lottery_core.spec.recipe import Recipe
from lottery_core.spec.rounds import rounds_of
from lottery_core.store import Store
from lottery_core.tickets import files, transfer
from lottery_core.tickets.content import digest
from lottery_core.tickets.incoming import read_upload
from lottery_core.tickets.verify import Finding, verify, verify_in_words
from lottery_core.training.context import Context

pytestmark = pytest.mark.usefixtures("judged_on_few")


@pytest.fixture(scope="module")
def experiment():
    recipe = Recipe(network="8", iterations=12, evaluate_every=6, batch_size=16)
    return Experiment(recipe, rounds_of([0.5, 0.75]))


@pytest.fixture(scope="module")
def full(make_store, tmp_path_factory, experiment):
    """A store with the experiment's three levels; nobody writes to it."""
    store = make_store(tmp_path_factory.mktemp("full"))
    list(engine.run(experiment, Context(store)))
    return store


@pytest.fixture
def empty(tmp_path):
    return Store(tmp_path / "empty")


@pytest.fixture
def level(full, experiment):
    return full.read(experiment.key)


@pytest.fixture
def ticket(level):
    return files.ticket_safetensors(level)


def read(content):
    return read_upload("file", content)


def verdicts(findings):
    return {finding.what: finding.verdict for finding in findings}


def differing(findings):
    return [finding.what for finding in findings if finding.verdict == "differs"]


@pytest.fixture
def changed(ticket, tmp_path):
    """Makes the ticket with other arrays or another header, everything else as it was."""
    path = tmp_path / "ticket.safetensors"
    path.write_bytes(ticket)
    with safe_open(path, "numpy") as file:
        header = file.metadata()

    def make(arrays=None, **fields):
        told = {name: text for name, text in (header | fields).items() if text is not None}
        return save(load(ticket) | (arrays or {}), metadata=told)

    return make


# Files as we write them


@pytest.mark.parametrize("n", [0, 1, 2])
def test_a_ticket_of_a_level_in_the_cache_matches_in_everything(full, experiment, n):
    level = full.read(experiment.keys[n])
    findings = verify(read(files.ticket_safetensors(level)), full)
    assert {*verdicts(findings).values()} == {"matches"}
    assert [finding.what for finding in findings] == [
        "hash of the mask",
        "hash of the restart weights",
        "hash of the trained weights",
        "weights kept in fc1.weight",
        "weights kept in fc2.weight",
        "network",
        "key of its experiment's level",
        "pruned restart weights",
        "pruned trained weights",
        "level in the cache",
        "mask in the cache",
        "restart weights in the cache",
        "trained weights in the cache",
        "results in the cache",
        *(["dense network's weights in the cache"] if n else []),
    ]
    words = f"This is level {n} of an experiment in this cache, bit for bit."
    assert verify_in_words(findings) == words


def test_findings_show_what_was_claimed_and_found(full, ticket, level):
    by = {finding.what: finding for finding in verify(read(ticket), full)}
    kept = f"{int(level.mask['fc1.weight'].sum()):,} of 6,272"
    assert by["weights kept in fc1.weight"] == Finding(
        "weights kept in fc1.weight", kept, kept, "matches"
    )
    assert by["network"].found == "784-8-10"
    assert by["hash of the mask"].found == digest(level.mask)[:12]
    assert by["level in the cache"].found == f"level 2, key {level.info.key[:12]}"


def test_a_mask_with_our_header_is_known_as_that_levels_mask(full, level):
    findings = verify(read(files.mask_safetensors(level)), full)
    assert {*verdicts(findings).values()} == {"matches"}
    assert verify_in_words(findings) == (
        "This is the mask of level 2 of an experiment in this cache, bit for bit."
    )


def test_a_ticket_of_a_level_that_is_not_here_is_as_it_was_written(empty, ticket):
    findings = verify(read(ticket), empty)
    assert differing(findings) == []
    assert verdicts(findings)["level in the cache"] == "unknown"
    assert verify_in_words(findings) == (
        "The file is as it was written, but its level is not in this cache."
    )


def test_an_older_ticket_without_hashes_is_known_by_the_cache_alone(full, empty, changed):
    old = changed(format=None, digests=None, layers=None, results=None, versions=None)
    findings = verify(read(old), full)
    assert verdicts(findings)["hash of the mask"] == "unknown"
    assert verify_in_words(findings) == (
        "This is level 2 of an experiment in this cache, bit for bit."
    )
    assert verify_in_words(verify(read(old), empty)) == (
        "Its level is not in this cache, and the file has no hashes that would show a change."
    )


def test_other_files_than_the_published_ones_are_told_and_looked_for(empty, changed, experiment):
    recipe = replace(experiment.recipe, dataset="kmnist", content="ab" * 32)
    told = json.dumps(replace(experiment, recipe=recipe).as_dict())
    by = {one.what: one for one in verify(read(changed(experiment=told)), empty)}
    assert by["data set"] == Finding(
        "data set", "KMNIST (unverified files abababab)", "not in this cache", "unknown"
    )


# Files without a header


def test_a_mask_that_does_not_say_so_is_found_in_the_cache(full, level):
    findings = verify(read(files.mask_npz(level)), full)
    assert verdicts(findings) == {"the same mask in the cache": "matches"}
    assert verify_in_words(findings) == (
        "The mask is that of level 2 of an experiment in this cache, "
        "though the file does not say so."
    )


def test_foreign_weights_are_compared_with_those_of_the_level_that_has_their_mask(full, level):
    arrays = {f"{name}_mask": kept for name, kept in level.mask.items()}
    findings = verify(read(save(arrays | level.start)), full)
    assert "Its restart weights are that level's too, bit for bit." in verify_in_words(findings)
    findings = verify(read(save(arrays | level.end)), full)
    assert verdicts(findings)["restart weights of that level"] == "differs"
    assert "Its weights are not those that this level restarts from." in verify_in_words(findings)


def test_foreign_weights_that_are_not_0_where_they_are_pruned_are_no_changed_file(empty, level):
    # torch.nn.utils.prune keeps what it prunes, and says so nowhere.
    arrays = {f"{name}_mask": kept for name, kept in level.mask.items()}
    arrays |= {name: np.ones_like(values) for name, values in level.start.items()}
    upload = read(save(arrays))
    assert upload.revived["restart"]
    findings = verify(upload, empty)
    assert differing(findings) == []
    assert verify_in_words(findings).startswith("Nothing in this cache has this mask")


def test_the_command_prints_what_became_of_every_name(level, tmp_path):
    arrays = {f"{name}_mask": kept for name, kept in level.mask.items() if name == "fc1.weight"}
    arrays |= level.start | {"val_[b]:star:losses": np.ones(8), "epoch": np.array(3)}
    path = tmp_path / "state.npz"
    np.savez(path, **arrays)
    done = CliRunner().invoke(app, ["verify", str(path), "--cache", str(tmp_path / "cache")])
    assert done.exit_code == 0, done.output
    lines = done.output.splitlines()
    assert lines[: lines.index("Worked out:")] == [
        "Used as:",
        "  fc1.weight_mask: mask of fc1",
        "  fc1.weight: weights of fc1",
        "  fc1.bias: bias of fc1",
        "  fc2.weight: weights of fc2",
        "  fc2.bias: bias of fc2",
        "Left out:",
        "  epoch: a single number",
        "  val_[b]:star:losses: named as something other than a bias",
    ]
    assert "  'fc2.weight' has no mask: fc2 is kept whole." in lines


def test_of_levels_with_one_mask_that_with_the_same_weights_is_named(full, experiment, tmp_path):
    store = Store(tmp_path / "two")
    level = full.read(experiment.key)
    first = replace(level, start=level.end, info=replace(level.info, level=1))
    store.write("0" * 40, first)
    store.write("f" * 40, level)
    arrays = {f"{name}_mask": kept for name, kept in level.mask.items()}
    by = {finding.what: finding for finding in verify(read(save(arrays | level.start)), store)}
    assert by["the same mask in the cache"].found == "level 2, key ffffffffffff"
    by = {finding.what: finding for finding in verify(read(files.mask_npz(level)), store)}
    assert by["the same mask in the cache"].found == "level 1, key 000000000000"


def test_a_mask_that_is_nowhere_is_unknown(full, empty, level):
    other = {name: np.roll(kept, 1, axis=1) for name, kept in level.mask.items()}
    for upload, store in ((read(save(other)), full), (read(save(level.mask)), empty)):
        findings = verify(upload, store)
        assert verdicts(findings) == {"the same mask in the cache": "unknown"}
        assert verify_in_words(findings) == (
            "Nothing in this cache has this mask, and the file does not say whose it is."
        )


def test_levels_with_other_counts_are_not_read(full, level, monkeypatch):
    asked = []
    read_level = Store.read
    monkeypatch.setattr(Store, "read", lambda self, key: asked.append(key) or read_level(self, key))
    verify(read(files.mask_npz(level)), full)
    assert asked == [level.info.key]


# Changed files


def one_more(level):
    """The mask with one weight more in the first layer."""
    kept = level.mask["fc1.weight"].copy()
    kept[tuple(np.argwhere(~kept)[0])] = True
    return {"mask/fc1.weight": kept}


def test_a_changed_mask_is_noticed_by_its_hash_and_its_counts(full, empty, changed, level):
    upload = read(changed(one_more(level)))
    findings = verify(upload, empty)
    assert differing(findings) == ["hash of the mask", "weights kept in fc1.weight"]
    words = verify_in_words(findings)
    assert words.startswith("The file has been changed; hash of the mask: ")
    assert words.endswith("and 1 more.")
    assert "mask in the cache" in differing(verify(upload, full))


@pytest.mark.parametrize("part", ["restart", "trained"])
def test_one_changed_bit_of_a_weight_is_noticed(full, changed, level, part):
    values = (level.start if part == "restart" else level.end)["fc2.bias"].copy()
    values.view(np.uint32)[0] ^= 1
    findings = verify(read(changed({f"{part}/fc2.bias": values})), full)
    noticed = [f"hash of the {part} weights", f"{part} weights in the cache"]
    noticed += ["dense network's weights in the cache"] * (part == "restart")
    assert differing(findings) == noticed


def test_a_pruned_weight_that_is_not_0_is_noticed(full, changed, level):
    values = level.start["fc1.weight"].copy()
    values[tuple(np.argwhere(~level.mask["fc1.weight"])[0])] = 0.5
    findings = verify(read(changed({"restart/fc1.weight": values})), full)
    assert differing(findings) == ["hash of the restart weights", "pruned restart weights"]
    assert verify_in_words(findings).endswith(
        "What it holds is level 2 in this cache, bit for bit."
    )


def test_a_header_that_claims_other_counts_is_noticed(full, changed):
    layers = {"fc1.weight": {"weights": 6272, "kept": 1}, "fc3.weight": {"weights": 1, "kept": 1}}
    findings = verify(read(changed(layers=json.dumps(layers))), full)
    assert differing(findings) == ["weights kept in fc1.weight", "weights kept in fc3.weight"]
    assert verdicts(findings)["weights kept in fc2.weight"] == "unknown"


def test_a_header_that_claims_another_experiment_is_noticed(full, changed, experiment):
    wider = Experiment(replace(experiment.recipe, network="9"), experiment.rounds)
    findings = verify(read(changed(experiment=json.dumps(wider.as_dict()))), full)
    assert differing(findings) == ["network", "key of its experiment's level"]
    other = Experiment(replace(experiment.recipe, seed=1), experiment.rounds)
    findings = verify(read(changed(experiment=json.dumps(other.as_dict()))), full)
    assert differing(findings) == ["key of its experiment's level"]


@pytest.mark.parametrize("level_number", ["1", "9"])
def test_a_header_that_claims_another_level_is_noticed(full, changed, level_number):
    findings = verify(read(changed(level=level_number)), full)
    assert differing(findings) == ["key of its experiment's level", "level in the cache"]


def test_keys_of_another_version_are_unknown_and_not_false(empty, changed):
    upload = read(changed(key="0" * 40, versions=json.dumps({"key": VERSION - 1})))
    assert verdicts(verify(upload, empty))["key of its experiment's level"] == "unknown"


def test_other_results_than_the_caches_are_noticed(full, changed):
    findings = verify(read(changed(results=json.dumps({"test_accuracy": 1.0}))), full)
    assert differing(findings) == ["results in the cache"]
    assert verify_in_words(findings) == (
        "The file is as it was written, but level 2 in this cache differs from it: results."
    )


def test_a_level_computed_elsewhere_with_other_rounding_is_no_changed_file(full, changed, level):
    end = {name: values * np.float32(1.0001) for name, values in level.end.items()}
    parts = {"mask": level.mask, "restart": level.start, "trained": end}
    digests = json.dumps({part: digest(arrays) for part, arrays in parts.items()})
    arrays = {f"trained/{name}": values for name, values in end.items()}
    findings = verify(read(changed(arrays, digests=digests)), full)
    assert differing(findings) == ["trained weights in the cache"]
    assert verify_in_words(findings) == (
        "The file is as it was written, but level 2 in this cache differs from it: trained weights."
    )


def test_a_part_that_the_header_names_and_the_file_lacks_is_noticed(empty, ticket, changed):
    told = read(changed()).claims
    kept = {name: v for name, v in load(ticket).items() if not name.startswith("trained/")}
    header = {"format": "lottery-ticket 1", "digests": json.dumps(told["digests"])}
    by = {finding.what: finding for finding in verify(read(save(kept, metadata=header)), empty)}
    assert by["hash of the trained weights"].found == "not in the file"
    assert by["hash of the trained weights"].verdict == "differs"


# The cache


def test_a_damaged_level_in_the_cache_is_said_to_be_damaged(full, ticket, tmp_path, experiment):
    store = Store(tmp_path / "damaged")
    store.write(experiment.key, full.read(experiment.key))
    (store.root / "levels" / experiment.key / "weights.safetensors").write_bytes(b"x")
    with pytest.warns(UserWarning, match="is damaged"):
        findings = verify(read(ticket), store)
    assert verify_in_words(findings) == ("The file is as it was written, but its level is damaged.")


def test_verifying_changes_nothing_in_the_cache(full, ticket, level):
    def state():
        files = sorted(path for path in full.root.glob("*/**/*") if path.is_file())
        return [(path, path.stat().st_mtime_ns, path.stat().st_size) for path in files]

    before = state()
    with warnings.catch_warnings():
        warnings.simplefilter("error")
        for content in (ticket, files.mask_npz(level)):
            verify_in_words(verify(read(content), full))
    assert state() == before


def test_a_mask_is_named_by_where_it_came_from_before_where_it_was_trained_again(
    make_store, tmp_path, experiment
):
    store = make_store(tmp_path / "store")
    list(engine.run(experiment, Context(store)))
    original = experiment.keys[1]
    upload = read(files.mask_npz(store.read(original)))
    store.write_ticket(upload.content_digest, upload.mask, upload.restart)
    for seed in range(1, 5):  # keys are in no order of their own
        recipe = replace(experiment.recipe, seed=seed)
        list(engine.run(transfer.experiment(upload, recipe), Context(store)))
    found = verdicts_of(verify(upload, store), "the same mask in the cache")
    assert original[:12] in found


def verdicts_of(findings, what):
    return next(finding.found for finding in findings if finding.what == what)
