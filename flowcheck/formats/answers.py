"""What the user says of layers that a file leaves open: `--layer NAME=KIND:ORDER`.

NAME is a layer's name or prefix; KIND is a cell of the catalogue, with activations or without; ORDER the letters of its gates in the order
of the file's rows. Several, separated by commas. A NAME alone selects: beside one, only layers that are named are taken; without one, all.
"""

import re
from dataclasses import dataclass

from .activations import cell_by_name
from .errors import FormatError, shown

__all__ = ["Answer", "answer_for", "answered_cell", "parse_answers", "selects"]

COMMA = re.compile(r",(?![^\[]*\])")
ALIASES = str.maketrans({"c": "g", "h": "n", "u": "z"})  # the candidate's and the update gate's other letters


@dataclass(frozen=True)
class Answer:
    """One NAME=KIND:ORDER; kind and order may be empty."""

    name: str
    kind: str = ""
    order: str = ""


def parse_answers(text):
    """[Answer] of the text of --layer; none where it is None."""
    answers = []
    for part in COMMA.split(text) if text else ():
        name, _, rest = part.strip().partition("=")
        kind, colon, order = rest.rpartition(":")
        kind, order = (kind, order) if colon else (rest, "")
        answers.append(Answer(name.strip(), kind.strip(), order.replace(" ", "")))
    return answers


def selects(answer, *names):
    """Whether a layer or a stack of one of these names is meant."""
    return any(name == answer.name or name.startswith((f"{answer.name}.", f"{answer.name}/")) for name in names)


def answer_for(answers, *names):
    """The Answer with the longest name that selects one of these names and says a kind; None where there is none."""
    fits = [answer for answer in answers if answer.kind and selects(answer, *names)]
    return max(fits, key=lambda answer: len(answer.name), default=None)


def answered_cell(answer, cells, where):
    """(cell, gates, recurrent gates, letters): the cell that the answer names, its gates in the answered order.

    Raises FormatError for an unknown cell, one that no framework stores, and letters that are not those of its gates.
    """
    kind = {"lstm": "lstm", "gru": "gru", "rnn": "tanh"}.get(answer.kind.lower(), answer.kind)
    cell = cell_by_name(kind, cells, where)
    if not cell.layouts:
        stored = ", ".join(name for name, c in cells.items() if c.layouts)
        raise FormatError(f"{where}: no framework stores the cell {cell.name}, so its rows have no order; cells that are stored: {stored}")
    layout = cell.layouts[0]
    recurrent = layout.recurrent or layout.gates
    if not answer.order:
        return cell, layout.gates, recurrent, layout.letters
    gates = dict(zip(_plain(layout.letters), zip(layout.gates, recurrent, strict=True), strict=True))
    order = _plain(answer.order)
    if sorted(order) != sorted(gates):
        raise FormatError(f"{where}: order {shown(answer.order)!r} does not name the gates of {cell.name}, expected some order of "
                          f"{''.join(layout.letters)}")
    first, second = zip(*(gates[letter] for letter in order), strict=True)
    return cell, first, second, tuple(answer.order)


def _plain(letters):
    """Letters with one name per gate; a single one is no candidate and stays."""
    letters = tuple(letters)
    return letters if len(letters) == 1 else tuple(letter.translate(ALIASES) for letter in letters)
