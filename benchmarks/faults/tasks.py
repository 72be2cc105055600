"""The tasks: each draws a batch of inputs x (time, batch, inputs), targets and the steps at which they count.

A task knows what a constant answer loses, so that a net that learned nothing is not called healthy.
"""

import numpy as np

__all__ = ["TASKS", "one_hot"]


def one_hot(symbols, n):
    """(..., n) of integers (...)."""
    return np.eye(n)[symbols]


def recall(rng, batch, steps=48):
    """The sign shown at step 0, after noise."""
    x = np.stack([rng.normal(scale=0.3, size=(steps, batch)), np.ones((steps, batch))], axis=-1)
    sign = rng.choice([-1.0, 1.0], batch)
    x[0, :, 0] = sign
    target = np.zeros((steps, batch, 1))
    target[-1, :, 0] = sign
    return x, target, [steps - 1]


def copy(rng, batch, steps=48):
    """Three of four symbols, repeated after a pause."""
    shown = rng.integers(0, 4, (3, batch))
    x = np.zeros((steps, batch, 5))
    x[:3, :, :4] = one_hot(shown, 4)
    x[-4, :, 4] = 1.0
    target = np.zeros((steps, batch, 4))
    target[-3:] = one_hot(shown, 4)
    return x, target, [steps - 3, steps - 2, steps - 1]


def adding(rng, batch, steps=48):
    """The mean of the two marked values; one is marked in each half."""
    x = np.stack([rng.uniform(-1, 1, (steps, batch)), np.zeros((steps, batch))], axis=-1)
    first, second = rng.integers(0, steps // 2, batch), rng.integers(steps // 2, steps, batch)
    columns = np.arange(batch)
    x[first, columns, 1] = x[second, columns, 1] = 1.0
    target = np.zeros((steps, batch, 1))
    target[-1, :, 0] = (x[first, columns, 0] + x[second, columns, 0]) / 2
    return x, target, [steps - 1]


def order(rng, batch, steps=48):
    """Which of two symbols came first, as two of them stand among distractors: four classes."""
    symbols = rng.integers(2, 6, (steps, batch))
    first, second = rng.integers(1, steps // 3, batch), rng.integers(steps // 2, 3 * steps // 4, batch)
    a, b, columns = rng.integers(0, 2, batch), rng.integers(0, 2, batch), np.arange(batch)
    symbols[first, columns], symbols[second, columns] = a, b
    target = np.zeros((steps, batch, 4))
    target[-1] = one_hot(2 * a + b, 4)
    return one_hot(symbols, 6), target, [steps - 1]


def counting(rng, batch, steps=48):
    """How many pulses so far, as a share of all steps."""
    pulses = (rng.random((steps, batch)) < 0.3).astype(float)
    return pulses[..., None], np.cumsum(pulses, axis=0)[..., None] / steps * 3, [*range(steps)]


def sine(rng, batch, steps=48):
    """The next value of a sine of unknown frequency and phase, with a little noise."""
    t = np.arange(steps + 1)[:, None]
    wave = np.sin(rng.uniform(0.1, 0.4, batch) * t + rng.uniform(0, 2 * np.pi, batch))
    x = wave[:-1] + rng.normal(scale=0.02, size=(steps, batch))
    return x[..., None], wave[1:, :, None], [*range(5, steps)]


def text(rng, batch, steps=48):
    """The next letter of a text of five words in random order, seven letters and a space."""
    words = ["abac", "bdeg", "cafe", "gad", "fed"]
    letters = "abcdefg "
    lines = []
    for _ in range(batch):
        line = ""
        while len(line) <= steps:
            line += words[rng.integers(len(words))] + " "
        lines.append([letters.index(c) for c in line[:steps + 1]])
    symbols = np.array(lines).T
    return one_hot(symbols[:-1], 8), one_hot(symbols[1:], 8), [*range(1, steps)]


def flipflop(rng, batch, steps=48):
    """The sign of the last pulse on each of two channels, 0 before the first; pulses are rare."""
    pulses = rng.choice([-1.0, 1.0], (steps, batch, 2)) * (rng.random((steps, batch, 2)) < 0.1)
    last = np.maximum.accumulate(np.where(pulses != 0, np.arange(steps)[:, None, None], -1), axis=0)
    target = np.where(last >= 0, np.take_along_axis(pulses, np.maximum(last, 0), axis=0), 0.0)
    return pulses, target, [*range(steps)]


def echo(rng, batch, steps=48, lag=5):
    """The value shown five steps ago."""
    x = rng.uniform(-1, 1, (steps, batch, 1))
    target = np.zeros_like(x)
    target[lag:] = x[:-lag]
    return x, target, [*range(lag, steps)]


def maximum(rng, batch, steps=48):
    """The largest value shown so far, as values of ever wider range are shown."""
    x = rng.uniform(-1, 1, (steps, batch, 1)) * np.linspace(0.2, 1.0, steps)[:, None, None]
    return x, np.maximum.accumulate(x, axis=0), [*range(steps)]


TASKS = {"recall": recall, "copy": copy, "adding": adding, "order": order, "counting": counting, "sine": sine, "text": text,
         "flipflop": flipflop, "echo": echo, "maximum": maximum}
"""{name: draw(rng, batch) -> (x, target, steps that count)}"""
