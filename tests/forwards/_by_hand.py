"""What forwards written from publications share: their own logistic function, and the loop over the sequences of a batch."""

import functools

import numpy as np


def logistic(z):
    return 1.0 / (1.0 + np.exp(-np.asarray(z)))


def one_sequence(forward):
    """Lift a forward over one sequence, (p, [x(t)], {previous state: vector}) -> [{vector: values} of step t], to a batch of them."""

    @functools.wraps(forward)
    def batched(p, x, state0):
        runs = [forward(p, x[:, b], {k: v[b] for k, v in state0.items()}) for b in range(x.shape[1])]
        return {name: np.array([[run[t][name] for run in runs] for t in range(len(x))]) for name in runs[0][0]}

    return batched


def single_precision(forward):
    """Mark a forward that a framework computes in float32 only."""
    forward.tolerance = 1e-6
    return forward
