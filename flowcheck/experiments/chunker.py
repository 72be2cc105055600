"""The neural sequence chunker of two nets (Schmidhuber 1992), for the comparisons of experiment 2. Inputs are one-hot, all units logistic.

    automatizer   a(t) = f(w_x x(t) + w_s a(t-1)),   y(t) = f(W x(t) + V a(t)) predicts x(t+1),   q(t) = f(m x(t) + r a(t)) predicts c
    chunker       c = f(u_x x + u_s c'),   z = f(Z x + B c) predicts the next input that the automatizer does not

The chunker sees only inputs that the automatizer failed to predict, c' its value at the one before. The automatizer's extra output q learns
the chunker's hidden unit, so that a has to hold from step to step what the chunker holds. Both learn by real-time recurrent learning,

    da(t)/dw = a(t) (1 - a(t)) (source(t) + w_s da(t-1)/dw),   w <- w - alpha e_a da/dw

Left open and decided here: a prediction fails where any output is off by `FAILED` or more, and the first input of a sequence is never
predicted; weights change after every step; success is judged by y.
"""

import inspect

import numpy as np

from ..compiled.modules import load

__all__ = ["FAILED", "Chunker", "learn"]

FAILED = 0.25
"""Largest error of a prediction that has not failed: the one that success allows."""


def learn(starts, x, target, alpha, failed, W, V, w, Z, B, u, y, z, p, r, found):
    """Both nets over many sequences. W (symbols + 1, outputs) rows by symbol, its last column and row p and r those of q and of the hidden
    unit; see `Chunker` for the arrays."""
    outputs = target.shape[1]
    symbols = w.shape[0] - 1
    for n in range(starts.shape[0] - 1):
        a = c = 0.0
        seen = -1  # the input that the chunker saw last
        p[:] = 0.0
        r[:] = 0.0
        for t in range(starts[n], starts[n + 1]):
            code = x[t]
            fails = t == starts[n]
            if not fails:
                for k in range(outputs):
                    fails = fails or abs(y[k] - (1.0 if k == code else 0.0)) >= failed
            if fails:
                if seen >= 0 and alpha > 0.0:
                    error_c = 0.0
                    for k in range(outputs):
                        e = (z[k] - (1.0 if k == code else 0.0)) * z[k] * (1.0 - z[k])
                        error_c += e * B[k]
                        Z[seen, k] -= alpha * e
                        B[k] -= alpha * e * c
                    for j in range(symbols + 1):
                        u[j] -= alpha * error_c * r[j]
                before = c
                c = 1.0 / (1.0 + np.exp(-(u[code] + u[symbols] * before)))
                for j in range(symbols + 1):
                    r[j] = c * (1.0 - c) * ((1.0 if j == code else 0.0) + (before if j == symbols else 0.0) + u[symbols] * r[j])
                for k in range(outputs):
                    z[k] = 1.0 / (1.0 + np.exp(-(Z[code, k] + B[k] * c)))
                seen = code
            before = a
            a = 1.0 / (1.0 + np.exp(-(w[code] + w[symbols] * before)))
            for j in range(symbols + 1):
                p[j] = a * (1.0 - a) * ((1.0 if j == code else 0.0) + (before if j == symbols else 0.0) + w[symbols] * p[j])
            error_a = largest = 0.0
            for k in range(outputs + 1):
                value = 1.0 / (1.0 + np.exp(-(W[code, k] + V[k] * a)))
                e = value - (target[t, k] if k < outputs else c)
                if k < outputs:
                    y[k] = value
                    largest = max(largest, abs(e))
                    found[n, 1] += abs(e)
                    found[n, 2] += e * e
                e *= value * (1.0 - value)
                error_a += e * V[k]
                W[code, k] -= alpha * e
                V[k] -= alpha * e * a
            for j in range(symbols + 1):
                w[j] -= alpha * error_a * p[j]
            found[n, 0] = max(found[n, 0], largest)
            found[n, 3] = largest


class Chunker:
    """Both nets in training; weights uniform in [-reach, reach].

    W, V    the automatizer's outputs from inputs (symbols, outputs + 1), the last one q, and from its hidden unit (outputs + 1,)
    w       its hidden unit from inputs and, last, itself
    Z, B, u the same of the chunker, which has no q
    """

    def __init__(self, symbols, alpha, reach, rng, interpreted=False):
        self.alpha, shapes = alpha, {"W": (symbols, symbols + 1), "V": symbols + 1, "w": symbols + 1, "Z": (symbols, symbols), "B": symbols,
                                     "u": symbols + 1}
        self.params = {name: rng.uniform(-reach, reach, shape) for name, shape in shapes.items()}
        self.room = [np.zeros(symbols), np.zeros(symbols), np.zeros(symbols + 1), np.zeros(symbols + 1)]
        self.rule = load("neural sequence chunker", inspect.getsource(learn), ["learn"], interpreted)["learn"]

    @property
    def free_w(self):
        """The automatizer's weights, as the paper counts them."""
        return np.concatenate([self.params[name].ravel() for name in "WVw"])

    def run(self, sequences, learn=True):
        """Run over Sequences, learning or only answering; returns what `Online.run` does, of the automatizer's predictions."""
        found = np.zeros((len(sequences), 4))
        self.rule(sequences.starts, sequences.x, sequences.target, self.alpha if learn else 0.0, FAILED, *self.params.values(), *self.room,
                  found)
        return found
