"""NumPy files without pickle, and flowcheck's own way to store a net in one.

`LAYER/PARAM` arrays and `LAYER/cell`, the cell's name; optional `LAYER/level`, `LAYER/reverse`, `LAYER/gate_order`,
and a read-out under `readout/name`, `readout/W`, `readout/b`.
"""

import io
import math
import os
import sys
from dataclasses import replace
from pathlib import Path

import numpy as np

from ..network import Layer, Readout
from .activations import cell_by_name
from .archive import DEFLATED_TOO, Archive
from .checks import check_layer, check_stack, number
from .errors import FormatError, shown

__all__ = ["own_network", "read_npy", "read_npz", "write_npz"]

WORDS = ("cell", "level", "reverse", "gate_order")


def read_npz(handle, where):
    """{name: array} of an open .npz file.

    Raises FormatError for object arrays, damage, and members that are no arrays.
    """
    archive = Archive(handle, where, DEFLATED_TOO)
    strangers = [n for n in archive.names if not n.endswith(".npy")]
    if strangers:
        raise FormatError(f"{where}: member {shown(strangers[0])} is no array, expected NAME.npy only; save it with "
                          "numpy.savez")
    names = [n.removesuffix(".npy") for n in archive.names]
    return {name: read_npy(archive.read(f"{name}.npy"), f"{where}: {shown(name)}") for name in names}


def read_npy(data, where):
    """The array in the bytes of an .npy file: numbers or text.

    Raises FormatError for objects, which are pickles, and for lengths that do not meet.
    """
    file = io.BytesIO(data)
    try:
        version = np.lib.format.read_magic(file)
        header = {(1, 0): np.lib.format.read_array_header_1_0, (2, 0): np.lib.format.read_array_header_2_0}[version]
        shape, fortran, dtype = header(file)
    except Exception as error:  # the header is parsed as Python text, which fails in as many ways as text can
        raise FormatError(f"{where}: the array's header is damaged ({shown(error)}); save it again with "
                          "numpy.save") from error
    if dtype.hasobject or dtype.kind not in "fiubU" or not dtype.itemsize:
        raise FormatError(f"{where}: refused: array of {dtype}, expected numbers; objects are pickles, and loading one "
                          "would run code")
    left, declared = len(data) - file.tell(), math.prod(shape) * dtype.itemsize
    if left != declared or min(shape, default=0) < 0:
        raise FormatError(f"{where}: shape {shown(shape)} of {dtype} takes {shown(declared)} bytes, got {left}; save "
                          "it again")
    if declared and dtype.kind == "U" and np.frombuffer(data, f"{dtype.byteorder}u4", offset=file.tell()).max() > sys.maxunicode:
        raise FormatError(f"{where}: text with characters that do not exist; save it again")
    array = np.frombuffer(data, dtype, offset=file.tell()) if declared else np.empty(0, dtype)
    try:
        return array.reshape(shape[::-1]).T if fortran else array.reshape(shape)
    except (ValueError, OverflowError) as error:  # of more axes, or longer ones, than an array can have
        raise FormatError(f"{where}: no array has the shape {shown(shape)}; save it again") from error


def own_network(arrays, cells, where, layer=None):
    """(layers, read-out or None) of a file in flowcheck's own names.

    Raises FormatError for an unknown cell, a layer without one, weights that are missing, unknown or do not meet.
    """
    parts = {}
    for name, array in arrays.items():
        owner, _, word = name.rpartition("/")
        parts.setdefault(owner, {})[word] = array
    readout = _readout(parts.pop("readout"), where) if "readout" in parts else None
    chosen = {n: p for n, p in parts.items() if layer is None or n == layer or n.startswith(f"{layer}.")}
    if not chosen:
        raise FormatError(f"{where}: expected {'layers' if layer is None else f'layer {shown(layer)!r}'}, got "
                          f"{', '.join(shown(n) for n in list(parts)[:8]) or 'none'}; write the net with "
                          "flowcheck.formats.write_npz")
    layers = [_own_layer(name, found, k, cells, where) for k, (name, found) in enumerate(chosen.items())]
    if len(chosen) < len(parts):
        first, readout = min(one.level for one in layers), None
        layers = [replace(one, level=one.level - first) for one in layers]
    return check_stack(layers, where), readout


def write_npz(network, path):
    """Write a net that `load` reads back, in one step: the old file or the whole new one is there, never a part.

    Raises FormatError for a path that does not end in .npz and for a layer named "readout".
    """
    path = Path(path)
    if path.suffix != ".npz":
        raise FormatError(f"{path}: a net is written to a file that ends in .npz; rename it")
    if any(layer.name == "readout" for layer in network.layers):
        raise FormatError(f"{path}: a layer is named readout, which is the read-out's name in the file; rename it")
    arrays = {}
    for layer in network.layers:
        words = {"cell": layer.cell.name, "level": layer.level, "reverse": layer.reverse}
        words |= {"gate_order": layer.gate_order} if layer.gate_order else {}
        arrays |= {f"{layer.name}/{key}": np.asarray(value) for key, value in {**words, **layer.params}.items()}
    if network.readout:
        arrays |= {f"readout/{key}": np.asarray(getattr(network.readout, key)) for key in ("name", "W", "b")}
    beside = path.with_name(f".{path.name}.{os.getpid()}.tmp")
    try:
        with open(beside, "xb") as file:
            np.savez(file, **arrays)
        os.replace(beside, path)
    finally:
        beside.unlink(missing_ok=True)


def _own_layer(name, found, k, cells, where):
    found = dict(found)
    if "cell" not in found:
        raise FormatError(f"{where}: layer {shown(name)!r} has {', '.join(shown(w) for w in list(found)[:4])} but no "
                          f"{shown(name)}/cell; name its cell there, one of {', '.join(cells)}")
    word, level, reverse, order = (
        _scalar(found, *what, name, where) for what in (("cell", "", "U"), ("level", k, "i"), ("reverse", False, "b"),
                                                        ("gate_order", "", "U")))
    cell = cell_by_name(word, cells, f"{where}: {shown(name)}/cell")
    params = {w: number(a, f"{name}/{w}", where) for w, a in found.items() if w not in WORDS}
    return check_layer(Layer(name, cell, params, level, reverse, order), where)


def _scalar(found, word, default, kind, name, where):
    array = found.get(word)
    if array is None:
        return default
    if array.shape != () or array.dtype.kind != kind or not str(array).isprintable():
        raise FormatError(f"{where}: {shown(name)}/{word} is an array of {array.dtype} and shape {shown(array.shape)}, "
                          f"expected one value of kind {kind}; write the net with flowcheck.formats.write_npz")
    return array.item()


def _readout(found, where):
    if found.keys() != {"name", "W", "b"}:
        raise FormatError(f"{where}: readout has {', '.join(shown(w) for w in list(found)[:4])}, expected name, W and "
                          "b")
    W, b = (number(found[w], f"readout/{w}", where) for w in ("W", "b"))
    if W.ndim != 2 or b.shape != W.shape[:1]:
        raise FormatError(f"{where}: readout/W has shape {W.shape} and readout/b {b.shape}, expected (rows, columns) "
                          "and (rows,)")
    return Readout(_scalar(found, "name", "", "U", "readout", where), W, b)
