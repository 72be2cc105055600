"""Recurrent cascade correlation (Fahlman 1991), for the comparisons of experiment 1: units that see themselves are added one by one.

    V(t) = f(sum_i w_i I_i(t) + w_s V(t-1)),   f(z) = 1 / (1 + exp(-z)) - 1/2

where I are the inputs, a bias and the units added before. Outputs, logistic, see the same and V. In turn, the output weights are trained
until the error no longer falls, then a pool of candidates until the sum S of their correlations with the errors no longer rises,

    S = sum_o |sum_t (V(t) - mean V) (E_o(t) - mean E_o)|                           E_o(t) = (y_o(t) - target_o(t)) (f'(net_o(t)) + 0.1)

and the best one is kept, its weights as they are. Both by Quickprop (Fahlman 1988) over all training sequences at once.

Left open or not at hand, decided here: the numbers of `Cascade`.
"""

import numpy as np
from scipy.special import expit

__all__ = ["Cascade", "Quickprop", "candidates_slope", "unit"]


class Quickprop:
    """Steps d(t) = d(t-1) s(t) / (s(t-1) - s(t)), at most `mu` times the last one, and -epsilon s(t) where the slope s keeps its sign."""

    def __init__(self, shape, epsilon, mu):
        self.epsilon, self.mu, self.shrink = epsilon, mu, mu / (1 + mu)
        self.before, self.step = np.zeros(shape), np.zeros(shape)

    def __call__(self, slope):
        """The step downhill for the slope dE/dw here."""
        s, p, d = slope, self.before, self.step
        with np.errstate(divide="ignore", invalid="ignore"):
            parabola = np.where(s * np.sign(p) >= self.shrink * np.abs(p), self.mu * d, d * s / (p - s))
        self.before, self.step = s, np.where(s * d <= 0, -self.epsilon * s, 0.0) + np.where(d == 0, 0.0, parabola)
        return self.step


def unit(sources, w, w_s):
    """V (time, ..., candidates) of units with weights w (sources, candidates), w_s (candidates,), over sources (time, ..., sources)."""
    v = np.empty((*sources.shape[:-1], w.shape[-1]))
    net, before = sources @ w, 0.0
    for t in range(len(sources)):
        before = v[t] = expit(net[t] + w_s * before) - 0.5
    return v


def candidates_slope(sources, v, w_s, pull):
    """(sum_t pull(t) dV(t)/dw (sources, candidates), the same for w_s), dV(t)/dw = f'(t) (I(t) + w_s dV(t-1)/dw), summed backwards."""
    slope, back = (v + 0.5) * (0.5 - v), np.empty_like(v)
    later = 0.0
    for t in range(len(v) - 1, -1, -1):
        later = back[t] = slope[t] * (pull[t] + w_s * later)
    flat = back.reshape(-1, v.shape[-1])
    return sources.reshape(-1, sources.shape[-1]).T @ flat, (v[:-1] * back[1:]).reshape(-1, v.shape[-1]).sum(axis=0)


class Cascade:
    """A net that grows on Sequences of one-hot inputs; every epoch shows all of them once.

    hidden   [(w, w_s)] of the units, in the order in which they were added
    W        (sources, outputs): inputs, bias, hidden units
    """

    POOL, REACH, MU, DECAY = 8, 1.0, 2.0, 1e-4
    EPSILON_OUTPUTS, EPSILON_CANDIDATES = 0.35, 1.0
    PATIENCE, LONGEST = 12, 150
    """A phase ends when a dozen epochs have not changed its measure by the shares below, or after 150."""
    FALLS, RISES = 0.01, 0.03

    def __init__(self, sequences, inputs, rng):
        self.inputs, self.rng, self.hidden = inputs, rng, []
        self.sources, self.at = self._sources(sequences)
        self.target = sequences.target
        self.W = rng.uniform(-self.REACH, self.REACH, (inputs + 1, self.target.shape[1]))

    @property
    def weights(self):
        """Number of weights."""
        return self.W.size + sum(len(w) + 1 for w, _ in self.hidden)

    def grow(self, units):
        """Train until there are so many hidden units; yields after every epoch whether it has changed the outputs."""
        while True:
            yield from self._train_outputs()
            if len(self.hidden) == units:
                return
            yield from self._add_unit()

    def outputs(self, sequences):
        """Outputs at every step of Sequences, (steps, outputs)."""
        sources, at = self._sources(sequences)
        return expit(sources[at] @ self.W)

    def _sources(self, sequences):
        """(sources (time, number, sources), places of the steps in it): inputs, a bias, and the hidden units."""
        t = np.arange(len(sequences.x)) - np.repeat(sequences.starts[:-1], sequences.lengths)
        n = np.repeat(np.arange(len(sequences)), sequences.lengths)
        sources = np.zeros((t.max() + 1, len(sequences), self.inputs + 1))
        sources[t, n, sequences.x] = sources[t, n, -1] = 1.0
        for w, w_s in self.hidden:
            sources = np.concatenate([sources, unit(sources, w[:, None], w_s)], axis=-1)
        return sources, (t, n)

    def _errors(self):
        """(sources at every step, E (steps, outputs), mean squared error)."""
        seen = self.sources[self.at]
        y = expit(seen @ self.W)
        return seen, (y - self.target) * (y * (1 - y) + 0.1), float(np.mean((y - self.target) ** 2))

    def _train_outputs(self):
        step, best, last = Quickprop(self.W.shape, self.EPSILON_OUTPUTS / len(self.target), self.MU), np.inf, 0
        for epoch in range(self.LONGEST):
            seen, errors, loss = self._errors()
            if loss < best * (1 - self.FALLS):
                best, last = loss, epoch
            if epoch - last >= self.PATIENCE:
                return
            self.W = self.W + step(seen.T @ errors + self.DECAY * self.W)
            yield True

    def _add_unit(self):
        _, errors, _ = self._errors()
        errors = errors - errors.mean(axis=0)
        errors /= np.sqrt((errors**2).sum())
        w = self.rng.uniform(-self.REACH, self.REACH, (self.sources.shape[-1], self.POOL))
        w_s = self.rng.uniform(-self.REACH, self.REACH, self.POOL)
        epsilon = self.EPSILON_CANDIDATES / np.sqrt(len(self.target))
        steps, best, last = (Quickprop(w.shape, epsilon, self.MU), Quickprop(w_s.shape, epsilon, self.MU)), -np.inf, 0
        for epoch in range(self.LONGEST):
            v = unit(self.sources, w, w_s)
            correlation = errors.T @ v[self.at]  # the mean of V drops out: that of the errors is zero
            score = np.abs(correlation).sum(axis=0)
            if score.max() > best * (1 + self.RISES) or epoch == 0:
                best, last = score.max(), epoch
            if epoch - last >= self.PATIENCE:
                break
            pull = np.zeros_like(v)
            pull[self.at] = errors @ np.sign(correlation)
            slopes = candidates_slope(self.sources, v, w_s, pull)
            yield False
            w, w_s = w + steps[0](-slopes[0]), w_s + steps[1](-slopes[1])
        chosen = score.argmax()
        self.hidden.append((w[:, chosen], w_s[chosen]))
        self.sources = np.concatenate([self.sources, v[..., chosen, None]], axis=-1)
        self.W = np.vstack([self.W, -np.sign(correlation[:, chosen]) * np.abs(self.rng.uniform(0, self.REACH, self.W.shape[1]))])
