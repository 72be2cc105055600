"""The programs: architectures on tasks, several nets of each; which of them thresholds may be set on, and which are held back."""

from pathlib import Path

import sympy

from flowcheck import catalogue
from flowcheck.cells.conventional import fully_recurrent

__all__ = ["CELLS", "FOLDER", "IRNN", "PROGRAMS", "SEEDS", "held_back"]

FOLDER = Path(__file__).parent / "nets"
IRNN = fully_recurrent(lambda z: sympy.Max(z, 0), "irnn", "Le, Jaitly & Hinton 2015", 2015)
CELLS = {name: IRNN if name == "irnn" else catalogue()[name] for name in ("tanh", "lstm1997", "lstm", "gru", "irnn", "lstm_peephole")}
OLD_TASKS, NEW_TASKS = ("recall", "copy", "adding", "order", "counting", "sine", "text"), ("flipflop", "echo", "maximum")
SEEDS = 8
"""Nets of each program."""


def held_back(architecture, task):
    """Whether thresholds may not be set on this program: its architecture or its task is new."""
    return architecture == "lstm_peephole" or task in NEW_TASKS


PROGRAMS = (*((a, t) for t in (*OLD_TASKS, *NEW_TASKS) for a in CELLS if a != "lstm_peephole"),
            *(("lstm_peephole", t) for t in OLD_TASKS))
"""(architecture, task) of all programs."""
