"""What the detectors look at: a layer's runs over real inputs, its flows, and what reads its output.

Every run is in float64. Sequences keep their labels, so that findings can be reported per sequence and pooled.
"""

from dataclasses import dataclass
from functools import cached_property

import numpy as np

from .. import flow
from ..kernels import compile_cell
from ..network import Layer

__all__ = ["LayerContext", "Run", "contexts"]

MOST_SEQUENCES = 8
"""Sequences of one set that are looked at; flows and interventions cost time in proportion."""


@dataclass(frozen=True)
class Run:
    """One set of inputs through one layer; `trajectory` runs in the layer's own direction."""

    label: str
    trajectory: object

    @property
    def sequences(self):
        """(label, index in the batch) of every sequence."""
        return [(f"{self.label}[{b}]", b) for b in range(self.trajectory.batch)]


@dataclass(frozen=True)
class LayerContext:
    """A layer with its runs and the linear maps that read its output {name: (rows, units)}."""

    layer: Layer
    runs: tuple
    readers: dict
    lags: int

    @property
    def cell(self):
        return self.layer.cell

    @property
    def kernel(self):
        return compile_cell(self.cell)

    @cached_property
    def state_flow(self):
        """Full state-to-state Flow, one row per sequence, over the lags that every sequence has."""
        lags = flow.usable_lags(self.lags, [run.trajectory for run in self.runs])
        return flow.Flow.stack([
            flow.state_flow(run.trajectory, lags, b=b) for run in self.runs for _, b in run.sequences
        ])

    def held_at(self, run, units, values):
        """Outputs (time, batch, len(units), units) when one unit at a time is held at its value: lane k holds units[k]."""
        x, batch, lanes = run.trajectory.inputs, run.trajectory.batch, len(units)
        name = self.cell.output.name
        mask = np.zeros((batch * lanes, self.layer.units), bool)
        value = np.zeros(mask.shape)
        for k, (unit, v) in enumerate(zip(units, values, strict=True)):
            mask[k::lanes, unit], value[k::lanes, unit] = True, v
        x = np.repeat(x[self.cell.inputs[0].name], lanes, axis=1)
        held = self.kernel.forward(self.layer.params, x, hold={name: (mask, value)})
        return held[name].reshape(run.trajectory.steps, batch, lanes, -1)

    def retention(self, run, state):
        """(time, batch, units) factor by which each entry of a state is kept from step to step, recurrent connections cut.

        1 for a carousel, the forget gate for an LSTM. None where the state does not enter its own formula directly.
        """
        old = next(o for o, new in self.kernel.states.items() if new == state)
        kept = run.trajectory.partials.get((state, old))
        return None if kept is None else np.broadcast_to(kept, run.trajectory[state].shape)


def contexts(network, input_sets, lags=1000):
    """One LayerContext per layer; a layer without inputs of its own gets what the stack below it gives.

    Raises ValueError when a layer below has no inputs either.
    """
    sets = {}
    for s in input_sets:
        sets.setdefault(s.layer, {})[s.label] = s.x[:, :MOST_SEQUENCES]
    return [LayerContext(layer, tuple(Run(*item) for item in runs.items()), network.readers(layer), lags)
            for layer, runs in network.run_layers(sets)]
