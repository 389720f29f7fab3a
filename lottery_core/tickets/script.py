"""The script that trains a ticket again without this project: `train_ticket.py`, made to fit."""

from __future__ import annotations

from pathlib import Path

from lottery_core.store import LevelInfo
from lottery_core.tickets.content import data_in_words

_TEMPLATE = Path(__file__).with_name("train_ticket.py")


def script(info: LevelInfo, name: str, ticket: str) -> str:
    """The script called `name`, for a level whose ticket lies beside it in the file `ticket`."""
    accuracy = f"{info.test_accuracy:.2%}"
    title = (
        f"This is level {info.level} of {info.key}: {info.percent_remaining:.4g} % of the\n"
        f"weights, on {data_in_words(info)}, {accuracy} of the test images when it was made."
    )
    text = _TEMPLATE.read_text(encoding="utf-8")
    for placeholder, value in (
        ("TITLE\n", f"{title}\n"),
        ("python train-ticket.py", f"python {name}"),
        ('TICKET = "ticket.safetensors"', f'TICKET = "{ticket}"'),
    ):
        if placeholder not in text:
            raise ValueError(f"{_TEMPLATE.name} has no {placeholder!r} to fill in")
        text = text.replace(placeholder, value)
    return text
