"""One image file -> a square of uint8 pixels, and what had to be done to it."""

from __future__ import annotations

import os
import re
import stat
from pathlib import PurePath
from typing import BinaryIO, NamedTuple

import numpy as np
from PIL import Image, UnidentifiedImageError

MAX_PIXELS = 50_000_000  # of one image, by its header
MAX_FILE = 512 * 2**20  # bytes of one image

# What Pillow may try, whatever a file calls itself, and the endings that go with it.
FORMATS = {
    "PNG": (".png", ".apng"),
    "JPEG": (".jpg", ".jpeg", ".jpe", ".jfif"),
    "WEBP": (".webp",),
    "BMP": (".bmp", ".dib"),
    "GIF": (".gif",),
}
_ALSO_JPEG = "MPO"  # several pictures in one JPEG file, as some cameras write them
_FORMAT_OF = {ending: name for name, endings in FORMATS.items() for ending in endings}
# Images too, so they are not left out in silence; but nothing here reads them.
_OTHER_ENDINGS = (
    ".tif .tiff .heic .heif .avif .jp2 .j2k .jxl .svg .ico .psd .tga .pgm .ppm .pnm .pbm .exr "
    ".raw .dng .cr2 .nef .arw"
)
ENDINGS = frozenset([*_FORMAT_OF, *_OTHER_ENDINGS.split()])

# How files that are no image of ours begin.
_BEGINNINGS = {
    b"II*\0": "is a TIFF image",
    b"MM\0*": "is a TIFF image",
    b"\0\0\0\x0cjP": "is a JPEG 2000 image",
    b"%PDF": "is a PDF document",
    b"8BPS": "is a Photoshop file",
    b"<svg": "is an SVG drawing",
    b"<!DOCTYPE html": "is a web page",
    b"<html": "is a web page",
    b"version https://git-lfs": "is a Git LFS pointer, not the image itself; run git lfs pull",
}
_OUR_BEGINNINGS = re.compile(
    rb"\x89PNG\r\n\x1a\n|\xff\xd8\xff|BM.{4}\0\0\0\0|GIF8[79]a|RIFF.{4}WEBP", re.DOTALL
)

# What is told of images, in the order of telling; {} is "3 images".
TRAITS = {
    "jpeg": "{} decoded from JPEG, whose compression changes pixels: what is published of them "
    "should say so.",
    "ending": "{} of another format than the ending of the file's name says: read as what it is.",
    "palette": "{} with a palette: each pixel became the colour it stands for.",
    "bilevel": "{} of 1 bit a pixel: read as black and white.",
    "deep": "{} of 16 bits a channel: the upper 8 were kept.",
    "cmyk": "{} in CMYK: converted to RGB without a colour profile.",
    "alpha": "{} with transparent parts: laid on white.",
    "frames": "{} with several frames: the first was taken.",
    "turned": "{} turned or mirrored, as the EXIF orientation says.",
    "exif": "{} with damaged EXIF data: taken as stored.",
    "cropped": "{} not square: cropped to the middle.",
    "enlarged": "{} smaller than the size asked for: enlarged.",
}

_ORIENTATION = 0x0112  # EXIF's tag
_UPRIGHT = {
    2: Image.Transpose.FLIP_LEFT_RIGHT,
    3: Image.Transpose.ROTATE_180,
    4: Image.Transpose.FLIP_TOP_BOTTOM,
    5: Image.Transpose.TRANSPOSE,
    6: Image.Transpose.ROTATE_270,
    7: Image.Transpose.TRANSVERSE,
    8: Image.Transpose.ROTATE_90,
}


class Unreadable(Exception):
    """A file that yields no image; the message goes on after the file's name."""


class Picture(NamedTuple):
    """`pixels` are channels x size x size bytes; `shape` is (width, height) in the file."""

    pixels: bytes
    shape: tuple[int, int]
    is_colourful: bool
    traits: frozenset[str]


def decode(path: str, size: int, grey: bool) -> Picture:
    """The middle square of an image, upright, scaled to `size` and opaque: three channels, or
    one with `grey`.

    Raises `Unreadable`. A link is not followed.
    """
    with _opened(path) as file:
        try:
            with Image.open(file, formats=[*FORMATS]) as image:
                return _picture(image, PurePath(path).suffix.lower(), size, grey)
        except (Unreadable, MemoryError):
            raise
        except UnidentifiedImageError:
            raise Unreadable(_what_else(file)) from None
        except Image.DecompressionBombError:
            raise Unreadable(_too_many_pixels()) from None
        except Exception as error:  # noqa: BLE001 - Pillow lists nowhere what damage makes it raise
            words = str(error).splitlines() or [type(error).__name__]
            raise Unreadable(f"is cut short or damaged: {words[0][:80]}") from None


def begins_as_image(path: str) -> bool:
    """Whether a file without an ending begins as the images read here do."""
    try:
        with _opened(path) as file:
            return bool(_OUR_BEGINNINGS.match(file.read(16)))
    except Unreadable:
        return False


def _opened(path: str) -> BinaryIO:
    # Neither a link that was put there meanwhile, nor a pipe that would never answer.
    flags = os.O_RDONLY | sum(getattr(os, name, 0) for name in ("O_NOFOLLOW", "O_NONBLOCK"))
    try:
        file = os.fdopen(os.open(path, flags | getattr(os, "O_BINARY", 0)), "rb")
    except OSError as error:
        raise Unreadable(f"can't be opened: {error.strerror}") from None
    about = os.fstat(file.fileno())
    for is_wrong, reason in (
        (not stat.S_ISREG(about.st_mode), "is no ordinary file"),
        (about.st_size == 0, "is empty"),
        (about.st_size > MAX_FILE, f"is larger than {MAX_FILE // 2**20} MiB"),
    ):
        if is_wrong:
            file.close()
            raise Unreadable(reason)
    return file


def _too_many_pixels() -> str:
    return f"has more than {MAX_PIXELS:,} pixels"


def _what_else(file: BinaryIO) -> str:
    """What a file is that is none of `FORMATS`."""
    file.seek(0)
    start = file.read(512)
    for beginning, words in _BEGINNINGS.items():
        if start.lstrip(b"\xef\xbb\xbf \t\r\n").lower().startswith(beginning.lower()):
            return words
    if start[4:8] == b"ftyp":
        return "is a HEIC or AVIF image, or a video"
    if all(byte >= 32 or byte in b"\t\r\n" for byte in start):
        return "is a text"
    if _OUR_BEGINNINGS.match(start):
        return "is cut short or damaged"
    return f"is no {', '.join(FORMATS)} image"


def _picture(image: Image.Image, ending: str, size: int, grey: bool) -> Picture:
    shape = image.size
    if shape[0] * shape[1] > MAX_PIXELS:
        raise Unreadable(_too_many_pixels())
    kind = "JPEG" if image.format == _ALSO_JPEG else image.format
    is_deep = kind == "PNG" and "16" in str(image.tile[0].args)  # Pillow makes 8 bits of most
    image.draft(None, (2 * size, 2 * size))  # a JPEG file can be decoded at a half to an eighth
    image.load()
    turn, is_exif_damaged = _turn(image)
    if is_deep:
        image.info.pop("transparency", None)  # one colour of 16 bits, which no pixel has any more
    traits = {
        "jpeg": kind == "JPEG",
        "ending": _FORMAT_OF.get(ending) != kind,
        "palette": image.mode == "P",
        "bilevel": image.mode == "1",
        "deep": is_deep,
        "cmyk": image.mode == "CMYK",
        "alpha": False,
        "frames": getattr(image, "is_animated", False),
        "turned": turn is not None,
        "exif": is_exif_damaged,
        "cropped": shape[0] != shape[1],
        "enlarged": min(shape) < size,
    }
    if turn is not None:
        image = image.transpose(turn)
    image, traits["alpha"] = _opaque(middle(image))
    pixels, is_colourful = square(image, size, grey)
    return Picture(
        pixels, shape, is_colourful, frozenset(name for name, has in traits.items() if has)
    )


def _turn(image: Image.Image) -> tuple[Image.Transpose | None, bool]:
    """How to make an image upright, and whether what its EXIF data says can't be read."""
    try:
        return _UPRIGHT.get(image.getexif().get(_ORIENTATION)), False
    except Exception:  # noqa: BLE001 - the pixels are whole, whatever is wrong beside them
        return None, True


def middle(image: Image.Image) -> Image.Image:
    """The square in the middle, as large as fits."""
    width, height = image.size
    side = min(width, height)
    left, top = (width - side) // 2, (height - side) // 2
    return image.crop((left, top, left + side, top + side)) if width != height else image


def _opaque(image: Image.Image) -> tuple[Image.Image, bool]:
    """An image of any mode in mode L or RGB, and whether it was transparent anywhere."""
    if image.mode.startswith("I"):
        upper = np.clip(np.asarray(image) >> 8, 0, 255)
        return Image.fromarray(upper.astype(np.uint8)), False
    if not image.has_transparency_data:
        return image.convert("L" if image.mode in ("1", "L") else "RGB"), False
    layer = image.convert("RGBA")
    is_transparent = layer.getchannel("A").getextrema()[0] < 255
    if is_transparent:
        layer = Image.alpha_composite(Image.new("RGBA", layer.size, "white"), layer)
    return layer.convert("RGB"), is_transparent


def square(image: Image.Image, size: int, grey: bool) -> tuple[bytes, bool]:
    """A square image of mode L or RGB as bytes, channel by channel, and whether it has colour."""
    # With a gap of 3, averaging whole blocks first can't be told from the filter alone.
    image = image.resize((size, size), Image.Resampling.LANCZOS, reducing_gap=3.0)
    values = np.asarray(image)
    is_colourful = values.ndim == 3 and bool((values != values[:, :, :1]).any())
    if grey:
        return image.convert("L").tobytes(), is_colourful
    if values.ndim == 2:
        return 3 * values.tobytes(), False
    return values.transpose(2, 0, 1).tobytes(), is_colourful
