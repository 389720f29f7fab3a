"""A file from outside becomes one network's mask and weights, or one clear sentence."""

import io
import json
import os
import pickle
import random
import re
import struct
import sys
import traceback
import tracemalloc
import zipfile
import zlib
from contextlib import contextmanager
from itertools import islice, pairwise

import numpy as np
import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st
from safetensors.numpy import load, save
from torch.nn.utils import prune

from lottery_core.spec.checks import InvalidValue
from lottery_core.spec.experiment import Experiment
from lottery_core.store.info import plain_counts
from lottery_core.tickets import files
from lottery_core.tickets.content import digest
from lottery_core.tickets.incoming import Upload, read_upload
from lottery_core.tickets.names import goes_with, precedes
from lottery_core.tickets.unpacking import (
    MAX_ARRAYS,
    MAX_FILE,
    MAX_HEADER,
    MAX_NUMBERS,
    unpack,
)
from tests.networks import HIDDEN, make_level, masked, masks, npz, same, shapes, text_of, weights


def npy(values):
    buffer = io.BytesIO()
    np.lib.format.write_array(buffer, np.asarray(values), allow_pickle=True)
    return buffer.getvalue()


def npy_of(header, data=b"", version=1):
    head = header.encode()
    return b"\x93NUMPY" + bytes([version, 0]) + struct.pack("<H", len(head)) + head + data


@pytest.mark.filterwarnings("ignore:Duplicate name:UserWarning")
def zipped(*entries, method=zipfile.ZIP_STORED):
    buffer = io.BytesIO()
    with zipfile.ZipFile(buffer, "w", method, compresslevel=1) as archive:
        for name, content in entries:
            archive.writestr(name, content)
    return buffer.getvalue()


def raw_safetensors(header, data=b""):
    head = (header if isinstance(header, str) else json.dumps(header)).encode()
    return struct.pack("<Q", len(head)) + head + data


def described(kind="BOOL", shape=(10, 784), place=None):
    size = {"BOOL": 1, "F32": 4, "BF16": 2, "F64": 8}[kind]
    return {
        "dtype": kind,
        "shape": [*shape],
        "data_offsets": place or [0, size * int(np.prod(shape))],
    }


def assert_valid(upload, content):
    """What is promised of every `Upload`."""
    assert_accounted(upload, content)
    assert same(
        {name: np.empty(kept.shape, bool) * 0 for name, kept in upload.mask.items()},
        {name: np.zeros(shape, bool) * 0 for name, shape in upload.net.shapes.items()},
    )
    assert [*upload.mask] == [*upload.net.shapes]
    for kept in upload.mask.values():
        assert kept.dtype == bool
        assert kept.flags.c_contiguous
        assert kept.view(np.uint8).max() <= 1
    for part in (upload.restart, upload.trained):
        if part is not None:
            assert [*part] == [*(upload.net.parameters | upload.net.buffers)]
            for name, values in part.items():
                assert (values.dtype, values.flags.c_contiguous) == (np.float32, True)
                assert np.isfinite(values).all()
                if name in upload.mask:
                    gone = values[~upload.mask[name]]
                    assert not gone.any()
                    assert not np.signbit(gone).any()
    assert len(upload.content_digest) == len(upload.sha256) == 64
    assert upload.claims.keys() <= {
        "format", "key", "level", "experiment", "network", "layers", "results", "versions",
        "digests",
    }  # fmt: skip
    if "experiment" in upload.claims:
        assert Experiment.from_dict(upload.claims["experiment"]).keys


def assert_accounted(upload, content):
    """Every name in the file is among those that were used or those that were left out, once."""
    reading = upload.reading
    used = [name for name, _ in reading.used_as]
    left = [name for name, _ in reading.left_out if not name.startswith("header: ")]
    assert sorted(used + left) == sorted(unpack(content).arrays)
    parts = [part for part in (upload.restart, upload.trained) if part is not None]
    assert len(used) <= len(upload.mask) + sum(map(len, parts))
    for line in reading.in_lines():
        assert line.isprintable()
        assert len(line) < 500


def assert_clear(error):
    """One sentence that names the file, the rule and the remedy."""
    message = str(error)
    assert error.field == "file"
    assert message.startswith("file=")
    assert message.isprintable()
    assert len(message) < 300, message
    assert "; " in message or ", so " in message, message


def refused(content, name="ticket.npz"):
    with pytest.raises(InvalidValue) as caught:
        read_upload(name, content)
    assert_clear(caught.value)
    return str(caught.value)


def taken(name, content):
    """The upload, with all that is promised of it."""
    upload = read_upload(name, content)
    assert_valid(upload, content)
    return upload


def told(upload):
    """What was worked out, as one text."""
    return " ".join(upload.reading.worked_out)


@contextmanager
def watching():
    """A list of what is opened to write, made, removed, compiled or unpickled meanwhile."""
    seen = []
    _WATCHING.append(seen)
    try:
        yield seen
    finally:
        _WATCHING.remove(seen)


"".encode("cp437")  # what zip files name things in: Python loads it once, and that is no fault
_WATCHING: list[list] = []
_EVENTS = ("compile", "exec", "os.", "shutil.", "tempfile.", "pickle.", "subprocess.", "socket.")


def _look(event, args):
    # A hook can't be taken back: one is enough, and it looks only when asked.
    if _WATCHING:
        writes = event == "open" and args[2] & (os.O_WRONLY | os.O_RDWR | os.O_CREAT)
        if writes or event.startswith(_EVENTS):
            for seen in _WATCHING:
                seen.append((event, args))


sys.addaudithook(_look)


# Our own files


@pytest.fixture(scope="module")
def level():
    return make_level()


OURS = {
    "mask.npz": files.mask_npz,
    "mask.safetensors": files.mask_safetensors,
    "ticket.safetensors": files.ticket_safetensors,
}


@pytest.mark.parametrize("name", OURS)
@pytest.mark.parametrize("hidden", [(), (4,), (12, 12, 10), (300, 100)], ids=str)
def test_our_files_come_back_bit_for_bit_and_without_a_note(name, hidden):
    level = make_level(hidden)
    upload = taken(name, OURS[name](level))
    assert (upload.name, upload.network) == (name, text_of(hidden))
    assert upload.reading.left_out == upload.reading.worked_out == ()
    assert same(upload.mask, level.mask)
    if name == "ticket.safetensors":
        assert same(upload.restart, level.start)
        assert same(upload.trained, level.end)
        assert upload.revived == {"restart": 0, "trained": 0}
    else:
        assert upload.restart is upload.trained is None


@pytest.mark.parametrize("name", ["mask.safetensors", "ticket.safetensors"])
def test_the_header_of_our_files_comes_back_as_claims(level, name):
    upload = read_upload(name, OURS[name](level))
    claims, info = upload.claims, level.info
    assert claims["format"] == "lottery-ticket 1"
    assert claims["key"] == info.key
    assert claims["level"] == 2
    assert claims["experiment"] == info.experiment
    assert claims["layers"] == plain_counts(info.layers)
    assert claims["results"]["test_accuracy"] == 0.5
    assert claims["versions"] == info.versions
    assert claims["digests"] == upload.digests
    assert upload.digests["mask"] == digest(level.mask)


def test_a_mask_as_npz_claims_nothing(level):
    assert read_upload("m.npz", files.mask_npz(level)).claims == {}


def test_older_tickets_without_format_digests_and_trained_weights_are_ours_too(level):
    arrays = {f"mask/{name}": values for name, values in level.mask.items()}
    arrays |= {f"restart/{name}": values for name, values in level.start.items()}
    header = {
        "contents": "mask/* and restart/*",
        "level": "2",
        "key": level.info.key,
        "experiment": json.dumps(level.info.experiment),
    }
    upload = read_upload("old.safetensors", save(arrays, metadata=header))
    assert upload.claims.keys() == {"level", "key", "experiment"}
    assert same(upload.restart, level.start)
    assert upload.trained is None
    assert upload.reading.left_out == upload.reading.worked_out == ()


def test_one_content_has_one_digest_in_any_file(level):
    as_npz = read_upload("m.npz", files.mask_npz(level))
    as_safetensors = read_upload("m.safetensors", files.mask_safetensors(level))
    assert as_npz.content_digest == as_safetensors.content_digest
    assert as_npz.content_digest == digest({f"mask/{n}": k for n, k in level.mask.items()})
    ticket = read_upload("t.safetensors", files.ticket_safetensors(level))
    assert ticket.content_digest != as_npz.content_digest
    assert ticket.content_digest == digest(
        {f"mask/{n}": k for n, k in level.mask.items()}
        | {f"restart/{n}": v for n, v in level.start.items()}
    )
    assert as_npz.sha256 != as_safetensors.sha256


def test_names_do_not_matter_for_the_kind_of_file(level):
    assert read_upload("photo.png", files.mask_npz(level)).network == text_of(HIDDEN)
    assert read_upload("mask.npz", files.mask_safetensors(level)).network == text_of(HIDDEN)


HOSTILE_CLAIMS = {
    "key": ["", "../../etc", "g" * 40, "a" * 41, "a" * 40 + "\n"],
    "level": ["-1", "1.5", "99", "1" * 5_000, "²", ""],
    "experiment": [
        "", "[]", "7", "null", "{}", "{" * 50_000, '{"recipe": 1, "rounds": 2}', "[" * 60_000,
        '{"recipe": {"hidden": [99999]}, "rounds": []}', '{"recipe": {}, "rounds": [[]]}',
        '{"recipe": {"seed": NaN}, "rounds": []}', '{"recipe": {"hidden": 5}, "rounds": []}',
        '{"recipe": {}, "rounds": [], "control": []}', '{"recipe": {"x": 1}, "rounds": []}',
        '{"recipe": {"learning_rate": 1e999}, "rounds": []}', " " * 70_000 + "{}",
        '{"recipe": {"seed": ' + "9" * 5_000 + '}, "rounds": []}',
        '{"recipe": {}, "recipe": {}, "rounds": []}',
        '{"recipe": {}, "rounds": [{"sparsity": 0.5, "output_sparsity": 0.5, "layers": [[{}]]}]}',
    ],
    "layers": [
        "", "[]", "{}", '{"fc1.weight": 5}', '{"x": {"weights": 1, "kept": 1}}', '["fc1.weight"]',
        '{"fc1.weight": {"weights": -1, "kept": true}}', '{"fc1.weight": {"weights": 1e3}}',
    ],
    "results": ["[]", '"x"', '{"a": NaN}', '{"a": 1e999}', '{"a": "\\n"}', '{"a":' * 500 + "1"],
    "versions": ["[]", "null", '{"\\u0000": 1}', '{"a": {"b": ' * 40 + "1" + "}}" * 40],
    "digests": ["[]", '{"mask": 5}', '{"mask": "x"}', '{"other": "' + "0" * 64 + '"}'],
    "format": ["lottery-ticket " + "9" * 500],
}  # fmt: skip


@pytest.mark.parametrize("field", HOSTILE_CLAIMS)
def test_claims_that_are_not_well_formed_are_left_out_with_a_note(level, field):
    for text in HOSTILE_CLAIMS[field]:
        header = {"format": "lottery-ticket 1", "level": "2", field: text}
        upload = taken("t.safetensors", save(level.mask, metadata=header))
        assert field not in upload.claims
        assert upload.reading.left_out == ((f"header: {field}", "not well-formed"),)


def test_a_later_version_of_our_format_is_read_with_a_note(level):
    header = {"format": "lottery-ticket 2", "level": "2", "more": "?"}
    upload = read_upload("t.safetensors", save(level.mask, metadata=header))
    assert upload.claims == {"format": "lottery-ticket 2", "level": 2}
    assert "another version of its format" in upload.reading.worked_out[0]


def test_metadata_of_others_are_no_claims(level):
    upload = read_upload("t.safetensors", save(level.mask, metadata={"format": "pt", "level": "2"}))
    assert upload.claims == {}


def test_weights_that_the_mask_prunes_are_set_to_0_and_counted(level):
    mask, restart = level.mask, weights()
    arrays = {f"mask/{n}": v for n, v in mask.items()}
    arrays |= {f"restart/{n}": v for n, v in restart.items()}
    upload = taken("t.safetensors", save(arrays))
    assert same(upload.restart, masked(restart, mask))
    count = sum(int((~kept).sum()) for kept in mask.values())
    assert upload.revived == {"restart": count}
    assert f"{count:,} restart weights that the mask prunes were set to 0." in told(upload)


# Files of others


def test_torchs_pruned_state_is_read_as_mask_and_weights():
    net = torch.nn.Sequential(torch.nn.Linear(784, 4), torch.nn.ReLU(), torch.nn.Linear(4, 10))
    for layer in (net[0], net[2]):
        prune.l1_unstructured(layer, "weight", amount=0.5)
    state = {name: values.detach().numpy() for name, values in net.state_dict().items()}
    assert {"0.weight_orig", "0.weight_mask", "0.bias"} < state.keys()
    for content in (save(state), npz(**state)):
        upload = taken("state", content)
        for ours, theirs in (("fc1", net[0]), ("fc2", net[2])):
            kept = theirs.weight_mask.numpy() == 1
            assert np.array_equal(upload.mask[f"{ours}.weight"], kept)
            assert np.array_equal(upload.restart[f"{ours}.weight"], theirs.weight.detach().numpy())
            assert np.array_equal(upload.restart[f"{ours}.bias"], theirs.bias.detach().numpy())
        assert "initial or trained ones is unknown" in told(upload)
        assert "were set to 0" in told(upload)
        assert upload.claims == {}


def test_weights_alone_are_taken_for_pruned_where_they_are_0():
    mask = masks()
    upload = taken("w", save(masked(weights(), mask)))
    assert same(upload.mask, mask)
    assert same(upload.restart, masked(weights(), mask))
    assert "pruned where it is exactly 0" in told(upload)
    assert "initial or trained ones is unknown" in told(upload)


def test_weights_alone_without_any_0_are_a_dense_network():
    assert "none of them is 0, so it is a dense network" in refused(save(weights()))


RENAMED = {
    "mask_fc{}": "mask_fc1",
    "layer{}/kernel": "layer1/kernel",
    "{}.weight_mask": "0.weight_mask",
    "dense_{}/kernel:0": "dense_1/kernel:0",
    "arr_{}": "arr_0",
    "m{}": "m1",
}


@pytest.mark.parametrize("pattern", RENAMED)
@pytest.mark.parametrize("kind", [bool, np.uint8, ">i8", np.float64, np.float16])
def test_masks_under_any_name_and_type_are_read(pattern, kind):
    # More than ten layers of names: 10 comes after 9.
    mask = masks((6, 6, 6))
    layers = zip((2, 9, 10, 11), mask.values(), strict=True)
    named = {pattern.format(i): kept.astype(kind) for i, kept in layers}
    upload = taken("m", npz(**named))
    assert same(upload.mask, mask)
    assert upload.restart is None
    wanted = [(name, f"mask of fc{i}") for i, name in enumerate(named, 1)]
    assert [*upload.reading.used_as] == wanted
    assert upload.reading.worked_out == ()


def test_layers_with_the_inputs_first_are_turned_with_a_note():
    mask, start = masks((6, 5)), weights((6, 5))
    kernels = {}
    for i in (1, 2, 3):
        kept, values = mask[f"fc{i}.weight"], start[f"fc{i}.weight"]
        kernels[f"dense_{i}/kernel:0"] = (kept * values).T
        kernels[f"dense_{i}/bias:0"] = start[f"fc{i}.bias"]
    upload = taken("keras", npz(**kernels))
    assert same(upload.mask, mask)
    assert same(upload.restart, masked(start, mask))
    assert "(inputs, outputs), as in Keras: turned" in told(upload)


def test_layers_whose_names_are_in_no_order_are_put_in_order_by_their_shapes():
    mask = masks((6, 5))
    names = dict(zip(("output", "input", "hidden"), ("fc3", "fc1", "fc2"), strict=True))
    named = {name: mask[f"{ours}.weight"] for name, ours in names.items()}
    upload = read_upload("m", save(named))
    assert same(upload.mask, mask)
    assert "The masks were put in order by their shapes." in told(upload)


def test_shapes_that_allow_two_orders_are_refused():
    # 784 -> 6 -> 5 -> 6 -> 7 -> 6 -> 10, or 7 before 5.
    sizes = [784, 6, 5, 6, 7, 6, 10]
    arrays = [np.ones((b, a), bool) for a, b in pairwise(sizes)]
    order = [3, 1, 5, 0, 4, 2]
    named = {f"m{i}": arrays[place] for i, place in enumerate(order)}
    assert "in several orders, none of them that of the numbers in their names" in refused(
        npz(**named)
    )
    named = {f"m{i}": values for i, values in enumerate(arrays)}
    assert read_upload("m", npz(**named)).network == "6 5 6 7 6"


def test_fortran_order_and_big_endian_numbers_are_read_as_what_they_are():
    mask, start = masks(), weights()
    arrays = {f"{n}_mask": np.asfortranarray(kept) for n, kept in mask.items()}
    arrays |= {n: np.asfortranarray(v).astype(">f4") for n, v in start.items()}
    upload = taken("m", npz(**arrays))
    assert same(upload.mask, mask)
    assert same(upload.restart, masked(start, mask))


def test_bools_stored_as_numbers_beside_weights_are_told_by_their_values():
    mask, start = masks(), weights()
    arrays = {f"a{i}": kept.astype(np.float32) for i, kept in enumerate(mask.values())}
    arrays |= {f"b{i}": start[name] for i, name in enumerate(mask)}
    upload = read_upload("m", npz(**arrays))
    assert same(upload.mask, mask)
    assert set(upload.restart) == set(start)


def test_weights_of_64_bits_are_rounded_with_a_note():
    start = {n: v.astype(np.float64) / 3 for n, v in masked(weights(), masks()).items()}
    upload = taken("m", npz(**start))
    used = dict(upload.reading.used_as)
    assert used["fc1.weight"] == "weights of fc1, rounded to 32-bit numbers"
    assert np.array_equal(upload.restart["fc1.bias"], start["fc1.bias"].astype(np.float32))


def test_missing_biases_are_0_with_a_note():
    start = {n: v for n, v in masked(weights(), masks()).items() if n != "fc2.bias"}
    upload = taken("m", npz(**start))
    assert not upload.restart["fc2.bias"].any()
    assert upload.restart["fc1.bias"].all()
    assert "The weights have no biases for fc2: set to 0." in told(upload)


def test_biases_go_to_their_layers_by_name_and_then_by_size():
    hidden = (10, 7, 10)
    mask, start = masks(hidden), masked(weights(hidden), masks(hidden))
    upload = read_upload("m", npz(**start))
    assert same(upload.restart, start)
    other = {f"w{i}": start[n] for i, n in enumerate(mask)}
    other |= {f"x{i}": start[n.replace("weight", "bias")] for i, n in enumerate(mask)}
    assert same(read_upload("m", npz(**other)).restart, start)
    other["b_x"] = other.pop("x0")
    assert "no layer's bias for sure" in refused(npz(**other))


def test_a_mask_that_keeps_everything_is_read():
    dense = {name: np.ones(shape, bool) for name, shape in shapes().items()}
    assert read_upload("m", npz(**dense)).reading.worked_out == ()


def test_a_layer_that_keeps_nothing_is_read_with_a_note():
    mask = masks() | {"fc2.weight": np.zeros((10, 4), bool)}
    upload = read_upload("m", npz(**mask))
    assert upload.reading.worked_out == ("Nothing is kept in fc2, so no signal passes through it.",)


def test_masks_of_biases_that_keep_all_and_single_numbers_are_left_out():
    extra = {"fc1.bias_mask": np.ones(4, bool), "steps": np.int64(9)}
    upload = read_upload("m", npz(**masks(), **extra))
    assert upload.network == text_of(HIDDEN)
    assert dict(upload.reading.left_out) == {
        "fc1.bias_mask": "a mask of biases or batch norm, never pruned",
        "steps": "a single number",
    }
    pruned = {"fc1.bias_mask": np.zeros(4, bool)}
    assert "only weights are pruned here" in refused(npz(**masks(), **pruned))


def test_a_name_of_the_file_that_is_hostile_stays_in_one_line():
    for name in ("a\nb", "\x1b[31m", "x" * 5_000, "../../etc/passwd", "\udc80", "\u202e"):
        refused(b"", name)
        assert read_upload(name, npz(**masks())).name == name


# Bad files


PICKLED = pickle.dumps({"fc1.weight": [1.0]}, protocol=4)
ONE = np.ones((10, 784), bool)


def torch_saved(**options):
    buffer = io.BytesIO()
    torch.save({"fc1.weight": torch.ones(2, 2)}, buffer, **options)
    return buffer.getvalue()


def bomb(size, shape, kind="|b1"):
    """A zip whose entry unpacks to `size` zeros, hundreds of times what it takes."""
    header = f"{{'descr': '{kind}', 'fortran_order': False, 'shape': {shape}, }}"
    buffer = io.BytesIO()
    with (
        zipfile.ZipFile(buffer, "w", zipfile.ZIP_DEFLATED, compresslevel=1) as archive,
        archive.open("fc1.weight.npy", "w", force_zip64=True) as file,
    ):
        file.write(npy_of(header))
        for _ in range(size // 2**20):
            file.write(bytes(2**20))
    return buffer.getvalue()


def many_entries(count):
    """A zip of nothing but a directory with that many entries."""
    entry = struct.pack("<4s6H3L5H2L", b"PK\1\2", *[20] * 2, *[0] * 14) + b""
    directory = entry * count
    size = min(len(directory), 2**32 - 1)
    end = struct.pack("<4s4H2LH", b"PK\5\6", 0, 0, count % 65536, count % 65536, size, 4, 0)
    return b"PK\3\4" + directory + end


def duplicates():
    buffer = io.BytesIO()
    with zipfile.ZipFile(buffer, "w") as archive:
        archive.writestr("a.npy", npy(ONE))
        archive.writestr("b.npy", npy(ONE))
    return buffer.getvalue().replace(b"b.npy", b"a.npy")


def locked():
    content = bytearray(zipped(("a.npy", npy(ONE))))
    content[content.index(b"PK\1\2") + 8] |= 1
    return bytes(content)


def overlapping():
    both = {
        "a": described(place=[0, 7840]),
        "b": described(place=[100, 7940]),
    }
    return raw_safetensors(both, bytes(7_940))


def header_of(**changes):
    fields = {"descr": "'|b1'", "fortran_order": "False", "shape": "(10, 784)"} | changes
    return "{" + ", ".join(f"'{name}': {value}" for name, value in fields.items()) + ", }"


def one_entry(header, data=bytes(7_840)):
    return zipped(("a.npy", npy_of(header, data)))


BAD = {
    # other kinds of files
    "empty": (b"", "is empty"),
    "one byte": (b"x", "is a text"),
    "png": (b"\x89PNG\r\n\x1a\n" + bytes(100), "is a PNG picture"),
    "gzip": (b"\x1f\x8b\x08" + bytes(100), "packed with gzip; unpack it first"),
    "text": (b"fc1: 0, 1, 1\n" * 50, "is a text"),
    "json": (b'{"a": [{"b": 1}]}', "is a text"),
    "text with a brace at the ninth place": (b"weights {\n", "is a text"),
    "noise": (random.Random(0).randbytes(999), "neither a .npz nor a .safetensors file"),
    "npy": (npy(ONE), "one array without a name; save one array a layer with numpy.savez"),
    "hdf5": (b"\x89HDF\r\n\x1a\n" + bytes(99), "HDF5 file, as Keras writes"),
    "tar": (bytes(257) + b"ustar" + bytes(250), "tar archive"),
    "pickle": (PICKLED, "is a pickle.* can run code.* save it anew with safetensors"),
    "torch": (torch_saved(), "PyTorch file.* pickle.* can run code.*save_file"),
    "old torch": (torch_saved(_use_new_zipfile_serialization=False), "is a pickle.* can run code"),
    "too large": (bytes(MAX_FILE + 1), "more than can be read here"),
    # zip archives
    "zip of other files": (zipped(("read.me", b"x")), "'read.me' in it, which is no .npy array"),
    "zip of nothing": (zipped(), "holds no arrays"),
    "zip cut short": (zipped(("a.npy", npy(ONE)))[:-30], "cut short"),
    "zip with a comment": (zipped(("a.npy", npy(ONE)))[:-1] + b"\1x", "goes on after its end"),
    "zip with a folder": (zipped(("a/", b"")), "no .npy array"),
    "duplicate names": (duplicates(), "two arrays named 'a'"),
    "a way out": (zipped(("../x.npy", npy(ONE))), "'../x', which could be a place on a disk"),
    "an absolute name": (zipped(("/etc/x.npy", npy(ONE))), "could be a place on a disk"),
    "a drive": (zipped(("C:/x.npy", npy(ONE))), "could be a place on a disk"),
    "a backslash": (zipped(("a\\b.npy", npy(ONE))), "could be a place on a disk"),
    "a line break": (zipped(("a\nb.npy", npy(ONE))), "could be a place on a disk"),
    "a zero byte": (
        zipped(("ab.npy.npy", npy(ONE))).replace(b"ab.npy.npy", b"ab.npy\0npy"),
        "no .npy array",
    ),
    "a long name": (zipped(("x" * 5_000 + ".npy", npy(ONE))), "with 5,000 characters"),
    "no name": (zipped((".npy", npy(ONE))), "with 0 characters"),
    "a password": (locked(), "password"),
    "lzma": (zipped(("a.npy", npy(ONE)), method=zipfile.ZIP_LZMA), "other than deflate"),
    "many entries": (many_entries(700_000), "too many entries"),
    "many in the count's blind spot": (many_entries(65_536), "too many entries"),
    "a miscount": (many_entries(3)[:-12] + b"\2\0" + many_entries(3)[-10:], "miscounts"),
    "a bad checksum": (
        zipped(("a.npy", npy(ONE))).replace(b"\1" * 100, b"\1" * 99 + b"\0"),
        "is damaged and can't be unpacked",
    ),
    "more arrays than any ticket": (
        zipped(*[(f"a{i}.npy", npy(ONE)) for i in range(MAX_ARRAYS + 1)]),
        "too many entries",
    ),
    # .npy files in them
    "objects": (zipped(("a.npy", npy(np.array([{}])))), "Python objects in 'a'"),
    "records": (zipped(("a.npy", npy(np.zeros(3, "i4,f4")))), "holds records in 'a'"),
    "complex numbers": (npz(a=np.ones((10, 784), complex)), "complex numbers in 'a'"),
    "letters": (npz(a=np.array(["x"])), "holds text in 'a'"),
    "dates": (npz(a=np.zeros((10, 784), "M8[s]")), "'a', not plain numbers|stores 'a' as"),
    "long doubles": (npz(a=np.ones((10, 784), np.longdouble)), "stores 'a' as '<f16'"),
    "no npy": (zipped(("a.npy", b"hello")), "no .npy array"),
    "npy of no version": (zipped(("a.npy", npy_of(header_of(), version=7))), "no .npy array"),
    "a huge npy header": (one_entry(header_of() + " " * 20_000), "header of 20,0"),
    "a huge claimed npy header": (
        zipped(("a.npy", b"\x93NUMPY\2\0\xff\xff\xff\xff")),
        "header of 4,294,967,295 bytes",
    ),
    "code for a header": (one_entry("__import__('os').system('true')"), "NumPy does not write"),
    "an open header": (one_entry("{" * 900), "NumPy does not write"),
    "a header with a field twice": (
        one_entry("{'descr': '|b1', 'descr': '|b1', 'shape': (10, 784)}"),
        "NumPy does not write",
    ),
    "a shape of words": (one_entry(header_of(shape="(10, x)")), "NumPy does not write"),
    "a shape below 0": (one_entry(header_of(shape="(-10, 784)")), "NumPy does not write"),
    "a shape that is a number": (one_entry(header_of(shape="(7840)")), "NumPy does not write"),
    "an order of its own": (one_entry(header_of(fortran_order="'no'")), "NumPy does not write"),
    "a huge shape": (one_entry(header_of(shape="(999999, 999999)")), "999,999 x 999,999 values"),
    "a shape beyond numbers": (one_entry(header_of(shape=f"({'9' * 300}, 1)")), "... x 1 values"),
    "an overflowing shape": (one_entry(header_of(shape=f"({2**32}, {2**32})")), "values; a layer"),
    "no values": (npz(a=np.ones((0, 784), bool)), "without values"),
    "fewer bytes than the shape": (one_entry(header_of(), bytes(7_839)), "fewer bytes in 'a'"),
    "more bytes than the shape": (one_entry(header_of(), bytes(7_841)), "more bytes in 'a'"),
    "bytes that are no bools": (one_entry(header_of(), b"\2" * 7_840), "bytes other than 0 and 1"),
    "many large arrays": (
        raw_safetensors({f"a{i}": described(shape=(5_000, 3_000)) for i in range(4)}),
        f"more than {MAX_NUMBERS:,} values",
    ),
    # safetensors
    "a huge header": (b"\xff" * 8 + b"{}", "header of 18,446,744,073,709,551,615 bytes"),
    "a large header": (raw_safetensors('{"a": "' + "x" * MAX_HEADER + '"}'), "header of 524,"),
    "a header beyond the end": (struct.pack("<Q", 1_000) + b"{}", "ends within its header"),
    "a header of no JSON": (raw_safetensors("{]"), "is no valid JSON"),
    "a header of no text": (struct.pack("<Q", 3) + b"{\xff}", "is no valid JSON"),
    "a deep header": (raw_safetensors('{"a":' * 40_000), "is no valid JSON"),
    "a header with NaN": (raw_safetensors('{"a": NaN}'), "is no valid JSON"),
    "a header with a huge number": (raw_safetensors('{"a": ' + "9" * 9_999 + "}"), "no valid JSON"),
    "a header of nothing": (raw_safetensors("{}"), "holds no arrays"),
    "metadata that are no texts": (raw_safetensors({"__metadata__": {"a": 1}}), "metadata other"),
    "metadata of a list": (raw_safetensors({"__metadata__": ["a"]}), "metadata other"),
    "an array twice": (
        raw_safetensors('{"a": %s, "a": %s}' % ((json.dumps(described()),) * 2), bytes(7_840)),
        "names an array twice",
    ),
    "a field twice": (
        raw_safetensors('{"a": {"dtype": "F32", "dtype": "BOOL"}}'), "names an array twice"
    ),
    "too many arrays": (
        raw_safetensors({f"a{i}": described(place=[0, 1]) for i in range(MAX_ARRAYS + 1)}),
        "names 1,025 arrays; at most 1024",
    ),
    "an entry of no object": (raw_safetensors({"a": 5}), "other than safetensors does"),
    "an entry with more": (raw_safetensors({"a": described() | {"x": 1}}), "other than safet"),
    "an entry of lists": (raw_safetensors({"a": described() | {"dtype": []}}), "other than safete"),
    "a shape below nothing": (raw_safetensors({"a": described() | {"shape": [-1]}}), "other than"),
    "a shape of truths": (raw_safetensors({"a": described() | {"shape": [True]}}), "other than"),
    "three offsets": (raw_safetensors({"a": described(place=[0, 1, 2])}), "other than safetensors"),
    "a shape beyond the data": (
        raw_safetensors({"a": described(shape=(2**40, 2**40), place=[0, 8])}, bytes(8)),
        "values; a layer may have at most",
    ),
    "an array of three dimensions": (
        raw_safetensors({"a": described("F32", (3, 3, 3))}, bytes(108)),
        "of 3 dimensions; only fully connected",
    ),
    "bfloat16": (
        raw_safetensors({"a": described("BF16")}, bytes(15_680)),
        "stores 'a' as 'BF16'; store masks as BOOL and weights as F32",
    ),
    "offsets out of order": (
        raw_safetensors({"a": described(place=[7840, 0])}, bytes(7_840)), "other bytes than"
    ),
    "offsets out of range": (raw_safetensors({"a": described()}, bytes(99)), "ends before"),
    "overlapping arrays": (overlapping(), "overlap or leave gaps"),
    "a gap before the data": (
        raw_safetensors({"a": described(place=[1, 7841])}, bytes(7_841)), "overlap or leave gaps"
    ),
    "data after the last array": (
        raw_safetensors({"a": described()}, bytes(7_841)), "goes on after it"
    ),
    "cut short": (save({"a": ONE})[:-1], "ends before its last array"),
    "a hostile name": (save({"../../x": ONE}), "could be a place on a disk"),
    "a name of control characters": (save({"\x1b[31m": ONE}), "could be a place on a disk"),
    # numbers
    "NaN": (npz(a=np.full((10, 784), np.nan)), "NaN or infinite values in 'a'"),
    "infinity": (save({"a": np.full((10, 784), np.inf, np.float32)}), "NaN or infinite"),
    "beyond float32": (npz(a=np.full((10, 784), 1e300)), "too large for float32"),
    "whole numbers": (npz(a=np.full((10, 784), 2)), "whole numbers other than 0 and 1 in 'a'"),
    "a mask of halves": (npz(mask=np.full((10, 784), 0.5)), "mask 'mask' with values other than"),
    "part masks of halves": (
        save({"mask/a": np.full((10, 784), 0.5, np.float32)}),
        "masks that are not of two or four dimensions and 0 or 1",
    ),
    # networks
    "kernels that are not square": (npz(a=np.ones((4, 1, 3, 5), bool)), "must be square, of an"),
    "kernels of an even size": (npz(a=np.ones((4, 1, 2, 2), bool)), "odd size up to 11"),
    "convolutions alone": (
        npz(a=np.ones((4, 1, 3, 3), bool)), "masks of 4 x 1 x 3 x 3; layers must lead from images"
    ),
    "convolutions that lead to no such number of inputs": (
        npz(a=np.ones((4, 1, 3, 3), bool), b=np.ones((10, 4 * 11 * 11), bool)),
        "masks of 4 x 1 x 3 x 3, 10 x 484; layers must lead",
    ),
    "a batch norm too few": (
        npz(**{name: values for name, values in
               masked(weights("norm 4 pool 6 mean"), masks("norm 4 pool 6 mean")).items()
               if "norm2" not in name}),
        "1 batch norms, 'norm1.weight' one of them",
    ),
    "shapes that do not chain": (
        npz(a=np.ones((5, 784), bool), b=np.ones((10, 6), bool)),
        "masks of 5 x 784, 10 x 6; layers must lead from images of 1x28x28 or 3x32x32 to 10 or 100",
    ),
    "another number of inputs": (npz(a=np.ones((10, 3071), bool)), "masks of 10 x 3071; layers"),
    "another number of classes": (npz(a=np.ones((99, 784), bool)), "masks of 99 x 784; layers"),
    "only vectors": (npz(a=np.ones(10, bool)), "no array of two or four dimensions"),
    "too many layers": (npz(**{f"a{i}": np.ones((10, 10), bool) for i in range(61)}), "61 layers"),
    "too many weights": (
        save({n: np.ones(s, bool) for n, s in
              {"1": (2048, 3072), "2": (2048, 2048), "3": (2048, 2048), "4": (256, 2048),
               "5": (10, 256)}.items()}),
        "network of 15,206,912 weights; the limit is 15,000,000",
    ),
    "two sets of weights": (
        npz(m=ONE, a=np.full((10, 784), 0.5), b=np.full((10, 784), 0.5)),
        "'a' that may be one layer more or none; name it",
    ),
    "masks and weights of different nets": (
        npz(mask=ONE, a=np.full((5, 784), 0.5)), "'a' that may be one layer more or none"
    ),
    "weights of another network": (
        npz(mask1=np.ones((5, 784), bool), mask2=np.ones((10, 5), bool),
            w1=np.full((6, 784), 0.5), w2=np.full((10, 6), 0.5)),
        "other shapes than its masks",
    ),
    "a restart of biases alone": (
        save({"mask/a": ONE, "restart/b": np.ones(10, np.float32)}), "no two-dimensional array of"
    ),
    "a bias of no layer": (
        npz(mask=ONE, w=np.full((10, 784), 0.5), b=np.ones(11)), "no layer's bias"
    ),
}  # fmt: skip


@pytest.mark.parametrize(("content", "rule"), BAD.values(), ids=BAD)
def test_a_bad_file_gets_one_clear_sentence(content, rule):
    with watching() as seen, pytest.raises(InvalidValue) as caught:
        read_upload("ticket.npz", content)
    assert_clear(caught.value)
    assert re.search(rule, str(caught.value))
    assert seen == []


def test_masks_and_weights_whose_names_disagree_are_refused():
    mask = masks((6, 6))
    start = weights((6, 6))
    arrays = {f"{name}_mask": kept for name, kept in mask.items()}
    arrays |= {"fc1.weight": start["fc1.weight"]}
    # Told by shapes alone, both orders of the two square layers would do.
    assert "'fc2.weight_mask' and no weights that are named after" in refused(npz(**arrays))


# Memory


def peak_of(content):
    """The most that reading took, the file itself not counted, in bytes."""
    tracemalloc.start()
    try:
        refused(content)
        return tracemalloc.get_traced_memory()[1]
    finally:
        tracemalloc.stop()


BOMBS = {
    "zeros beyond the shape": lambda: bomb(2**27, "(10, 784)"),
    "a large array, and more": lambda: bomb(2**27, "(5000, 3000)", "<f8"),
    "a huge shape": lambda: bomb(2**27, "(32768, 32768)"),
    "many entries": lambda: many_entries(700_000),
    "many large arrays": lambda: zipped(
        *[(f"{i}.npy", npy(np.zeros((5_000, 3_000), bool))) for i in range(4)],
        method=zipfile.ZIP_DEFLATED,
    ),
    "a wide header": lambda: raw_safetensors("{" + '"":0,' * 100_000 + '"":0}'),
    "a deep header": lambda: raw_safetensors("[" * 260_000),
}


@pytest.mark.parametrize("make", BOMBS.values(), ids=BOMBS)
def test_bombs_take_little_memory(make):
    content = make()
    assert len(content) < MAX_FILE
    assert peak_of(content) < 3 * MAX_FILE


def test_a_large_ticket_takes_a_small_multiple_of_its_size():
    level = make_level("conv-2")
    content = files.ticket_safetensors(level)
    assert len(content) < MAX_FILE
    tracemalloc.start()
    upload = read_upload("t.safetensors", content)
    peak = tracemalloc.get_traced_memory()[1]
    tracemalloc.stop()
    assert same(upload.trained, level.end)
    assert peak < 3 * len(content)


# Mutated files


def bases():
    level = make_level()
    start = weights()
    pruned = {f"{n}_mask": kept.astype(np.float32) for n, kept in level.mask.items()}
    pruned |= {f"{n}_orig" if n in level.mask else n: v for n, v in start.items()}
    convolutional = make_level("norm 4 pool 6 mean")
    return {
        "convolutions.npz": files.mask_npz(convolutional),
        "convolutions.safetensors": files.ticket_safetensors(convolutional),
        "mask.npz": files.mask_npz(level),
        "stored.npz": npz(**level.mask),
        "mask.safetensors": files.mask_safetensors(level),
        "ticket.safetensors": files.ticket_safetensors(level),
        "pruned.safetensors": save(pruned),
        "pruned.npz": npz(**pruned),
    }


def places(content, source):
    """Where it hurts: in headers and directories, and anywhere."""
    heads = [content.find(mark) for mark in (b"NUMPY", b"PK\1\2", b"PK\5\6")]
    starts = [0, max(0, len(content) - 300), *[place for place in heads if place >= 0]]
    while True:
        if source.random() < 0.7:
            yield min(len(content) - 1, source.choice(starts) + source.randrange(300))
        else:
            yield source.randrange(len(content))


def flip(content, other, source):
    changed = bytearray(content)
    for place in islice(places(content, source), source.choice([1, 1, 2, 8])):
        changed[place] ^= 1 << source.randrange(8)
    return bytes(changed)


def overwrite(content, other, source):
    changed, place = bytearray(content), next(places(content, source))
    word = source.choice([b"\xff" * 4, bytes(4), b"\xff" * 8, bytes(8), b"\x7f", b"9", b"'", b"{"])
    changed[place : place + len(word)] = word
    return bytes(changed)


def truncate(content, other, source):
    return content[: source.randrange(len(content))]


def cut_out(content, other, source):
    place = next(places(content, source))
    return content[:place] + content[place + source.choice([1, 4, 100]) :]


def insert(content, other, source):
    place = next(places(content, source))
    return content[:place] + source.randbytes(source.choice([1, 4, 100])) + content[place:]


def splice(content, other, source):
    return content[: source.randrange(len(content))] + other[source.randrange(len(other)) :]


def repeat(content, other, source):
    place, length = next(places(content, source)), source.choice([30, 100, 2_000])
    return content[:place] + content[place : place + length] * 2 + content[place + length :]


VALUES = [
    0, -1, 1, 2**31, 2**63, 2**64, 1e999, True, None, "", "x", "BOOL", "F64", "BF16", [], [0, 0],
    [4, 784], {}, "../x", "\n", "9" * 5_000, [[[]]], "mask/fc1.weight",
]  # fmt: skip


def change_header(content, other, source):
    """A safetensors header that is well-formed JSON, with something else in it."""
    length = int.from_bytes(content[:8], "little")
    if content[8:9] != b"{" or length > len(content):
        return change_entry(content, source)
    header = json.loads(content[8 : 8 + length])
    for _ in range(source.choice([1, 1, 3])):
        name = source.choice(sorted(header))
        entry = header[name]
        deed = source.randrange(4)
        if deed == 0:
            header[name] = source.choice(VALUES)
        elif deed == 1:
            del header[name]
            header[str(source.choice([*VALUES, name + "_mask", "restart/" + name]))] = entry
        elif isinstance(entry, dict) and entry:
            field = source.choice(sorted(entry))
            value = entry[field]
            if isinstance(value, list) and value and deed == 2:
                place = source.randrange(len(value))
                value[place] = (
                    source.choice([value[place] - 1, value[place] + 1, *VALUES[:9]])
                    if isinstance(value[place], int)
                    else source.choice(VALUES)
                )
            else:
                entry[field] = source.choice(VALUES)
    return raw_safetensors(header, content[8 + length :])


def change_entry(content, source):
    """A zip archive that is whole, with something else in it."""
    entries = []
    with zipfile.ZipFile(io.BytesIO(content)) as archive:
        for name in archive.namelist():
            entry = bytearray(archive.read(name))
            if source.random() < 0.5:
                entry[source.randrange(min(128, len(entry)))] = source.choice(
                    b"\0\1 0789'(),{}<>|bfO"
                )
            if source.random() < 0.2:
                name = source.choice(["../", "", "a/", "\n", "restart/"]) + name
            entries.append((name, bytes(entry)))
    return zipped(*entries, method=source.choice([zipfile.ZIP_STORED, zipfile.ZIP_DEFLATED]))


MUTATIONS = (
    flip, flip, overwrite, truncate, cut_out, insert, splice, repeat, change_header, change_header,
    change_header,
)  # fmt: skip
# Where damage may show that is left to Python's own readers to find.
UNPACKERS = ("zipfile", "zlib", "struct", "codecs", "encodings")


def check_one(name, content):
    """Only an upload comes out that is valid, or one sentence; True for an upload."""
    try:
        upload = read_upload(name, content)
    except InvalidValue as error:
        assert_clear(error)
        if error.__cause__ is not None:  # none of our own lines may stumble
            last = traceback.extract_tb(error.__cause__.__traceback__)[-1]
            place = f"{last.filename}:{last.lineno} {error.__cause__!r}"
            known = isinstance(error.__cause__, (zipfile.BadZipFile, zlib.error, EOFError))
            assert known or any(part in last.filename for part in UNPACKERS), place
        return False
    assert isinstance(upload, Upload)
    assert_valid(upload, content)
    return True


def check_like_others(content):
    """What is read here is what the formats' own readers read."""
    found = unpack(content).arrays
    if content.startswith(b"PK"):
        with np.load(io.BytesIO(content), allow_pickle=False) as archive:
            theirs = {name: archive[name] for name in archive.files}
    else:
        theirs = load(content)
    assert found.keys() == theirs.keys()
    for name, values in found.items():
        if values.ndim:
            np.testing.assert_array_equal(values, theirs[name].astype(values.dtype))


@pytest.mark.parametrize("base", bases())
def test_hundreds_of_mutated_files_give_an_upload_or_a_sentence(base):
    known = bases()
    content, source = known[base], random.Random(base)
    others = [*known.values()]
    assert check_one(base, content)
    read = 0
    for _ in range(300):
        mutated = source.choice(MUTATIONS)(content, source.choice(others), source)
        if source.random() < 0.2 and mutated:
            mutated = flip(mutated, content, source)
        with watching() as seen:
            good = check_one(base, mutated)
        assert seen == []
        if good:
            read += 1
            check_like_others(mutated)
    assert 0 < read < 270


@given(st.binary(max_size=300), st.sampled_from([b"", b"PK\3\4", b"PK\5\6", b"\0" * 8 + b"{"]))
def test_any_bytes_give_a_sentence(content, start):
    check_one("x", start + content)


@given(
    st.dictionaries(
        st.text(max_size=8),
        st.tuples(
            st.sampled_from(["?", "f4", "f8", "i1"]),
            st.lists(st.sampled_from([1, 4, 6, 10, 784]), max_size=3),
            st.sampled_from([0, 1, 0.5, float("nan")]),
        ),
        max_size=6,
    )
)
def test_any_arrays_give_an_upload_or_a_sentence(described_arrays):
    arrays = {
        name: np.full(sides, value if value == value or kind[0] == "f" else 1, kind)
        for name, (kind, sides, value) in described_arrays.items()
        if np.prod(sides) < 1e5
    }
    check_one("x", save(arrays))


@pytest.mark.parametrize("number", ["²", "9" * 5_000, "٣"])
def test_digits_that_are_no_numbers_in_a_name_are_words(number):
    """`int` refuses a superscript, and thousands of digits."""
    assert precedes(f"layer.{number}.weight", f"layer.{number}1.weight") in (True, False)
    assert not goes_with(("conv", number), ("bn", "2"))
