"""What can be measured beside the flows of `measure`: spectral norms, exponents, random probes, all pairs of end time and lag.

Entries of plain numbers, one per layer, pooled over sequences: norms over those that count as in the flows, exponents over all.
"""

import numpy as np

from .flow import lyapunov
from .flow.norms import kept_sequences
from .flow.pairs import pair_flows
from .flow.probes import probe_flow
from .flow.spectra import spectral_norms
from .measure import first_sequences, long_enough

__all__ = ["further"]

CONFIDENCE = 0.95

TURNING = 4
"""One step in so many, the first ones, turns the frame of exponents before they count: where it starts is random."""


def further(network, sets, lags, *, spectral=False, exponents=False, probes=0, pairs=False, cut=False, run=None,
            progress=lambda words: None):
    """{"spectral" | "exponents" | "probes" | "pairs": [entry per layer]} of what is asked for, over sets as in `measure.measure`.

    The keys of an entry are those of the JSON Schema flowcheck.flow/1; `probes` is a number of random vectors. Full unless `cut`.
    """
    found = {key: [] for key, asked in (("spectral", spectral), ("exponents", exponents), ("probes", probes), ("pairs", pairs)) if asked}
    for layer, runs in network.run_layers(first_sequences(sets), run):
        (reach, runs), cuts = long_enough(layer, runs, lags), True if cut else ()
        sequences = [(t, b) for t in runs.values() for b in range(t.batch)]
        common = {"layer": layer.name, "gradient": "truncated" if layer.cell.cut(cuts) else "full", "sequences": len(sequences)}
        for key, measured in found.items():
            progress(f"{layer.name}: {key}")
            measured.append(common | _ENTRIES[key](sequences, reach, cuts, probes))
    return found


def _spectral(sequences, lags, cut, probes):
    every = [spectral_norms(t, lags, b=b, cut=cut) for t, b in sequences]
    norms, found = np.array([s.log10_norm for s in every]), every[0].lags
    return {"lags": found, "log10_norm": _mean(norms[kept_sequences(norms, 0.0)]),
            "relative_error": np.max([s.relative_error for s in every], axis=0), "decomposed": int(sum(s.decomposed.sum() for s in every))}


def _exponents(sequences, lags, cut, probes):
    every = [lyapunov.exponents(t, b=b, cut=cut, skip=(t.steps - 1) // TURNING) for t, b in sequences]
    return {"values": _mean([e.values for e in every]), "mean_log_det": float(_mean([e.mean_log_det for e in every])),
            "sum_error": max(e.sum_error for e in every), "steps": min(e.steps for e in every)}


def _probes(sequences, lags, cut, count):
    every = [probe_flow(t, lags, count=count, seed=k, b=b, cut=cut) for k, (t, b) in enumerate(sequences)]
    size, found = sum(sequences[0][0][new].shape[-1] for new in sequences[0][0].kernel.states.values()), every[0].lags
    norms = np.array([p.frobenius(CONFIDENCE) for p in every])
    estimate, low, high = _mean(norms[kept_sequences(norms[:, 0], 0.5 * np.log10(size))])
    return {"count": count, "lags": found, "confidence": CONFIDENCE, "log10_frobenius": estimate, "log10_low": low, "log10_high": high}


def _pairs(sequences, lags, cut, probes):
    (trajectory, b), *_ = sequences
    found = pair_flows(trajectory, lags=lags, b=b, cut=cut)
    return {"sequences": 1, "lags": np.arange(found.log10_norm.shape[1]), "log10_norm": found.log10_norm,
            "log10_weighted": found.log10_weighted}


_ENTRIES = {"spectral": _spectral, "exponents": _exponents, "probes": _probes, "pairs": _pairs}


def _mean(logs):
    with np.errstate(invalid="ignore"):
        return np.mean(logs, axis=0)
