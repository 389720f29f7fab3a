"""The script that trains a ticket again without this project: `train_ticket` and `ticket_data` in
one file, made to fit."""

from __future__ import annotations

import ast
import sys
from pathlib import Path
from textwrap import fill

from lottery_core.spec.experiment import Experiment
from lottery_core.store import LevelInfo
from lottery_core.tickets.content import data_in_words
from lottery_core.tickets.repeat import command_of, why_script_differs

_PARTS = tuple(Path(__file__).with_name(name) for name in ("train_ticket.py", "ticket_data.py"))
_START = '\n\n\nif __name__ == "__main__":'


def script(info: LevelInfo, name: str, ticket: str) -> str:
    """The script called `name`, for a level whose ticket lies beside it in the file `ticket`."""
    accuracy = f"{info.test_accuracy:.2%}"
    title = (
        f"This is level {info.level} of {info.key}: {info.percent_remaining:.3g} % of the\n"
        f"weights, on {data_in_words(info)}, {accuracy} of the test images when it was made."
    )
    if why := why_script_differs(info.experiment):
        experiment = Experiment.known(info.experiment)
        command = command_of(experiment) if experiment else None
        other = f"this does:\n\n    {command}" if command else "the ticket's card says how."
        title += f"\n\n{fill(why, 98)}\nIn the folder of the Lottery Ticket Explorer {other}"
    text = in_one_file()
    for placeholder, value in (
        ("TITLE\n", f"{title}\n"),
        ("python train-ticket.py", f"python {name}"),
        ('TICKET = "ticket.safetensors"', f'TICKET = "{ticket}"'),
    ):
        if placeholder not in text:
            raise ValueError(f"{_PARTS[0].name} has no {placeholder!r} to fill in")
        text = text.replace(placeholder, value)
    return text


def in_one_file() -> str:
    """The script for any ticket: the imports of both parts that are not of this project, how data
    are read, how a network is trained, and the start."""
    imports, bodies, begins = set(), [], ""
    for part in _PARTS:
        text = part.read_text(encoding="utf-8")
        lines, told = text.splitlines(), ast.parse(text).body
        found = [node for node in told if isinstance(node, ast.Import | ast.ImportFrom)]
        imports |= {lines[node.lineno - 1] for node in found}
        bodies.append("\n".join(lines[found[-1].end_lineno :]).strip())
        begins = begins or "\n".join(lines[: found[0].lineno - 1]).strip()
    groups: dict[bool, list[str]] = {True: [], False: []}  # Python's own, and others
    for line in sorted(imports, key=lambda line: (line.startswith("from"), line)):
        package = line.split()[1].partition(".")[0]
        if package != "lottery_core":
            groups[package in sys.stdlib_module_names].append(line)
    body, start = bodies[0].split(_START)
    head = [begins, "", *groups[True], "", *groups[False], "", bodies[1]]
    return "\n\n\n".join(["\n".join(head), body + _START + start]) + "\n"
