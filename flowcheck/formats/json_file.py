"""JSON nets: RTNeural (layers with Keras's weights), GuitarML (a torch state_dict and `model_data`), state_dicts as nested lists."""

import json

import numpy as np

from .checks import number
from .errors import FormatError, shown
from .nested import find_state_dict
from .stored import Contents, Stored

__all__ = ["read_json"]

LONGEST = 16 * 2**20  # bytes; Python's lists take some 25 times as many
UNITS = {"LSTM": 4, "GRU": 3, "RNN": 1}


def read_json(handle, where):
    """Contents of an open JSON file. Raises FormatError for text that is no such net, and for lists that are no arrays."""
    data = handle.read(LONGEST + 1)
    if len(data) > LONGEST:
        raise FormatError(f"{where}: refused: more than {LONGEST} bytes of JSON; convert it with flowcheck.formats.write_npz or to "
                          "safetensors")
    try:
        root = json.loads(data, parse_constant=float)
    except (ValueError, RecursionError) as error:
        raise FormatError(f"{where}: not whole JSON ({shown(error)}); fetch it again") from error
    if not isinstance(root, dict):
        raise FormatError(f"{where}: expected a dict, got {type(root).__name__}; save the net as RTNeural or GuitarML does")
    if isinstance(root.get("layers"), list):
        return _rtneural(root["layers"], where)
    path, entries = find_state_dict(root, lambda v: isinstance(v, list), where)
    tensors = {name: _array(value, name, where) for name, value in entries.items() if isinstance(value, list)}
    found = Contents(tensors=tensors, notes=[f"state_dict taken from {path}"] if path else [])
    if isinstance(root.get("model_data"), dict):
        _check_model_data(root["model_data"], tensors, found.notes, where)
    return found


def _check_model_data(said, tensors, notes, where):
    """What GuitarML says of the net must be what its arrays are."""
    kind, hidden = said.get("unit_type"), said.get("hidden_size")
    notes.append(f"GuitarML net: {shown(kind, 20)} of {shown(hidden, 20)} units, skip {shown(said.get('skip'), 20)}")
    for name, array in tensors.items():
        if ".weight_hh" in name and array.ndim == 2 and kind in UNITS and array.shape[0] != UNITS[kind] * array.shape[1]:
            raise FormatError(f"{where}: model_data says {kind}, but {shown(name)} has shape {array.shape}, expected "
                              f"{UNITS[kind]} x {array.shape[1]} rows; the two are of different nets")


def _rtneural(entries, where):
    """Contents of RTNeural's list of layers: [kernel, recurrent kernel, bias] in Keras's order; a GRU resets after the product."""
    found, below = Contents(layers=[], apart=True, notes=["RTNeural net: sigmoid gates and tanh, the only ones it has"]), None
    for k, entry in enumerate(entries):
        kind = entry.get("type") if isinstance(entry, dict) else None
        if kind not in ("lstm", "gru"):
            below = None
            if kind in ("dense", "time-distributed-dense"):
                found.tensors |= _dense(entry, k, where)
            continue
        name = f"{kind}_{k}"
        arrays = _weights(entry, name, where)
        gates = {"lstm": 4, "gru": 3}[kind]
        if len(arrays) != 3 or arrays[0].ndim != 2 or arrays[1].ndim != 2 or arrays[2].size not in (
                arrays[0].shape[1], 2 * arrays[0].shape[1]) or arrays[1].shape != (arrays[1].shape[0], gates * arrays[1].shape[0]):
            raise FormatError(f"{where}: {name} has arrays of shapes {shown([a.shape for a in arrays])}, expected kernel, recurrent kernel "
                              f"and bias of {gates} gates; export it again")
        rows = {"weight_ih": arrays[0].T, "weight_hh": arrays[1].T}
        both = arrays[2].reshape(-1, arrays[0].shape[1])
        rows |= dict(zip(("bias_ih", "bias_hh"), both, strict=False))
        stack, level = (name, 0) if below is None else (below.stack, below.level + 1)
        question = "" if kind == "lstm" or len(both) == 2 else (
            f"its bias has one row, so its reset gate comes before the product, which RTNeural does not compute; say --layer "
            f"{name}=gru_reset_before:zrh if that is meant, or --layer {name}=gru:zrh")
        below = Stored(name, "keras", {"lstm": "LSTM", "gru": "GRU"}[kind], rows, stack, level, source="RTNeural, as Keras",
                       question=question)
        found.layers.append(below)
    if not found.layers:
        types = [shown(e.get("type"), 30) for e in entries[:8] if isinstance(e, dict)]
        raise FormatError(f"{where}: expected a layer of type lstm or gru, got {', '.join(types) or 'none'}; export the net that has one")
    return found


def _dense(entry, k, where):
    arrays = _weights(entry, f"dense_{k}", where)
    if not arrays or arrays[0].ndim != 2:
        return {}
    return {f"dense_{k}.weight": arrays[0].T} | ({f"dense_{k}.bias": arrays[1]} if len(arrays) > 1 else {})


def _weights(entry, name, where):
    weights = entry.get("weights")
    return [number(_array(w, name, where), name, where) for w in weights] if isinstance(weights, list) else []


def _array(value, name, where):
    """The array of nested lists of numbers. Raises FormatError for anything else, ragged ones among it."""
    level, kinds = [value], set()
    while level:
        kinds |= {type(v) for v in level if not isinstance(v, list)}
        level = [inner for v in level if isinstance(v, list) for inner in v]
    if kinds - {int, float}:
        raise FormatError(f"{where}: {shown(name)} holds {', '.join(sorted(k.__name__ for k in kinds))}, expected nested lists of numbers; "
                          "export it again")
    try:
        return np.array(value, float)
    except (ValueError, OverflowError, RecursionError) as error:
        raise FormatError(f"{where}: {shown(name)} is no array ({shown(error, 120)}), expected nested lists of numbers; export it "
                          "again") from error
