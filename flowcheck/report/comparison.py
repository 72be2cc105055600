"""All cells side by side: how error flow from the output to the inputs falls over lag, at each cell's standard initialisation.

Fresh weights, the same noise for all. Beside the measured flow stands what theory gives: the closed form that a cell claims of its own
state, or the bound of section 3.1. Norms are log10, relative to lag 0.
"""

from dataclasses import dataclass, replace

import numpy as np

from .. import flow
from ..flow.rates import Rate, rate
from ..measure import noise_inputs
from ..network import fresh

__all__ = ["Compared", "compare_cells"]


@dataclass(frozen=True)
class Compared:
    """One cell: its flow d y(t)/d x(t-q), and the theory beside it, log10 over the same lags relative to lag 0.

    The Rate is that of all lags; flow and theory are kept at about a hundred lags, evenly spaced on a log scale. theory is None where
    there is none; theory_words says what it is, e.g. "closed form: product of y_f".
    """

    cell: object
    flow: flow.Flow
    rate: Rate
    theory: np.ndarray | None
    theory_words: str

    @property
    def relative(self):
        """log10 of the flow's norm, relative to lag 0."""
        return self.flow.relative

    @property
    def verdict(self):
        """In a word: the rate's verdict, or "zero" where nothing is left at the last lag."""
        return self.rate.verdict if np.isfinite(self.relative[-1]) else "zero"


def compare_cells(cells, *, units=16, inputs=8, lags=1000, seed=0, progress=lambda words, done=None, total=None: None):
    """[Compared] of every cell that `cells` {name: Cell} holds, those whose error reaches furthest first."""
    found = []
    for k, (name, cell) in enumerate(cells.items()):
        progress(f"cell {name}", k, len(cells))
        network = fresh(cell, units, inputs, seed)
        (layer, runs), = network.run_layers(noise_inputs(network, lags, seed))
        trajectory = next(iter(runs.values()))
        measured = flow.error_flow(trajectory, cell.output.name, cell.inputs[0].name, lags, tail=0)
        kept = np.unique(np.geomspace(1, lags, 120).round().astype(int)) - 1
        sampled = {name: getattr(measured, name)[..., kept] for name in ("lags", "log10_norm", "log10_entry", "log10_floor")}
        theory, words = _theory(trajectory, lags)
        theory = None if theory is None else theory[kept]
        found.append(Compared(cell, replace(measured, layer=name, **sampled), rate(measured), theory, words))
    return sorted(found, key=lambda c: (-(c.rate.horizon or lags + 1), -c.relative[-1], c.cell.name))


def _theory(trajectory, lags):
    """(log10 over lag 1 ... lags relative to lag 0, words) of the first claim that gives a closed form, of the bound, or (None, "")."""
    cell, last = trajectory.kernel.cell, trajectory.steps - 1
    for claim in cell.claims:
        if claim.word == "carousel":
            return np.zeros(lags), f"closed form: {claim.state} is kept"
        if claim.word == "product":
            parts = [trajectory[name][:, 0] for name in claim.arguments]
            with np.errstate(divide="ignore"):
                logs = np.cumsum(np.log10(np.hypot(*parts) if len(parts) == 2 else np.abs(parts[0]))[last:last - lags:-1], axis=0)
            return _log10_rms(logs), f"closed form: product of {' + i '.join(claim.arguments)}"
        if claim.word == "delay":
            length = int(claim.arguments[0])
            return np.where(np.arange(1, lags + 1) <= length, 0.0, -np.inf), f"closed form: zero beyond lag {length}"
    if flow.bounded(cell):
        return flow.bounds(trajectory, lags)["without n"], "bound of section 3.1"
    return None, ""


def _log10_rms(logs):
    """log10 of the root mean square over units of 10**logs, without underflow."""
    top = logs.max(axis=-1)
    with np.errstate(divide="ignore", invalid="ignore"):
        return np.where(np.isfinite(top), top + np.log10(np.mean(10 ** (2 * (logs - top[:, None])), axis=-1)) / 2, -np.inf)
