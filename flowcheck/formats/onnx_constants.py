"""Constants of an ONNX graph: initialisers, and what operators that only move numbers make of them."""

import math
import os
from pathlib import Path

import numpy as np

from .errors import FormatError, shown
from .extras import needed

__all__ = ["Constants"]

DEEPEST = 200
FLOOR, TIMES = 64 * 2**20, 16  # bytes that folding may make, at least and per byte of the file


class Constants:
    """`array(name)` of the constants that a graph can see: its own and those of the graphs around it.

    Raises FormatError for values that are computed by other operators, for tensors that do not hold together, and for numbers in
    a file that is not a plain one in the model's folder.
    """

    def __init__(self, graph, producers, path, where, outer=None):
        self.initializers = {**(outer.initializers if outer else {}), **{t.name: t for t in getattr(graph, "initializer", ())}}
        self.producers, self.path, self.where, self.done, self.depth = producers, Path(path), where, {}, 0
        self.budget = outer.budget if outer else [max(FLOOR, TIMES * self.path.stat().st_size)]

    def is_constant(self, name):
        """Whether a name is an initialiser or made of some by folding."""
        for _ in range(DEEPEST):
            if name in self.initializers:
                return True
            node = self.producers.get(name)
            if node is None or node.op_type not in FOLDS:
                return False
            if not node.input:
                return True
            name = node.input[0]
        return False

    def array(self, name, label):
        """The array of a constant; `label` names it in messages."""
        if name not in self.done:
            self.depth += 1
            if self.depth > DEEPEST:
                raise FormatError(f"{self.where}: {label} is behind more than {DEEPEST} operators; simplify the model first")
            try:
                self.done[name] = self._array(name, label)
            finally:
                self.depth -= 1
        return self.done[name]

    def origin(self, name):
        """In words, where numbers come from that operators move and repeat; "" where all of them are zero."""
        left = [name]
        for _ in range(DEEPEST):
            if not left:
                return ""
            name = left.pop()
            node, array = self.producers.get(name), self._known(name)
            if array is not None and array.any():
                return "a constant other than zero"
            if array is None and node is None:
                return "an input of the graph"
            if array is None and node.op_type not in MOVES:
                break
            if array is None:
                left += node.input if node.op_type == "Concat" else node.input[:1]
        return "computed in the graph"

    def _known(self, name):
        """The array of a constant, or what a shape is filled with; None for anything else."""
        node = self.producers.get(name)
        try:
            if node is not None and node.op_type == "ConstantOfShape":
                return self._constant({a.name: a for a in node.attribute}, name) if node.attribute else np.zeros(1)
            return self.array(name, name) if self.is_constant(name) else None
        except FormatError:
            return None

    def _array(self, name, label):
        if name in self.initializers:
            return self._tensor(self.initializers[name], label)
        node = self.producers.get(name)
        if node is None or node.op_type not in FOLDS or node.domain not in ("", "ai.onnx"):
            made = "an input of the graph" if node is None else f"made by {shown(node.op_type, 40)}"
            raise FormatError(f"{self.where}: {label} is {made}, expected constant weights; export the model with constant folding")
        inputs = [self.array(i, label) if i else None for i in node.input]
        attributes = {a.name: a for a in node.attribute}
        if node.op_type == "Constant":
            return self._constant(attributes, label)
        grows = sum(a.nbytes for a in inputs if a is not None) * (4 if node.op_type == "Cast" else 1)
        self.budget[0] -= grows
        if self.budget[0] < 0:
            raise FormatError(f"{self.where}: refused: {label} is folded from more than a file of this length can hold; simplify the "
                              "model first")
        try:
            made = FOLDS[node.op_type](inputs, attributes, list(node.output).index(name))
        except (ValueError, IndexError, TypeError, KeyError, OverflowError) as error:
            raise FormatError(f"{self.where}: {label}: {node.op_type} does not fit its inputs ({shown(error)}); export the model "
                              "again") from error
        return np.asarray(made)

    def _constant(self, attributes, label):
        if "value" in attributes:
            return self._tensor(attributes["value"].t, label)
        for kind, dtype in (("f", "f4"), ("i", "i8"), ("floats", "f4"), ("ints", "i8")):
            key = {"f": "value_float", "i": "value_int"}.get(kind, f"value_{kind}")
            if key in attributes:
                return np.array(getattr(attributes[key], kind), dtype)
        raise FormatError(f"{self.where}: {label} is a constant of no numbers; export the model again")

    def _tensor(self, tensor, label):
        helper = needed("onnx.numpy_helper", self.where)
        try:
            shape = tuple(tensor.dims)
            if min(shape, default=0) < 0 or math.prod(shape) > 2**40:
                raise ValueError(f"shape {shown(shape)}")
            if tensor.data_location == 1:  # EXTERNAL
                raw = self._external(tensor, label)
                tensor = type(tensor)(dims=shape, data_type=tensor.data_type, raw_data=raw)
            array = helper.to_array(tensor)
        except FormatError:
            raise
        except Exception as error:  # numpy_helper raises TypeError, ValueError, KeyError and its own for damage
            raise FormatError(f"{self.where}: {label}: tensor {shown(tensor.name)} does not hold together ({shown(error)}); export "
                              "the model again") from error
        if array.dtype.kind not in "fiub":
            array = array.astype(np.float32)  # bfloat16 and the like, which numpy has by extension only
        return array

    def _external(self, tensor, label):
        """The bytes that a tensor keeps in a file beside the model, by name only: no other folder, no link, nothing but a plain file."""
        entries = {e.key: e.value for e in tensor.external_data}
        name = entries.get("location", "")
        path = self.path.parent / name
        if not name or name in (".", "..") or Path(name).name != name or "\0" in name or path.is_symlink() or not path.is_file():
            raise FormatError(f"{self.where}: refused: {label} lies in {shown(name)!r}, expected a file in the model's own folder; "
                              "save the model with its weights in one file")
        size, offset = path.stat().st_size, int(entries.get("offset", 0))
        length = int(entries.get("length", 0)) or size - offset
        if offset < 0 or length < 0 or offset + length > size:
            raise FormatError(f"{self.where}: {label} is bytes {shown(offset)} to {shown(offset + length)} of {shown(name)}, which "
                              f"has {size}; fetch that file again")
        with open(os.open(path, os.O_RDONLY | getattr(os, "O_NOFOLLOW", 0)), "rb") as file:
            file.seek(offset)
            return file.read(length)


def _axes(inputs, attributes, k=1):
    """Axes from the attribute of old operators or the input of new ones."""
    if "axes" in attributes:
        return [int(i) for i in attributes["axes"].ints]
    return [int(i) for i in inputs[k].ravel()] if len(inputs) > k and inputs[k] is not None else None


def _slice(inputs, attributes, _):
    if "starts" in attributes:
        starts, ends, steps = list(attributes["starts"].ints), list(attributes["ends"].ints), None
        axes = _axes(inputs, attributes)
    else:
        starts, ends = inputs[1].ravel().tolist(), inputs[2].ravel().tolist()
        axes, steps = _axes(inputs, attributes, 3), _axes(inputs, {}, 4)
    cut = [slice(None)] * inputs[0].ndim
    for k, axis in enumerate(axes if axes is not None else range(len(starts))):
        step = steps[k] if steps else 1
        stop = None if step < 0 and ends[k] < -inputs[0].shape[axis] else ends[k]
        cut[axis] = slice(starts[k], stop, step)
    return inputs[0][tuple(cut)]


def _squeeze(inputs, attributes, _):
    axes = _axes(inputs, attributes)
    return np.squeeze(inputs[0], None if axes is None else tuple(axes))


def _reshape(inputs, attributes, _):
    wanted = list(attributes["shape"].ints) if "shape" in attributes else inputs[1].ravel().tolist()
    keep = not ("allowzero" in attributes and attributes["allowzero"].i)
    return inputs[0].reshape([inputs[0].shape[k] if n == 0 and keep else n for k, n in enumerate(wanted)])


def _split(inputs, attributes, k):
    axis = attributes["axis"].i if "axis" in attributes else 0
    sizes = list(attributes["split"].ints) if "split" in attributes else inputs[1].ravel().tolist() if len(inputs) > 1 else None
    if sizes is None:
        raise ValueError("split into parts of unstated size")
    return np.split(inputs[0], np.cumsum(sizes)[:-1], axis)[k]


def _cast(inputs, attributes, _):
    return inputs[0].astype({1: "f4", 6: "i4", 7: "i8", 10: "f2", 11: "f8"}[attributes["to"].i])


def _transpose(inputs, attributes, _):
    return inputs[0].transpose(list(attributes["perm"].ints) if "perm" in attributes else None)


FOLDS = {
    "Constant": None,
    "Identity": lambda inputs, attributes, k: inputs[0],
    "Cast": _cast,
    "Concat": lambda inputs, attributes, k: np.concatenate(inputs, attributes["axis"].i),
    "Reshape": _reshape,
    "Slice": _slice,
    "Split": _split,
    "Squeeze": _squeeze,
    "Transpose": _transpose,
    "Unsqueeze": lambda inputs, attributes, k: np.expand_dims(inputs[0], tuple(_axes(inputs, attributes))),
}

MOVES = FOLDS.keys() - {"Constant"} | {"Expand", "Gather", "Tile"}
"""Operators that give numbers of their first input (Concat: of all), and no others."""
