"""Input files for a net: `.npy` for its first layer, `.npz` with `LAYER.x` and, where known, the states `LAYER.h`."""

from dataclasses import dataclass
from pathlib import Path

import numpy as np

from .checks import check_finite
from .errors import FormatError, shown
from .npz_file import read_npy, read_npz
from .sniff import opened

__all__ = ["InputSet", "read_inputs", "read_targets"]


@dataclass(frozen=True)
class InputSet:
    """Inputs of one layer, time first: x (time, batch, features), h (time, batch, units) or None, both float64.

    label is the set's name in the file, layer the layer's name in the network.
    """

    label: str
    layer: str
    x: np.ndarray
    h: np.ndarray | None = None


def read_inputs(path, network):
    """The InputSets in a file, batch-first there, in the order of the file.

    A set belongs to the layer of its name, or to the longest layer name that it begins with, followed by "_"
    ("lstm_realforcing" is another set for "lstm"). Where no name fits any layer, sets go to layers in order if their
    counts agree, and a single one to the first layer, as an `.npy`.

    Raises FormatError for a wrong width or number of axes, NaN, object arrays, h without x, and sets without a layer.
    """
    path = Path(path)
    where = path.name
    with opened(path, "a file of inputs, .npy or .npz") as handle:
        if path.suffix.lower() == ".npy":
            sets = {path.stem: {"x": read_npy(handle.read(), where)}}
            owners = {path.stem: network.layers[0]}
        elif path.suffix.lower() == ".npz":
            sets = _sets(read_npz(handle, where), {layer.name for layer in network.layers}, where)
            owners = _owners(sets, network.layers, where)
        else:
            raise FormatError(f"{where}: inputs come as .npy or .npz, got {path.suffix or 'no extension'}; save them "
                              "with numpy.savez")
    return [_input_set(label, owners[label], arrays, where, network.layers) for label, arrays in sets.items()]


def read_targets(path, sets):
    """{label: (time, batch, outputs)} in float64 from a file of targets (batch, time, outputs); NaN stands for no target.

    Class labels (batch, time) are (time, batch).
    `.npy` is for the first InputSet, `.npz` has one array per set, under its label. Raises FormatError for another number of sequences or
    steps than the inputs have, for labels that no set has, and for infinity.
    """
    path = Path(path)
    where, by_label = path.name, {s.label: s for s in sets}
    with opened(path, "a file of targets, .npy or .npz") as handle:
        if path.suffix.lower() == ".npz":
            arrays = read_npz(handle, where)
        elif path.suffix.lower() == ".npy":
            arrays = {next(iter(by_label)): read_npy(handle.read(), where)}
        else:
            raise FormatError(f"{where}: targets come as .npy or .npz, got {path.suffix or 'no extension'}; save them with numpy.savez")
    found = {}
    for label, array in arrays.items():
        if label not in by_label:
            raise FormatError(f"{where}: no inputs are named {shown(label)}, expected {', '.join(shown(k) for k in list(by_label)[:8])}; "
                              "name the targets as their inputs")
        steps, batch = by_label[label].x.shape[:2]
        if array.ndim not in (2, 3) or array.shape[:2] != (batch, steps) or array.dtype.kind not in "fiub":
            raise FormatError(f"{where}: {shown(label)} is an array of {array.dtype} of shape {array.shape}, expected numbers "
                              f"(batch {batch}, time {steps}, outputs), or class labels (batch, time) for cross-entropy; put NaN at steps "
                              "without a target")
        found[label] = np.ascontiguousarray(array.swapaxes(0, 1), np.float64)
        if np.isinf(found[label]).any():
            raise FormatError(f"{where}: {shown(label)} has infinite targets, expected numbers, or NaN where there is no target")
    return found


def _sets(arrays, names, where):
    """{label: {"x": array, "h": array}}; an array under a bare name is an x."""
    sets = {}
    for name, array in arrays.items():
        label, _, role = name.rpartition(".")
        if role not in ("x", "h") or name in names or not label:
            label, role = name, "x"
        if role in sets.setdefault(label, {}):
            raise FormatError(f"{where}: {shown(label)} has inputs under {shown(label)} and {shown(label)}.x; keep one")
        sets[label][role] = array
    lonely = [label for label, roles in sets.items() if "x" not in roles]
    if lonely or not sets:
        got = f"{shown(lonely[0])}.h alone" if lonely else "none"
        raise FormatError(f"{where}: expected inputs LAYER.x (batch, time, features), got {got}; save both of them")
    return sets


def _owners(sets, layers, where):
    """{label: Layer}."""
    by_name = {layer.name: layer for layer in layers}
    owners = {}
    for label in sets:
        fits = [name for name in by_name if label == name or label.startswith(f"{name}_")]
        if fits:
            owners[label] = by_name[max(fits, key=len)]
    if len(owners) == len(sets):
        return owners
    strangers = [label for label in sets if label not in owners]
    roots = {}  # set -> the set that its name begins with
    for label in sets:
        roots[label] = next((root for root in sets if label.startswith(f"{root}_") and root in roots), label)
    if not owners and len(sets) == len(layers):
        return dict(zip(sets, layers, strict=True))
    first = list(dict.fromkeys(roots.values()))
    if not owners and len(first) in (1, len(layers)):
        return {label: layers[first.index(root)] for label, root in roots.items()}
    raise FormatError(f"{where}: no layer is named {', '.join(shown(s) for s in strangers[:4])}, expected "
                      f"{', '.join(shown(name) for name in list(by_name)[:8])}; name the arrays LAYER.x")


def _input_set(label, layer, arrays, where, layers):
    x = _time_first(arrays["x"], layer.n_inputs, f"{where}: {shown(label)}.x", "features", layer, {one.n_inputs for one in layers})
    h = arrays.get("h")
    if h is not None:
        h = _time_first(h, layer.n_outputs, f"{where}: {shown(label)}.h", "units", layer, {one.n_outputs for one in layers})
        if h.shape[:2] != x.shape[:2]:
            raise FormatError(f"{where}: {shown(label)}.h has {h.shape[1]} x {h.shape[0]} sequences and steps, "
                              f"expected {x.shape[1]} x {x.shape[0]} as in {shown(label)}.x; save the states of these "
                              "inputs")
    return InputSet(label, layer.name, x, h)


def _time_first(array, width, name, axis, layer, widths):
    if array.ndim != 3 or array.shape[-1] != width or not array.size:
        raise FormatError(f"{name} has shape {array.shape}, expected (batch, time, {width} {axis}) for layer "
                          f"{shown(layer.name)}; {_advice(array, width, axis, widths)}")
    if array.dtype.kind not in "fiub":
        raise FormatError(f"{name} is of type {array.dtype}, expected numbers; save it as float32")
    array = np.ascontiguousarray(array.transpose(1, 0, 2), np.float64)
    check_finite(array, name)
    return array


def _advice(array, width, axis, widths):
    """What to do about an array that is not (batch, time, width), where the layers of the net have these widths."""
    if not array.size:
        return "it is empty: save sequences of two steps or more"
    if array.ndim == 3 and array.shape[-1] in widths:
        return "these are another layer's: name the array LAYER.x in an .npz"
    if array.ndim == 2 and array.shape[-1] == width:
        return "add the batch axis with x[None]"
    if array.ndim == 2 and width == 1:
        return f"add the {axis} axis with x[..., None]"
    if array.ndim == 2 and array.dtype.kind in "iu":
        return "if these are tokens, save what the embedding makes of them, or call flowcheck.diagnose(module, tokens) in Python"
    return f"save all {width} {axis} of every step"
