"""The cases: nets x mistakes x first bad lag x spectral radius; a sample takes every mistake of every net once. The seeded right nets."""

from dataclasses import dataclass

import numpy as np

from .nets import NETS
from .plants import Plant, kinds_of

__all__ = ["Case", "LAGS", "RADII", "grid", "right_nets", "sample"]

LAGS = (1, 5, 10, 20, 30, 60, 100)
RADII = {"contracting": 0.6, "near one": 1.0, "expanding": 1.6}
UNITS, INPUTS = 4, 3


@dataclass(frozen=True)
class Case:
    """One mistake in one net, made at lags >= `first`, on a sequence two steps longer."""

    net: str
    term: str
    kind: str
    first: int
    regime: str
    seed: int

    def arguments(self):
        rng = np.random.default_rng([self.seed, self.first, *map(ord, self.net + self.term + self.kind + self.regime)])
        return NETS[self.net].arguments(rng, UNITS, INPUTS, self.first + 2, RADII[self.regime])

    def plant(self):
        return Plant(self.term, self.kind, self.first)

    def backward(self, *arguments):
        return NETS[self.net].backward(*arguments, self.plant())


def mistakes():
    """{net: [(term, kind)]}: every mistake that the hand-written backward passes have places for."""
    found, rng = {}, np.random.default_rng(0)
    for name, net in NETS.items():
        params, inputs, state0 = net.arguments(rng, UNITS, INPUTS, 4, 0.9)
        kinds = kinds_of(net._backward, params, inputs["x"], state0, np.ones((4, UNITS)))
        found[name] = [(term, kind) for term in sorted(kinds) for kind in sorted(kinds[term])]
    found["lstm"].append(("d/d net_in, d/d net_f", "swapped"))
    return found


def grid(seed=0):
    """Every case of the full grid."""
    return [Case(net, term, kind, lag, regime, seed) for net, rows in mistakes().items() for term, kind in rows
            for lag in LAGS for regime in RADII]


def sample(per_net=None, seed=0):
    """Every mistake of every net once (or `per_net` of them, spread over the terms), lags and regimes in turn."""
    found, turn = [], 0
    for net, rows in mistakes().items():
        rows = rows if per_net is None else [rows[int(k)] for k in np.linspace(0, len(rows) - 1, min(per_net, len(rows)))]
        for term, kind in rows:
            found.append(Case(net, term, kind, LAGS[turn % len(LAGS)], list(RADII)[turn % len(RADII)], seed))
            turn += 1
    return found


def right_nets(count):
    """[(net, arguments)]: right nets of all six cells, spectral radius 0.3 to 5, 4 to 30 steps, float64 and float32 in turn."""
    for seed in range(count):
        rng = np.random.default_rng(seed)
        name = list(NETS)[seed % len(NETS)]
        radius, steps = float(np.exp(rng.uniform(np.log(0.3), np.log(5.0)))), int(rng.integers(4, 31))
        arguments = NETS[name].arguments(rng, UNITS, INPUTS, steps, radius)
        dtype = np.float64 if seed // len(NETS) % 2 == 0 else np.float32
        yield name, radius, dtype, [{k: v.astype(dtype) for k, v in group.items()} for group in arguments]
