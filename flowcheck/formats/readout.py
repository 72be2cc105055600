"""The read-out of a net: the one matrix outside the recurrent layers that fits their output."""

import numpy as np

from ..network import Readout
from .checks import number
from .errors import FormatError, shown
from .first_state import is_first_state
from .torch_names import in_recurrent, strip_wrappers

__all__ = ["find_readout"]


def find_readout(tensors, layers, where):
    """(Readout or None, notes): the 2-D weight with as many columns as the last level has units, if exactly one has."""
    width = sum(layer.n_outputs for layer in layers if layer.level == max(one.level for one in layers))
    fits = {n: W for n, W in tensors.items()
            if W.ndim == 2 and W.dtype.kind == "f" and W.shape[1] == width and len(W) and not in_recurrent(n)
            and not is_first_state(n, W, layers)}
    if len(fits) != 1:
        names = ", ".join(shown(n) for n in list(fits)[:4])
        return None, [f"{len(fits)} matrices fit as read-out ({names}), none taken"] if fits else []
    (name, W), = fits.items()
    stem, last = name.rpartition("weight")[::2]
    bias = tensors.get(f"{stem}bias{last}") if stem or name == "weight" else None
    if bias is not None and (bias.shape != W.shape[:1] or bias.dtype.kind != "f"):
        return None, [f"{shown(name)} fits as read-out, but its bias has shape {bias.shape}; not taken"]
    try:
        W, b = number(W, name, where), np.zeros(len(W)) if bias is None else number(bias, f"{stem}bias", where)
    except FormatError:
        return None, [f"{shown(name)} fits as read-out, but is not finite; not taken"]
    title = strip_wrappers(stem.rstrip(".") or name)
    note = f"{shown(title)} taken as read-out: the only matrix that fits the last level's output"
    return Readout(title, W, b.astype(W.dtype)), [note]
