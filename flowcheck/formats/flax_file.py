"""Flax parameters in msgpack (`flax.serialization.to_bytes`): the dict of arrays, without Flax, JAX or any object."""

import math

import numpy as np

from .checks import number
from .errors import FormatError, shown
from .extras import needed
from .stored import Contents, Stored
from .torch_names import natural

__all__ = ["read_flax"]

ARRAY, SCALAR = 1, 3  # msgpack's extension codes as Flax uses them
LINEN = {  # the names of a cell's Dense layers, input side and hidden side, in torch's order of gates
    "LSTM": (("ii", "if", "ig", "io"), ("hi", "hf", "hg", "ho")),
    "GRU": (("ir", "iz", "in"), ("hr", "hz", "hn")),
    "RNN": (("i",), ("h",)),
}
FUSED = {4: "LSTM", 3: "GRU", 1: "RNN"}  # of nnx: dense_i and dense_h, by blocks of rows
MOST = 100_000


def read_flax(handle, where):
    """Contents of an open Flax msgpack file: linen and nnx cells by the names of their gates.

    Raises FormatError for a file that is no msgpack of arrays, and one without recurrent cells.
    """
    tree, found, count = _unpacked(handle, where), Contents(layers=[]), 0
    level = [((), tree)]
    while level:
        deeper = []
        for path, one in level:
            count += 1
            if count > MOST or len(path) > 32:
                raise FormatError(f"{where}: refused: more than {MOST} dicts, or nested more than 32 deep; save the parameters alone")
            if path and path[-1] in ("opt_state", "optimizer"):
                continue
            cell = _cell(path, one, where)
            if cell:
                found.layers.append(cell)
            elif isinstance(one.get("kernel"), np.ndarray) and one["kernel"].ndim == 2:
                name = "/".join(path)
                found.tensors[f"{name}.weight"] = one["kernel"].T
                if isinstance(one.get("bias"), np.ndarray):
                    found.tensors[f"{name}.bias"] = one["bias"]
            else:
                deeper += [((*path, str(k)), v) for k, v in one.items() if isinstance(v, dict)]
        level = deeper
    if not found.layers:
        raise FormatError(f"{where}: expected recurrent cells (dicts of ii, if, ig, io, hi, ... or of dense_i and dense_h), got "
                          f"{', '.join(shown(k, 40) for k in list(tree)[:6])}; save the parameters of the model that has them")
    found.layers.sort(key=lambda one: (natural(one.stack), one.reverse))
    found.notes.append("sigmoid gates and tanh assumed, Flax's defaults; its files record none")
    return found


def _cell(path, entries, where):
    """Stored of a dict of a cell's layers, None for any other dict."""
    layers = {str(k).rstrip("_"): _plain(v) for k, v in entries.items() if isinstance(v, dict)}
    shown_path = "/".join(path)
    name = "/".join(p for p in path if p not in ("params", "cell")) or "cell"
    rows = kind = None
    for kind, (inside, hidden) in LINEN.items():
        if set(layers) == {*inside, *hidden}:
            rows = {"weight_ih": _stacked(layers, inside, "kernel", shown_path, where),
                    "weight_hh": _stacked(layers, hidden, "kernel", shown_path, where)}
            rows |= {role: _stacked(layers, side, "bias", shown_path, where) for role, side in (("bias_ih", inside), ("bias_hh", hidden))
                     if any("bias" in layers[gate] for gate in side)}
            source = "named in the file"
            break
    else:
        if set(layers) != {"dense_i", "dense_h"}:
            return None
        rows = {role: number(layers[side][part], f"{shown_path}/{side}/{part}", where).T for role, side, part in (
            ("weight_ih", "dense_i", "kernel"), ("weight_hh", "dense_h", "kernel"), ("bias_ih", "dense_i", "bias"),
            ("bias_hh", "dense_h", "bias")) if isinstance(layers[side].get(part), np.ndarray)}
        shape = rows["weight_hh"].shape if "weight_hh" in rows else ()
        blocks = shape[0] // shape[1] if len(shape) == 2 and shape[1] else 0
        if blocks not in FUSED:
            raise FormatError(f"{where}: {shown(shown_path)}/dense_h has {blocks} blocks of rows, expected 4 for LSTM, 3 for GRU, "
                              "1 for RNN; fetch the file again")
        kind, source = FUSED[blocks], "flax convention"
    backward = "backward" in name
    return Stored(name, "torch", kind, rows, name.replace("backward", "forward"), 0, backward, source=source)


def _plain(layer):
    """{kernel, bias} without the {"value": ...} that nnx may put around each."""
    return {str(k): v["value"] if isinstance(v, dict) and set(v) == {"value"} else v for k, v in layer.items()}


def _stacked(layers, gates, part, path, where):
    """Rows [to, from] of all gates; a bias that a gate does not have is zero."""
    arrays = {g: number(layers[g][part], f"{path}/{g}/{part}", where) for g in gates if isinstance(layers[g].get(part), np.ndarray)}
    if part == "kernel":
        shapes = {a.shape for a in arrays.values()}
        if len(arrays) < len(gates) or len(shapes) > 1 or len(next(iter(shapes))) != 2:
            raise FormatError(f"{where}: {shown(path)} has kernels of {len(arrays)} of its {len(gates)} gates in shapes "
                              f"{shown(sorted(shapes))}, expected one shape (inputs, units); fetch the file again")
        return np.concatenate([arrays[g].T for g in gates])
    first = next(iter(arrays.values()))
    return np.concatenate([arrays.get(g, np.zeros_like(first)).ravel() for g in gates])


def _unpacked(handle, where):
    """The dict in the file, arrays in place of Flax's extension types."""
    msgpack, data = needed("msgpack", where), handle.read()

    def extension(code, payload):
        if code not in (ARRAY, SCALAR):
            return None
        shape, dtype, numbers = msgpack.unpackb(payload, raw=True, max_array_len=64, max_map_len=0, max_ext_len=0)
        dtype = dtype.decode()
        if dtype == "bfloat16":
            return (np.frombuffer(numbers, "<u2").astype("u4") << 16).view("f4").reshape(shape)
        if np.dtype(dtype).kind not in "fiub":
            raise ValueError(f"an array of {dtype}")
        return np.frombuffer(numbers, np.dtype(dtype).newbyteorder("<")).reshape(shape)

    left = [MOST]

    def counted(made):
        left[0] -= 1
        if left[0] < 0:
            raise ValueError(f"more than {MOST} dicts and lists")
        return made

    try:
        tree = msgpack.unpackb(data, ext_hook=extension, raw=False, strict_map_key=False, max_array_len=1024, max_map_len=MOST,
                               object_hook=counted, list_hook=counted)
        if not isinstance(tree, dict):
            raise ValueError(f"a {type(tree).__name__} instead of a dict")
        return _joined(tree, 0)
    except FormatError:
        raise
    except MemoryError:
        raise
    except Exception as error:  # msgpack's own types, and what a damaged array makes numpy raise
        reason = shown(error, 120) or type(error).__name__
        raise FormatError(f"{where}: not a whole msgpack of arrays ({reason}); fetch it again") from error


def _joined(tree, depth):
    """The dict with arrays that Flax cut into chunks put together again."""
    if depth > 64:
        raise ValueError("dicts nested more than 64 deep")
    if "__msgpack_chunked_array__" in tree:
        shape, chunks = tree["shape"], tree["chunks"]
        shape = [shape[k] for k in sorted(shape, key=int)] if isinstance(shape, dict) else shape
        chunks = [chunks[k] for k in sorted(chunks, key=int)] if isinstance(chunks, dict) else chunks
        if sum(c.size for c in chunks) != math.prod(shape):
            raise ValueError("chunks that do not make up their array")
        return np.concatenate([c.ravel() for c in chunks]).reshape(shape)
    return {k: _joined(v, depth + 1) if isinstance(v, dict) else v for k, v in tree.items()}
