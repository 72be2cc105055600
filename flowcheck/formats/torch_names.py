"""How torch names the tensors of recurrent layers: nn.RNN, nn.LSTM, nn.GRU and their one-step Cells."""

import re
from dataclasses import dataclass

from .errors import FormatError, shown

__all__ = ["RecurrentName", "in_recurrent", "is_recurrent", "natural", "parse", "strip_wrappers"]

NAME = re.compile(
    r"(?:(?P<prefix>.*)\.)?(?P<role>(?:weight|bias)_(?:ih|hh|hr))"
    r"(?:_l(?P<level>[0-9]{1,4})(?P<reverse>_reverse)?)?", re.S)
# weight drop, weight norm, pruning, torch.nn.utils.parametrize
DERIVED = re.compile(
    r"(?:^|\.)(weight_(?:ih|hh)(?:_l[0-9]+(?:_reverse)?)?)(?:_raw|_g|_v|_orig|_mask|\.original[0-9]?)$")

INSIDE = re.compile(r"(?:^|\.)(?:weight|bias)_(?:ih|hh|hr)(?:$|[._])")


@dataclass(frozen=True)
class RecurrentName:
    """The parts of `PREFIX.weight_ih_l0_reverse`; level None for the one-step Cells, which have no number."""

    prefix: str
    role: str
    level: int | None
    reverse: bool


def is_recurrent(name):
    return NAME.fullmatch(name) is not None


def in_recurrent(name):
    """Whether a tensor is a recurrent layer's weight, or one of those that such a weight is computed from."""
    return INSIDE.search(name) is not None


def parse(name, where):
    """The RecurrentName of a tensor, None for one of another layer.

    Raises FormatError for weights that are computed from others at run time (weight norm, weight drop).
    """
    found = NAME.fullmatch(name)
    if found:
        level = found["level"]
        number = None if level is None else int(level)
        return RecurrentName(found["prefix"] or "", found["role"], number, bool(found["reverse"]))
    derived = DERIVED.search(name)
    if derived:
        raise FormatError(f"{where}: {shown(name)}: {derived[1]} is computed from it at run time, expected the weight "
                          "itself; remove the parametrisation, weight norm, pruning or weight drop and save again")
    return None


def strip_wrappers(name):
    """The name without what DataParallel (`module.`, leading) and torch.compile (`_orig_mod.`) put in it."""
    parts = [p for p in name.split(".") if p != "_orig_mod"]
    while len(parts) > 1 and parts[0] == "module":
        parts = parts[1:]
    return ".".join(parts)


def natural(name):
    """Sort key that puts cells.2 before cells.10."""
    return [(0, int(p), "") if p.isdigit() and len(p) < 10 else (1, 0, p) for p in re.split(r"([0-9]+)", name)]
