"""Experiment 3: the two-sequence problem, noise and signal on one input line. 3a, 3b with noise on the signal, 3c noisy targets.

The first N elements tell the class, +1 (class 1) or -1 (class 2), later elements are noise N(0, 0.2) (variance); the length is uniform in
[T, T + T/10]. The target comes at the end: 1 or 0 (3a, 3b); 0.2 or 0.8 with noise N(0, 0.1) (3c).
"""

import numpy as np

from .sequences import join

__all__ = ["two_sequence"]

NOISE, TARGET_NOISE = np.sqrt(0.2), np.sqrt(0.1)


def two_sequence(rng, count, T, N, *, noisy_signal=False, noisy_targets=False):
    """(Sequences, noise-free targets (count,))."""
    lengths = rng.integers(T, T + T // 10 + 1, count)
    ends = np.cumsum(lengths)
    first = rng.integers(0, 2, count) == 0  # class 1
    x = rng.normal(scale=NOISE, size=ends[-1])
    for k in range(N):
        at = ends - lengths + k
        x[at] = np.where(first, 1.0, -1.0) + (x[at] if noisy_signal else 0.0)
    clean = np.where(first, 0.2, 0.8) if noisy_targets else first.astype(float)
    target = clean + (rng.normal(scale=TARGET_NOISE, size=count) if noisy_targets else 0.0)
    return join(lengths, x[:, None], target[:, None]), clean
