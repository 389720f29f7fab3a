"""The script that trains a ticket again without this project: `train_ticket.py`, made to fit."""

from __future__ import annotations

from pathlib import Path

from lottery_core.findings.tables import percent_remaining
from lottery_core.spec.datasets import title_of

_TEMPLATE = Path(__file__).with_name("train_ticket.py")


def script(info: dict, name: str, ticket: str) -> str:
    """The script called `name`, for a level whose ticket lies beside it in the file `ticket`."""
    recipe = info["experiment"]["recipe"]
    dataset = title_of(recipe["dataset"], recipe.get("content", ""))
    title = (
        f"This is level {info['level']} of {info['key']}: {percent_remaining(info):.4g} % of the\n"
        f"weights, on {dataset}, {info['test_accuracy']:.2%} of the test images when it was made."
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
