"""Trained weights: layers, stacks, directions, read-out.

A `Layer` is a cell with its weights; a `Network` is layers in order with where they came from. Runs them
forward; computes no derivative.
"""

from dataclasses import dataclass, replace

import numpy as np

from .equations import Cell
from .kernels import compile_cell

__all__ = ["Layer", "Network", "Readout", "fresh"]


@dataclass(frozen=True, repr=False)
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

    def __repr__(self):
        return f"<Layer {self.name}: {self.cell.name}, {self.n_inputs} -> {self.units}>"

    @property
    def n_inputs(self):
        return self._length("inputs")

    @property
    def units(self):
        return self._length("units")

    @property
    def n_outputs(self):
        """Length of what other layers see; not always the units (projected LSTM)."""
        return compile_cell(self.cell).lengths(self.params)[self.cell.sizes[self.cell.output.name]]

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

    def untrained(self, seed):
        """A layer of the same cell and shape with fresh weights, in float64."""
        kernel = compile_cell(self.cell)
        lengths = kernel.lengths(self.params)
        block_size = lengths["units"] // lengths["blocks"]
        params = kernel.random_params(self.units, self.n_inputs, np.random.default_rng(seed), block_size)
        return replace(self, params=params)

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


@dataclass(frozen=True, repr=False)
class Network:
    """Layers in order, the read-out if the file has exactly one that fits, and the file they came from."""

    source: str
    layers: tuple
    sha256: str = ""
    readout: Readout | None = None
    notes: tuple = ()

    def __repr__(self):
        return f"<Network {self.source}: {', '.join(layer.name for layer in self.layers)}>"

    @property
    def levels(self):
        """Layers by depth; a level with two layers is bidirectional."""
        depth = max(layer.level for layer in self.layers)
        return [[layer for layer in self.layers if layer.level == k] for k in range(depth + 1)]

    def run(self, x):
        """{layer name: Trajectory} of the whole stack over x, shape (time, batch, inputs), in float64."""
        layers = self.run_layers({layer.name: {"x": x} for layer in self.levels[0]})
        return {layer.name: runs["x"] for layer, runs in layers}

    def run_layers(self, sets, run=None, starts=None):
        """[(layer in float64, {label: Trajectory})] over sets of inputs {layer name: {label: x}}, x (time, batch, inputs).

        `run(layer, x)` runs a layer in another way (on another device) than `Layer.run`; `starts` {layer name: {label: state0}} has the
        initial states that are not zero.
        A layer without sets of its own gets those of the other direction, else what the level below gives. Raises ValueError when there
        is none.
        """
        return [*self.each_layer(sets, run, starts)]

    def each_layer(self, sets, run=None, starts=None):
        """`run_layers` one layer at a time: what came before is given up, but for what the next level reads."""
        below = {}
        for level in self.levels:
            outputs = {}
            for layer in level:
                layer = layer.astype(np.float64)
                ours = sets.get(layer.name) or next((sets[other.name] for other in level if other.name in sets), below)
                if not ours:
                    raise ValueError(f"layer {layer.name} has no inputs: give {layer.name}.x, or inputs for the first layer")
                states = (starts or {}).get(layer.name, {})
                runs = {label: layer.run(x, states.get(label)) if run is None else run(layer, x) for label, x in ours.items()}
                for label, trajectory in runs.items():
                    y = trajectory[layer.cell.output.name]
                    y = y if isinstance(y, np.ndarray) else y.cpu().numpy()
                    outputs.setdefault(label, []).append(np.array(y[::-1] if layer.reverse else y))
                yield layer, runs
                del runs, trajectory, y
            below = {label: np.concatenate(ys, axis=-1) for label, ys in outputs.items() if len(ys) == len(level)}

    def readers(self, layer):
        """{name: matrix (rows, units)}: the linear maps that read a layer's output: the next level's input weights, or the read-out."""
        level = self.levels[layer.level]
        start = sum(other.n_outputs for other in level[:[other.name for other in level].index(layer.name)])
        columns = slice(start, start + layer.n_outputs)
        if layer.level + 1 < len(self.levels):
            return {above.name: np.concatenate([
                np.asarray(above.params[name], float) for name, edge in above.cell.parameters.items()
                if edge.source in {s.name for s in above.cell.inputs}
            ])[:, columns] for above in self.levels[layer.level + 1]}
        return {} if self.readout is None else {self.readout.name: np.asarray(self.readout.W, float)[:, columns]}


def fresh(cell, units, inputs, seed, block_size=1):
    """A Network of one untrained layer of a cell, weights drawn with the seed."""
    params = compile_cell(cell).random_params(units, inputs, np.random.default_rng(seed), block_size)
    return Network(f"cell:{cell.name}", (Layer(cell.name, cell, params),))
