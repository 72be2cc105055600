"""Measure a network: which flows are taken of each layer, over which inputs, with their rates.

Full flows of every layer; the truncated ones beside them where the rule of 1997 leaves any flow at all.
"""

from dataclasses import dataclass, replace

import numpy as np

from . import flow as flows
from .flow.probes import probe_flow
from .flow.rates import Rate, rate

__all__ = ["MOST_SEQUENCES", "Measured", "first_sequences", "long_enough", "measure", "measure_by_probes", "measure_layer", "noise_inputs"]

MOST_SEQUENCES = 8
"""Sequences of one set of inputs that are looked at; flows cost time in proportion."""

WASHOUT = 50
"""Steps run before the first lag that is measured, so that the start from zero states is forgotten."""


@dataclass(frozen=True)
class Measured:
    """A Flow of a layer with its Rate; rounding_error is its largest relative error against float64, None for float64 itself.

    probes   how many random vectors the norm is estimated from; None where it is exact
    """

    flow: flows.Flow
    rate: Rate
    rounding_error: float | None = None
    probes: int | None = None


def noise_inputs(network, lags, seed, sequences=1):
    """{first layer's name: {label: x}}: unit-variance Gaussian noise long enough for the lags."""
    rng = np.random.default_rng(seed)
    first = network.levels[0]
    x = rng.normal(size=(lags + 1 + WASHOUT, sequences, first[0].n_inputs))
    return {layer.name: {"noise": x} for layer in first}


def measure(network, sets, lags, *, gradient="both", device=None, run=None, progress=lambda words: None):
    """[Measured] of every layer over sets {layer name: {label: x}}, x (time, batch, inputs); see `measure_layer`.

    `run` runs a layer in another way than `Layer.run`, such as `compiled.run_layer`.
    """
    found = []
    for layer, runs in network.run_layers(first_sequences(sets), run if device is None else device.run):
        found += measure_layer(layer, runs, lags, gradient=gradient, device=device, progress=progress)
    return found


def first_sequences(sets):
    """The same sets with at most MOST_SEQUENCES sequences each."""
    return {name: {label: x[:, :MOST_SEQUENCES] for label, x in ours.items()} for name, ours in sets.items()}


def long_enough(layer, runs, lags):
    """(lags, {label: Trajectory}) of the runs that flow is measured along: see `flow.usable_lags`.

    Raises ValueError where none has two steps.
    """
    wanted, least = flows.usable_lags(lags, [t.steps for t in runs.values()])
    if not wanted:
        raise ValueError(f"layer {layer.name}: sequences of {least} step have no lag to measure; give at least 2 steps")
    return wanted, {label: t for label, t in runs.items() if t.steps >= least}


def measure_layer(layer, runs, lags, *, gradient="both", device=None, progress=lambda words: None):
    """[Measured] of one layer along its runs {label: Trajectory}: the flows of `flow.quantities`, t is the last step of each sequence.

    `gradient` "full", "truncated" or "both"; both leaves out truncated flows that are zero at every lag. Lags, and the runs that are long
    enough, are those of `flow.usable_lags`. With a `tensors.Device` that made the runs, flows are taken there, each with its
    `rounding_error`. Raises ValueError for sequences of one step.
    """
    found, (wanted, runs) = [], long_enough(layer, runs, lags)
    for label, cut in (("full", ()), ("truncated", True)):
        if gradient not in (label, "both") or (cut and not layer.cell.recurrent_edges and gradient == "both"):
            continue
        progress(f"{layer.name}: {label} flow over {wanted} lags")
        found += [m for m in _layer_flows(layer, runs, wanted, cut, device) if gradient != "both" or not cut or m.flow.above_floor]
    return found


PROBES = 32
"""Random vectors from which the norm of a flow too large to form is estimated: 95 % of the estimates are within 0.12 decades."""


def measure_by_probes(layer, runs, lags, progress=lambda words: None):
    """[Measured] of the full state-to-state flow alone, its norm estimated from random vectors: no matrix of a wide layer is formed."""
    parts, (wanted, runs) = [], long_enough(layer, runs, lags)
    for run in runs.values():
        for b in range(run.batch):
            progress(f"{layer.name}: flow over {wanted} lags, sequence {b + 1} of {run.batch}")
            found = probe_flow(run.sequence(b).window(run.steps - wanted - 1, run.steps), wanted, count=PROBES)
            norm, floor = found.frobenius()[0][None], found.log10_floor.max(axis=0)[None]
            size = sum(run[new].shape[-1] for new in run.kernel.states.values())
            parts.append(flows.Flow("state-to-state", "full", found.lags, norm, np.full(norm.shape, np.nan), floor, 0.5 * np.log10(size)))
    whole = replace(flows.Flow.stack(parts), layer=layer.name)
    return [Measured(whole, rate(whole), probes=PROBES)]


def _layer_flows(layer, runs, lags, cut, device):
    sequences = [(t, b) for t in runs.values() for b in range(t.batch)]
    taken_by, error = flows, None
    if device is not None:
        from . import tensors as taken_by

        if device.dtype != "float64":
            error = max(float(taken_by.rounding_error(t, lags, b=b, cut=cut).max()) for t, b in sequences)
    per_sequence = [taken_by.cell_flows(t, lags, b=b, cut=cut) for t, b in sequences]
    result = []
    for name in per_sequence[0]:
        one = replace(flows.Flow.stack([f[name] for f in per_sequence]), layer=layer.name)
        result.append(Measured(one, rate(one), error))
    return result
