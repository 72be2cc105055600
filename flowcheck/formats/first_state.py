"""First states that were learned and lie beside the recurrent weights (`h0`, `c0`). Sequences start from zero, so it is said."""

import re

from .errors import shown

__all__ = ["is_first_state", "state_notes"]

WHICH, FIRST = r"(?:h|c|s|hx|cx|hidden|cell|state)(?:_?state)?", r"(?:0|init|initial|start)"
NAME = re.compile(rf"(?:.*\.)?(?:{WHICH}_?{FIRST}|{FIRST}_?{WHICH})(?:\.[0-9]+)?", re.S)


def is_first_state(name, array, layers):
    """Whether an array has the name of a first state and room for one of these layers, or for several, and for no more sequences."""
    if not NAME.fullmatch(name) or array.dtype.kind != "f" or not array.size:
        return False
    width = array.shape[-1] if array.ndim else 1
    return width in {n for layer in layers for n in (layer.units, layer.n_outputs)} and array.size <= width * len(layers)


def state_notes(tensors, layers):
    """What is said of first states other than zero."""
    return [f"{shown(name)}: a first state that was learned, taken as zero"
            for name, array in tensors.items() if is_first_state(name, array, layers) and array.any()]
