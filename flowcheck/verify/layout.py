"""How someone's inputs, states and outputs lie in memory, turned to (time, batch, features) and back."""

from dataclasses import dataclass

import numpy as np

__all__ = ["Layout", "layouts"]


@dataclass(frozen=True)
class Layout:
    """order    "rows": (batch, features); "columns": (features, batch); "vector": (features,), each without the axis of time

    x       name of the input that the cell reads; whole numbers are rows of the identity of `width` columns
    output  name of the output that the cell's output is compared with
    """

    x: str
    output: str
    order: str
    width: int
    units: int

    def cell_x(self, array, axis):
        if not np.issubdtype(array.dtype, np.inexact):
            steps = np.moveaxis(array, axis, 0)
            return np.eye(self.width)[steps.reshape(steps.shape[0], -1)]
        return self.over_time(array, axis)

    def over_time(self, array, axis):
        """(time, batch, features) of an array over time."""
        moved = np.moveaxis(array, axis, 0)
        if moved.ndim < 3:
            return moved.reshape(moved.shape[0], 1, -1)
        return moved.swapaxes(1, 2) if self.order == "columns" else moved

    def back(self, array, axis, shape):
        """An array over time in the user's layout, from (time, batch, features)."""
        if len(shape) < 3:
            rest = tuple(s for i, s in enumerate(shape) if i != axis)
            return np.moveaxis(array.reshape(array.shape[0], *rest), 0, axis)
        return np.moveaxis(array.swapaxes(1, 2) if self.order == "columns" else array, 0, axis)

    def state(self, array):
        """(batch, features) of a state."""
        if array.ndim < 2:
            return array.reshape(1, -1)
        return array.T if self.order == "columns" else array

    def state_back(self, array, shape):
        return array.reshape(shape) if len(shape) < 2 else array.T if self.order == "columns" else array


def layouts(functions, arguments, y):
    """[Layout] that the shapes allow."""
    steps, found = arguments.steps, []
    timed = [n for n in arguments.groups["inputs"] if arguments.axis(n) is not None]
    for x in timed:
        array = arguments.groups["inputs"][x]
        inner = tuple(s for i, s in enumerate(array.shape) if i != arguments.axis(x))
        whole = not np.issubdtype(array.dtype, np.inexact)
        if len(inner) > 2 or (whole and len(inner) > 1) or array.dtype.kind == "b":  # flags are no whole numbers: a mask
            continue
        for name, v in y.items():
            axis = functions.output_axis(name, v)
            if axis is None or v.shape[axis] != steps or v.dtype.kind != "f":
                continue
            outer = tuple(s for i, s in enumerate(v.shape) if i != axis)
            if len(outer) not in (1, 2):
                continue
            for order in (["vector"] if len(outer) == 1 else ["rows", "columns"]):
                units = outer[0] if order in ("vector", "columns") else outer[1]
                widths = {s for a in arguments.groups["params"].values() for s in a.shape} if whole else \
                    {inner[0 if order == "columns" else -1] if len(inner) == 2 else (inner or (1,))[0]}
                found += [Layout(x, name, order, width, units) for width in sorted(widths)]
    return found
