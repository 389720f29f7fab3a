"""The published archives of a data set, fetched from the network and verified."""

from __future__ import annotations

import http.client
import urllib.request
from collections.abc import Callable
from pathlib import Path

from lottery_core.data.files import first_line, md5_of
from lottery_core.spec.datasets import DATASETS

_TIMEOUT = 20  # seconds without a byte
_BLOCK = 2**18  # bytes at once
_HEADERS = {"User-Agent": "lottery-ticket-explorer"}  # some servers refuse urllib's own


class DataUnavailable(RuntimeError):
    """A data set is neither here nor could it be fetched; the message says both ways."""


class Stopped(Exception):
    """Nobody waits for the download any more."""


def download(name: str, folder: Path, stopped: Callable[[], bool] = lambda: False) -> None:
    """Fetch the archives of a data set into `folder`, each from the first address that has it.

    `stopped` is asked between blocks. Raises `DataUnavailable` where no address has an archive
    with the right MD5 sum, `Stopped`, and `OSError` where the folder can't be written.
    """
    facts = DATASETS[name]
    for file, md5 in facts.archives.items():
        problems = []
        for address in facts.addresses:
            problem = _fetch(f"{address}{file}", folder / file, md5, stopped)
            if not problem:
                break
            problems.append(problem)
        else:
            packed = ", ".join(f"{original}.gz" for original in sorted(facts.idx.values()))
            either = f"{file}, or {packed}" if packed and file not in packed else packed or file
            raise DataUnavailable(
                f"{facts.title} could not be downloaded ({problems[0]}). Either start again when "
                f"the network allows it, or name a folder that holds {either}"
            )


def _fetch(address: str, target: Path, md5: str, stopped: Callable[[], bool]) -> str:
    """What went wrong; "" if the file is there with that MD5 sum."""
    request = urllib.request.Request(address, headers=_HEADERS)  # noqa: S310 - of our own list
    try:
        answer = urllib.request.urlopen(request, timeout=_TIMEOUT)  # noqa: S310
    except (OSError, http.client.HTTPException) as error:
        return first_line(error)
    with answer, target.open("wb") as file:
        while True:
            if stopped():
                raise Stopped
            try:
                block = answer.read(_BLOCK)
            except (OSError, http.client.HTTPException) as error:
                return first_line(error)
            if not block:
                break
            file.write(block)
    if md5_of(target) != md5:
        return f"{address} gave another file than was published, or only a part of it"
    return ""
