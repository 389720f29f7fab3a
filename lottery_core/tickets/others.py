"""Files that are no tickets: what they are, told by how they begin, and what to do with them."""

from __future__ import annotations

PICKLE = (
    "which can run code when it is opened, so it is not read; save it anew with "
    'safetensors.torch.save_file(model.state_dict(), "ticket.safetensors")'
)
_UPLOAD = "upload a .npz or .safetensors file"
# How other files begin, and what to say of them.
_OTHERS = (
    (b"\x93NUMPY", "is one array without a name; save one array a layer with numpy.savez"),
    (b"\x89HDF", "is an HDF5 file, as Keras writes; save its kernels with numpy.savez"),
    (b"\x1f\x8b", "is packed with gzip; unpack it first"),
    (b"BZh", "is packed with bzip2; unpack it first"),
    (b"\xfd7zXZ", "is packed with xz; unpack it first"),
    (b"(\xb5/\xfd", "is packed with zstd; unpack it first"),
    (b"7z\xbc\xaf", "is a 7z archive; unpack it first"),
    (b"Rar!", "is a RAR archive; unpack it first"),
    (b"\x89PNG", f"is a PNG picture; {_UPLOAD}"),
    (b"\xff\xd8\xff", f"is a JPEG picture; {_UPLOAD}"),
    (b"GIF8", f"is a GIF picture; {_UPLOAD}"),
    (b"%PDF", f"is a PDF document; {_UPLOAD}"),
    (b"PAR1", f"is a Parquet table; {_UPLOAD}"),
)


def is_text(start: bytes) -> bool:
    """Whether a file that begins so can be read by a person."""
    # A character may be cut in two at the end; what cannot be decoded is dropped there alone.
    text = start.decode("utf-8", "replace").rstrip("\ufffd")
    return bool(text) and all(c.isprintable() or c in "\r\n\t\ufeff" for c in text)


def what_else(content: bytes) -> str:
    """The sentence for a file of another kind."""
    if content[:1] == b"\x80" and content[1:2] in (b"\2", b"\3", b"\4", b"\5"):
        return f"is a pickle, {PICKLE}"
    for start, sentence in _OTHERS:
        if content.startswith(start):
            return sentence
    if content[257:262] == b"ustar":
        return "is a tar archive; unpack it first"
    if is_text(content[:4096]):
        return "is a text; upload masks as a .npz or .safetensors file"
    return "is neither a .npz nor a .safetensors file, or its beginning is damaged; export it again"
