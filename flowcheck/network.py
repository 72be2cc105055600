"""Trained weights: layers, stacks, directions, read-out.

A `Layer` is a cell with its weights; a `Network` is layers in order with where they came from. Runs them
forward; computes no derivative.
"""

from dataclasses import dataclass, replace

import numpy as np

from .equations import Cell
from .kernels import compile_cell

__all__ = ["Layer", "Network", "Readout", "fresh"]


@dataclass(frozen=True)
class Layer:
    """One cell with weights.

    params      {name of Cell.parameters: array}, weights [to, from]
    level       depth in the stack, 0 reads the inputs; layers of one level are the directions of one stack level
    reverse     runs from the last step to the first
    gate_order  the rows' order in the file and where that order is from, for people
    """

    name: str
    cell: Cell
    params: dict
    level: int = 0
    reverse: bool = False
    gate_order: str = ""

    @property
    def n_inputs(self):
        return self._length("inputs")

    @property
    def units(self):
        return self._length("units")

    def _length(self, size):
        for name, edge in self.cell.parameters.items():
            array = self.params[name]
            if self.cell.sizes[edge.net] == size:
                return array.shape[0]
            if edge.source != "1" and self.cell.sizes[edge.source] == size:
                return array.shape[-1]
        raise AssertionError(size)

    @property
    def dtype(self):
        return np.result_type(*self.params.values())

    def astype(self, dtype):
        """The same layer with weights of another dtype."""
        return replace(self, params={k: np.asarray(v, dtype) for k, v in self.params.items()})

    def run(self, x, state0=None):
        """Trajectory over x, shape (time, batch, inputs), in the time order of the layer's own direction."""
        return compile_cell(self.cell).forward(self.params, x[::-1] if self.reverse else x, state0)


@dataclass(frozen=True)
class Readout:
    """A linear map W y + b of the last level's output; W is [to, from]."""

    name: str
    W: np.ndarray
    b: np.ndarray

    def __call__(self, y):
        return y @ self.W.T + self.b


@dataclass(frozen=True)
class Network:
    """Layers in order, the read-out if the file has exactly one that fits, and the file they came from."""

    source: str
    layers: tuple
    sha256: str = ""
    readout: Readout | None = None
    notes: tuple = ()

    @property
    def levels(self):
        """Layers by depth; a level with two layers is bidirectional."""
        depth = max(layer.level for layer in self.layers)
        return [[layer for layer in self.layers if layer.level == k] for k in range(depth + 1)]

    def run(self, x):
        """{layer name: Trajectory} of the whole stack over x, shape (time, batch, inputs)."""
        trajectories = {}
        for level in self.levels:
            outputs = []
            for layer in level:
                trajectory = trajectories[layer.name] = layer.run(x)
                y = trajectory[layer.cell.output.name]
                outputs.append(y[::-1] if layer.reverse else y)
            x = np.concatenate(outputs, axis=-1)
        return trajectories
