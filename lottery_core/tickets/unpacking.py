"""A file from outside -> named arrays, whatever its bytes are.

Nothing in the file is run or believed: names, types, sizes and places are checked before they are
used, nothing is read further than an array of its checked size goes, and no pickle is opened. Of
two ways to read a byte the stricter is taken, so a file that passes is one that other readers of
its format take too, and take alike.
"""

from __future__ import annotations

import io
import json
import math
import re
import struct
import zipfile
from collections.abc import Iterator
from dataclasses import dataclass
from typing import BinaryIO

import numpy as np

from lottery_core.method.masks import Arrays
from lottery_core.spec.notation import MAX_KERNEL, MAX_WIDTH
from lottery_core.tickets.others import PICKLE, is_text, what_else

# Of an upload, which is read into memory before anything is known of it. The largest network with
# a name is VGG-16, whose 14.7 million weights take 133 MB as a ticket with trained weights.
MAX_FILE = 128 * 2**20
MAX_WEIGHTS = 15_000_000
MAX_NUMBERS = 3 * MAX_WEIGHTS + 10**6  # of all arrays together, with biases and batch norm
MAX_SIDE = 32 * MAX_WIDTH  # what a layer reads that follows 64 maps of 32x32 pixels, say
MAX_HEADER = 512 * 2**10  # of a safetensors file; ResNet-56 takes 200 KB in forty rounds
MAX_ARRAYS = 1024  # the ticket of a ResNet-56 has 645
MAX_NAME = 100
MAX_DIRECTORY = 256 * 2**10  # of a zip archive; 1024 entries of our names take 120 KB
MAX_NPY_HEADER = 1024  # NumPy writes 118 bytes

_SAFETENSORS_TYPES = {
    "BOOL": "?", "U8": "u1", "I8": "i1", "U16": "<u2", "I16": "<i2", "U32": "<u4", "I32": "<i4",
    "U64": "<u8", "I64": "<i8", "F16": "<f2", "F32": "<f4", "F64": "<f8",
}  # fmt: skip
# What stands before an array in a .npy file: a dict of three entries, in any order. NumPy's own
# reader evaluates it as Python.
_NUMBER = "(?:0|[1-9][0-9]*)"
_NPY_SHAPE = rf"\((?:{_NUMBER},(?: ?{_NUMBER}(?:, ?{_NUMBER})*,?)?)?\)"
_NPY_ENTRY = (
    rf"""['"](descr|fortran_order|shape)['"] ?: ?('[^'"]*'|"[^'"]*"|True|False|{_NPY_SHAPE})"""
)
_NPY_HEADER = re.compile(rf"\{{ ?{_NPY_ENTRY}, ?{_NPY_ENTRY}, ?{_NPY_ENTRY},? ?\}} *\n?")
_NPY_TYPE = re.compile(r"[<>|=]?(\?|b1|[iu][1248]|f[248])")
_NPY_OTHER_TYPES = {"O": "Python objects", "c": "complex numbers", "S": "text", "U": "text"}


class Refused(ValueError):
    """The file can't be taken; the message is the rule and the remedy."""


@dataclass(frozen=True)
class Contents:
    """`arrays` by their names in the file, each bool (where the file has bools, or integers 0 and
    1) or float32 (finite), of no, one, two or four dimensions, and perhaps a view of the file;
    those named in `rounded` had other values. They follow each other as in the file, which is as
    they were written if `in_file_order`. `header` are the texts of a safetensors file."""

    arrays: Arrays
    header: dict[str, str]
    rounded: frozenset[str]
    in_file_order: bool


def unpack(content: bytes) -> Contents:
    """What a .npz or .safetensors file holds; its kind is told by its content.

    Takes as much memory as `MAX_NUMBERS` need; arrays of a safetensors file stay where they are.
    Raises `Refused`, and whatever zipfile and zlib raise for a damaged archive.
    """
    if not content:
        raise Refused("is empty; export or download it again")
    if len(content) > MAX_FILE:
        raise Refused(
            f"has {len(content):,} bytes, more than can be read here (at most {MAX_FILE:,}); "
            "upload its masks with one set of weights, or masks alone"
        )
    header: dict[str, str] = {}
    is_npz = content.startswith((b"PK\3\4", b"PK\5\6"))
    # A text may have a brace there too, but then no length before it.
    if content[8:9] == b"{" and not is_text(content[:8]):
        header, found = _safetensors(content)
    elif is_npz:
        found = _npz(content)
    else:
        raise Refused(what_else(content))
    arrays: Arrays = {}
    rounded = set()
    for name, values in found:
        arrays[name], changed = _plain(name, values)
        if changed:
            rounded.add(name)
    if not arrays:
        raise Refused("holds no arrays; upload a file with one mask a layer")
    # safetensors sorts by type and name when it writes.
    return Contents(arrays, header, frozenset(rounded), in_file_order=is_npz)


def shown(name: str) -> str:
    """A name from the file as it may stand in a sentence: one line, not long."""
    text = repr(name)
    return text if len(text) <= 40 else f"{text[:37]}..."


def strict_json(text: str) -> object:
    """JSON without names twice in an object and without NaN; raises `ValueError`."""

    def once(pairs: list[tuple[str, object]]) -> dict[str, object]:
        fields = dict(pairs)
        if len(fields) < len(pairs):
            raise ValueError("a name twice in an object")
        return fields

    def refuse(constant: str) -> None:
        raise ValueError(f"{constant} is no number")

    try:
        return json.loads(text, object_pairs_hook=once, parse_constant=refuse)
    except RecursionError:
        raise ValueError("too deep") from None


def _check_name(name: str, known: object) -> None:
    if not 0 < len(name) <= MAX_NAME:
        raise Refused(
            f"names an array with {len(name):,} characters; give names of 1 to {MAX_NAME}"
        )
    parts = name.split("/")
    if not name.isprintable() or "\\" in name or {"", ".", ".."} & {*parts} or name[1:3] == ":/":
        raise Refused(
            f"names an array {shown(name)}, which could be a place on a disk; name arrays after "
            "their layers"
        )
    if name in known:
        raise Refused(f"has two arrays named {shown(name)}; give each a name of its own")


def _check_shape(name: str, shape: tuple[int, ...], room: int) -> int:
    """The number of values of an array that may be read with `room` left for values."""
    if len(shape) not in (0, 1, 2, 4):
        raise Refused(
            f"has an array {shown(name)} of {len(shape)} dimensions; only fully connected layers "
            "and convolutions can be read, with two and four dimensions, and their biases"
        )
    sides = " x ".join(f"{side:,}" if side < 10**12 else "..." for side in shape)
    if any(side > MAX_SIDE for side in shape) or (size := math.prod(shape)) > MAX_WEIGHTS:
        raise Refused(
            f"has an array {shown(name)} of {sides} values; a layer may have at most "
            f"{MAX_SIDE:,} inputs and outputs, and {MAX_WEIGHTS:,} weights"
        )
    if not size:
        raise Refused(f"has an array {shown(name)} without values; leave it out")
    if len(shape) == 4 and not (is_kernel(shape[2:]) or is_kernel(shape[:2])):
        raise Refused(
            f"has an array {shown(name)} of {sides} values; the kernels of a convolution must be "
            f"square, of an odd size up to {MAX_KERNEL}"
        )
    if size > room:
        raise Refused(
            f"holds more than {MAX_NUMBERS:,} values; upload one mask a layer and one or two sets "
            "of weights"
        )
    return size


def is_kernel(sides: tuple[int, ...]) -> bool:
    """Whether these may be the rows and columns of a kernel."""
    return sides[0] == sides[1] <= MAX_KERNEL and sides[0] % 2 == 1


# safetensors: eight bytes of length, a JSON header, the values


def _safetensors(content: bytes) -> tuple[dict[str, str], Iterator[tuple[str, np.ndarray]]]:
    """The texts of the header, and the arrays as views of `content`.

    https://github.com/huggingface/safetensors#format, with its rule that values lie without gaps.
    """
    (length,) = struct.unpack_from("<Q", content)
    if length > MAX_HEADER:
        raise Refused(
            f"begins like safetensors with a header of {length:,} bytes; at most {MAX_HEADER:,} "
            "are read, so leave long texts out or export it again"
        )
    if length > len(content) - 8:
        raise Refused("ends within its header, so it was cut short; download or export it again")
    try:
        header = strict_json(content[8 : 8 + length].decode())
    except ValueError as error:
        twice = "names an array twice" if "twice" in str(error) else "is no valid JSON"
        raise Refused(f"has a safetensors header that {twice}; export it again") from None
    if not isinstance(header, dict):
        raise Refused("has a safetensors header that names no arrays; export it again")
    texts = header.pop("__metadata__", None)
    texts = {} if texts is None else texts
    if not isinstance(texts, dict) or not all(isinstance(text, str) for text in texts.values()):
        raise Refused("has safetensors metadata other than texts by name; export it again")
    if len(header) > MAX_ARRAYS:
        raise Refused(f"names {len(header):,} arrays; at most {MAX_ARRAYS} are read, so leave some")

    values = memoryview(content)[8 + length :]
    places, room = {}, MAX_NUMBERS
    for name, entry in header.items():
        _check_name(name, places)
        kind, shape, (begin, end) = _entry(name, entry)
        size = _check_shape(name, shape, room)
        room -= size
        if end - begin != size * kind.itemsize:
            raise Refused(f"gives {shown(name)} other bytes than its shape takes; export it again")
        places[name] = begin, end, kind, shape
    reached = 0
    for begin, end, _, _ in sorted(places.values(), key=lambda place: place[:2]):
        if begin != reached:
            raise Refused("has arrays that overlap or leave gaps; export it again")
        reached = end
    if reached != len(values):
        what = "ends before its last array does" if reached > len(values) else "goes on after it"
        raise Refused(f"{what}, so it is damaged; download or export it again")
    return texts, (
        (name, np.frombuffer(values[begin:end], kind).reshape(shape))
        for name, (begin, end, kind, shape) in places.items()
    )


def _entry(name: str, entry: object) -> tuple[np.dtype, tuple[int, ...], tuple[int, int]]:
    """Type, shape and place of an array in the header of a safetensors file."""
    good = isinstance(entry, dict) and entry.keys() == {"dtype", "shape", "data_offsets"}
    if good:
        shape, place = entry["shape"], entry["data_offsets"]
        good = isinstance(shape, list) and isinstance(place, list) and len(place) == 2
        good = good and all(type(n) is int and 0 <= n < 2**63 for n in [*shape, *place])
        good = good and isinstance(entry["dtype"], str)
    if not good:
        raise Refused(f"describes {shown(name)} other than safetensors does; export it again")
    if entry["dtype"] not in _SAFETENSORS_TYPES:
        raise Refused(
            f"stores {shown(name)} as {shown(entry['dtype'])}; store masks as BOOL and weights "
            "as F32"
        )
    return np.dtype(_SAFETENSORS_TYPES[entry["dtype"]]), tuple(shape), tuple(place)


# npz: a zip archive of .npy files


def _npz(content: bytes) -> Iterator[tuple[str, np.ndarray]]:
    """The arrays, unpacked one by one."""
    if b"data.pkl" in content:
        raise Refused(f"is a PyTorch file with a pickle in it, {PICKLE}")
    # zipfile makes an object of each entry that the directory lists, so its size is looked at
    # first. Where the end is what is asked for here, zipfile takes the same end.
    end = content[-22:]
    if len(end) < 22 or not end.startswith(b"PK\5\6") or not end.endswith(b"\0\0"):
        raise Refused(
            "is a zip archive that was cut short or goes on after its end; download or export it "
            "again"
        )
    count, directory = struct.unpack_from("<HL", end, 10)
    if count > MAX_ARRAYS or directory > MAX_DIRECTORY or content[-42:-38] == b"PK\6\7":
        raise Refused(
            f"is a zip archive with too many entries; at most {MAX_ARRAYS} arrays are read, so "
            "leave some"
        )
    with zipfile.ZipFile(io.BytesIO(content)) as archive:
        entries = archive.infolist()
        if len(entries) != count:
            raise Refused("is a zip archive that miscounts its entries; export it again")
        names: set[str] = set()
        for entry in entries:
            name = entry.filename.removesuffix(".npy")
            # zipfile cuts a name at a zero byte.
            if name == entry.filename or entry.orig_filename != entry.filename:
                raise Refused(
                    f"is a zip archive with {shown(entry.orig_filename)} in it, which is no .npy "
                    "array; save one array a layer with numpy.savez"
                )
            _check_name(name, names)
            names.add(name)
            if entry.flag_bits & 1:
                raise Refused("is a zip archive with a password; export it without one")
            if entry.compress_type not in (zipfile.ZIP_STORED, zipfile.ZIP_DEFLATED):
                raise Refused(
                    f"packs {shown(name)} by a method other than deflate; save it with "
                    "numpy.savez_compressed"
                )
        room = MAX_NUMBERS
        for entry in entries:
            with archive.open(entry) as file:
                values = _npy(entry.filename.removesuffix(".npy"), file, room)
            room -= values.size
            yield entry.filename.removesuffix(".npy"), values


def _npy(name: str, file: BinaryIO, room: int) -> np.ndarray:
    """One array; no byte more is unpacked than its checked shape takes, and one to see the end.

    https://numpy.org/doc/stable/reference/generated/numpy.lib.format.html
    """
    start = file.read(8)
    if start not in (b"\x93NUMPY\1\0", b"\x93NUMPY\2\0", b"\x93NUMPY\3\0"):
        raise Refused(f"has an entry {shown(name)} that is no .npy array; save it with numpy.savez")
    length = int.from_bytes(file.read(2 if start[6] == 1 else 4), "little")
    if length > MAX_NPY_HEADER:
        raise Refused(
            f"has a header of {length:,} bytes before {shown(name)}; at most {MAX_NPY_HEADER:,} "
            "are read, so save it with numpy.savez"
        )
    header = file.read(length).decode("latin-1")
    match = _NPY_HEADER.fullmatch(header)
    found = match.groups() if match else ()
    fields = dict(zip(found[::2], found[1::2], strict=True))
    kind = fields.get("descr", "''")[1:-1]
    if "[" in header or kind.lstrip("<>|=")[:1] in ("V", *_NPY_OTHER_TYPES):
        what = _NPY_OTHER_TYPES.get(kind.lstrip("<>|=")[:1], "records")
        raise Refused(
            f"holds {what} in {shown(name)}, not plain numbers; store masks as bool and weights "
            "as float32"
        )
    orders = {"True": "F", "False": "C"}
    if (
        len(fields) < 3
        or fields["fortran_order"] not in orders
        or not fields["shape"].startswith("(")
    ):
        raise Refused(f"has a header before {shown(name)} that NumPy does not write; save it again")
    if not _NPY_TYPE.fullmatch(kind):
        raise Refused(
            f"stores {shown(name)} as {shown(kind)}; store masks as bool and weights as float32"
        )
    kind = np.dtype(kind)
    shape = tuple(int(side) for side in re.findall("[0-9]+", fields["shape"]))
    need = _check_shape(name, shape, room) * kind.itemsize
    values = file.read(need + 1)
    if len(values) != need:
        what = "fewer" if len(values) < need else "more"
        raise Refused(f"has {what} bytes in {shown(name)} than its shape takes; export it again")
    return np.frombuffer(values, kind).reshape(shape, order=orders[fields["fortran_order"]])


# Values


def _plain(name: str, values: np.ndarray) -> tuple[np.ndarray, bool]:
    """As bool or float32 in C order, copied where they are not, and whether any was rounded."""
    if not values.ndim:  # a counter beside the weights, which nobody reads
        return np.zeros((), np.float32), False
    if values.dtype.kind == "b":
        # A byte that is neither would be True in one place and not equal to True in another.
        if values.view(np.uint8).max() > 1:
            raise Refused(f"has a mask {shown(name)} of bytes other than 0 and 1; export it again")
        return np.ascontiguousarray(values), False
    if values.dtype.kind in "iu":
        if not ((values == 0) | (values == 1)).all():
            raise Refused(
                f"has whole numbers other than 0 and 1 in {shown(name)}; store masks as bool and "
                "weights as float32"
            )
        return np.array(values, bool, order="C"), False
    if not np.isfinite(values).all():
        raise Refused(f"has NaN or infinite values in {shown(name)}; export finite weights")
    with np.errstate(over="ignore", under="ignore"):
        plain = np.asarray(values, np.float32, order="C")
    if not np.isfinite(plain).all():
        raise Refused(f"has values in {shown(name)} that are too large for float32; export others")
    return plain, plain is not values and bool((plain != values).any())
