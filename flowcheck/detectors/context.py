"""What the detectors look at: a layer's runs over real inputs, its flows, and what reads its output.

Every run is in float64. Sequences keep their labels, so that findings can be reported per sequence and pooled.
"""

from dataclasses import dataclass
from functools import cached_property

import numpy as np

from ..flow import usable_lags
from ..kernels import Trajectory, compile_cell
from ..measure import first_sequences, long_enough, measure_by_probes, measure_layer
from ..network import Layer

__all__ = ["LayerContext", "Run", "by_layer", "contexts"]


class Run:
    """One set of inputs through one layer; `trajectory` runs in the layer's own direction. `natural` is its variation (`effects`)."""

    def __init__(self, label, trajectory):
        self.label, self._trajectory, self.natural = label, trajectory, None

    @property
    def trajectory(self):
        """The Trajectory, run again where it was given up."""
        if self._trajectory is None:
            kernel, params, inputs, state0 = self._again
            self._trajectory = kernel.forward(params, inputs, state0)
        return self._trajectory

    def give_up(self):
        """Keep the inputs alone."""
        t = self.trajectory
        self._again, self._trajectory = (t.kernel, t.params, t.inputs, t.state0), None

    @property
    def sequences(self):
        """(label, index in the batch) of every sequence."""
        return [(f"{self.label}[{b}]", b) for b in range(self.trajectory.batch)]


@dataclass(frozen=True)
class LayerContext:
    """A layer with its runs, its measured flows, and the linear maps that read its output {name: (rows, units)}.

    needs_lag is the lag in steps over which the task has to remember, None where nobody has said; errors {label: dE/dy (time, batch,
    units)} are those of the user's loss, None without one.
    """

    layer: Layer
    runs: tuple
    measured: tuple
    readers: dict
    needs_lag: int | None = None
    errors: dict | None = None

    @property
    def cell(self):
        return self.layer.cell

    @property
    def kernel(self):
        return compile_cell(self.cell)

    @property
    def state_flow(self):
        """The full state-to-state flow with its rate, as Measured."""
        return next(m for m in self.measured if (m.flow.quantity, m.flow.gradient) == ("state-to-state", "full"))

    @cached_property
    def pooled(self):
        """Runs with all sequences of one length together, whatever sets they came in; those as long as the first come first."""
        lengths = {}
        for run in self.runs:
            lengths.setdefault(run.trajectory.steps, []).append(run)
        return tuple(ours[0] if len(ours) == 1 else _together(ours) for ours in lengths.values())

    def give_up(self):
        """Keep the inputs of the runs alone."""
        self.__dict__.pop("pooled", None)
        for run in self.runs:
            run.give_up()

    @property
    def bytes(self):
        """Of all vectors of all runs."""
        return sum(array.nbytes for run in self.runs for array in run.trajectory.values.values())

    def held_at(self, run, vector, units, values, start=0, stop=None, state=None):
        """(outputs (time, batch, len(units), outputs), state at the end) when one unit of a vector at a time is held at its value: lane k
        holds units[k].

        From step `start` to before `stop`, going on from `state`, the one that the steps before have ended with.
        """
        x, batch, lanes = run.trajectory.inputs, run.trajectory.batch, len(units)
        mask = np.zeros((batch * lanes, run.trajectory[vector].shape[-1]), bool)
        value = np.zeros(mask.shape)
        for k, (unit, v) in enumerate(zip(units, values, strict=True)):
            mask[k::lanes, unit], value[k::lanes, unit] = True, v
        x = np.repeat(x[self.cell.inputs[0].name][start:stop], lanes, axis=1)
        if state is None:
            state = {old: np.repeat(given, lanes, axis=0) for old, given in run.trajectory.state0.items()}
        held = self.kernel.forward(self.layer.params, x, state, hold={vector: (mask, value)})
        y = held[self.cell.output.name].reshape(len(x), batch, lanes, -1)
        return y, {old: held[new][-1] for old, new in self.kernel.states.items()}

    def recurrent_weights(self):
        """{name: W} of the dense connections that read the layer's output one step later, W [to, from]."""
        previous = {old for old, new in self.kernel.states.items() if new == self.cell.output.name}
        dense = {n.out.name for n in self.cell.nets if n.kind == "dense"}
        return {name: self.layer.params[name] for name, edge in self.cell.parameters.items()
                if edge.source in previous and edge.net in dense}

    def retention(self, run, state):
        """(time, batch, units) factor by which each entry of a state is kept from step to step, recurrent connections cut.

        1 for a carousel, the forget gate for an LSTM. None where the state does not enter its own formula directly.
        """
        old = next(o for o, new in self.kernel.states.items() if new == state)
        kept = run.trajectory.partials.get((state, old))
        return None if kept is None else np.broadcast_to(kept, run.trajectory[state].shape)


def _together(runs):
    """One Run of the sequences of several."""
    parts = [run.trajectory for run in runs]

    def joined(of, axis):
        return {name: np.concatenate([of(t)[name] for t in parts], axis=axis) for name in of(parts[0])}

    return Run(" and ".join(run.label for run in runs), Trajectory(
        parts[0].kernel, parts[0].params, joined(lambda t: t.inputs, 1), joined(lambda t: t.values, 1), joined(lambda t: t.state0, 0)))


MOST_OPERATIONS = 2e12
"""Multiplications and additions, some minutes of one core, above which flows are estimated from probes."""


def contexts(network, input_sets, lags=1000, progress=lambda words: None, needs_lag=None, starts=None, errors=None,
             flows=True):
    """Yield one LayerContext per layer; a layer without inputs of its own gets what the stack below it gives.

    `starts` {layer name: {label: state0}} has the initial states of sequences that do not start from zero; `errors` {layer name: {label:
    dE/dy}} what a loss sends into each layer. Without `flows` none is measured.

    Raises ValueError when a layer below has no inputs either, and where the sequences are too short to measure the lag needed.
    """
    if needs_lag is not None:
        _, shortest = usable_lags(max(lags, needs_lag), [s.x.shape[0] for s in input_sets])
        if shortest < needs_lag + 2:
            raise ValueError(f"lag {needs_lag} is needed, but the sequences have {shortest} steps; "
                             f"give sequences of {needs_lag + 2} or more")
        lags = max(lags, needs_lag)
    for layer, runs in network.each_layer(first_sequences(by_layer(input_sets)), starts=starts):
        measured = ()
        if flows:
            by = measure_layer if _cost(layer, runs, lags) < MOST_OPERATIONS else measure_by_probes
            measured = tuple(by(layer, runs, lags, progress=progress))
        yield LayerContext(layer, tuple(Run(*item) for item in runs.items()), measured, network.readers(layer), needs_lag,
                           None if errors is None else errors[layer.name])


def by_layer(input_sets):
    """{layer name: {label: x}} of InputSets."""
    sets = {}
    for s in input_sets:
        sets.setdefault(s.layer, {})[s.label] = s.x
    return sets


def _cost(layer, runs, lags):
    """Operations of the products of step Jacobians over the lags, all sequences."""
    size = sum(next(iter(runs.values()))[new].shape[-1] for new in compile_cell(layer.cell).states.values())
    wanted, runs = long_enough(layer, runs, lags)
    return 2 * size**3 * wanted * sum(t.batch for t in runs.values())
