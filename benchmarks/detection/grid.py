"""The cases: nets x mistakes x first bad lag x spectral radius, in rounds that take every mistake once. The seeded right nets."""

from dataclasses import dataclass

import numpy as np

from .nets import NETS
from .plants import Plant, kinds_of

__all__ = ["Case", "DTYPES", "LAGS", "RADII", "ROUNDS", "mistakes", "right_net", "rounds"]

LAGS = (1, 5, 10, 20, 30, 60, 100)
RADII = {"contracting": 0.6, "near one": 1.0, "expanding": 1.6}
DTYPES = "float64", "float32", "float64", "float32", "float32 in backward", "float32 throughout"
"""Of the right nets. "float32": given so; flowcheck hands over float64 then. The last two turn what they are given into float32."""
UNITS, INPUTS = 4, 3
ROUNDS = len(LAGS) * len(RADII)


@dataclass(frozen=True)
class Case:
    """One mistake in one net, made at lags >= `first`, on a sequence two steps longer."""

    net: str
    term: str
    kind: str
    first: int
    regime: str
    seed: int

    @property
    def id(self):
        return f"{self.net} | {self.term} | {self.kind} | {self.first} | {self.regime} | {self.seed}"

    def arguments(self):
        rng = np.random.default_rng([self.seed, self.first, *map(ord, self.net + self.term + self.kind + self.regime)])
        return NETS[self.net].arguments(rng, UNITS, INPUTS, self.first + 2, RADII[self.regime])

    def plant(self):
        return Plant(self.term, self.kind, self.first)

    def backward(self, *arguments):
        return NETS[self.net].backward(*arguments, self.plant())


def mistakes(most=None):
    """{net: [(term, kind)]}: every mistake that the backward passes have places for, or `most` a net, spread over its terms."""
    found, rng = {}, np.random.default_rng(0)
    for name, net in NETS.items():
        params, inputs, state0 = net.arguments(rng, UNITS, INPUTS, 4, 0.9)
        kinds = kinds_of(net._backward, params, inputs["x"], state0, np.ones((4, UNITS)))
        found[name] = [(term, kind) for term in sorted(kinds) for kind in sorted(kinds[term])]
    found["lstm"].append(("d/d net_in, d/d net_f", "swapped"))
    if most is None:
        return found
    return {name: [rows[int(k)] for k in np.linspace(0, len(rows) - 1, min(most, len(rows)))] for name, rows in found.items()}


def rounds(count, per_net=None, seed=0):
    """Cases in rounds: each takes every mistake once, with first lag and regime in turn; after ROUNDS of them each mistake met all.

    Within a round the order is random, so that one which is cut off is a fair sample.
    """
    regimes, rng, found = list(RADII), np.random.default_rng(seed), []
    for r in range(count):
        cases = [Case(net, term, kind, LAGS[(m + r) % len(LAGS)], regimes[(m + r // len(LAGS)) % len(regimes)], seed)
                 for net, rows in mistakes(per_net).items() for m, (term, kind) in enumerate(rows)]
        found += [cases[k] for k in rng.permutation(len(cases))]
    return found


def right_net(number, seed=0):
    """(net, forward, backward, radius, dtype, arguments) of a right net: six cells, spectral radius 0.3 to 5, 4 to 30 steps; see DTYPES."""
    rng = np.random.default_rng([seed, number])
    net, dtype = list(NETS.values())[number % len(NETS)], DTYPES[number // len(NETS) % len(DTYPES)]
    radius, steps = float(np.exp(rng.uniform(np.log(0.3), np.log(5.0)))), int(rng.integers(4, 31))
    arguments = net.arguments(rng, UNITS, INPUTS, steps, radius)
    if dtype == "float32":
        arguments = [_single(group) for group in arguments]
    forward = _in_single(net.forward) if dtype == "float32 throughout" else net.forward
    backward = _in_single(net.backward) if dtype in DTYPES[4:] else net.backward
    return net, forward, backward, radius, dtype, arguments


def _single(group):
    return {k: v.astype(np.float32) for k, v in group.items()}


def _in_single(function):
    """The function computed in float32, whatever it is given."""
    return lambda *groups: _single(function(*map(_single, groups)))
