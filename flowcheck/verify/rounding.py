"""How far rounding alone may take a gradient from what exact arithmetic gives: measured, with a stated chance of being exceeded.

To first order the rounding error of a number is e = sum_i k_i d_i over all operations, d_i the relative rounding of the i-th, |d_i| <= eps,
k_i what it does to the number. In perturbed arithmetic (see `perturbed`) the number moves by s = sum_i k_i A eps xi_i instead, so that m
runs show K, K^2 = sum_i k_i^2. With independent d_i of mean zero, P(|e| > a eps K) <= 2 exp(-a^2 / 2) (Hoeffding's inequality). The
density of s / (A eps K) is at most sqrt(2) 0.4 (the xi have 0.4 at most; Ball, 1986, Rogozin, 1987). With S the root mean square of s / A
over the runs, both give

    P(|e| > F S) <= integral of 2 exp(-F^2 |s|^2 / 2m) (0.4 sqrt(2))^m ds <= 2 (2m / F^2)^(m/2)

and F(m) = sqrt(2m) (2 / P)^(1/m) is what makes that P = 1e-9: 3e9 for one run, 9e4 for 2, 600 for 4, 58 for 8. Where something is wrong,
one run tells as a rule that rounding is not the reason.
"""

import numpy as np

from .perturbed import AMPLITUDE, perturbed_arithmetic

__all__ = ["FALSE_ALARM", "Rounding", "factor", "of_neighbours", "rounding_of", "student"]

FALSE_ALARM = 1e-9
"""Chance that rounding alone fails one comparison; a check makes up to some ten thousand."""
COUNTS = 1, 2, 4, 8
NEAR, NEIGHBOURS = 2.0**-12, 9
"""Distance, relative, and number of the neighbours on which an error is looked at where intermediate results cannot be perturbed."""
FRESH = 4 * NEAR
"""Largest relative error that may be rounding which neighbours show. A unit whose slope is off by e for the rounding of its value y has
1 - |y| = eps / 2e; a neighbour at distance d moves its net, at least 9 where e > sqrt(eps), by 9 d, and y by 18 d (1 - |y|), which is
9 d / e units of rounding: at least two, so its rounding is another, as long as e < 4 d."""


def factor(samples, chance=FALSE_ALARM):
    """F(m): rounding exceeds F times the root mean square of m samples with at most that chance."""
    return float(np.sqrt(2 * samples) * (2 / chance) ** (1 / samples))


def student(freedom, chance=FALSE_ALARM):
    """Student's t: a mean of normal numbers is off by more than that many of its estimated standard errors with that chance."""
    from scipy.special import stdtrit

    return float(-stdtrit(freedom, chance / 2))


class Rounding:
    """What rounding may do to one answer of a backward pass.

    answer   {entry: gradient}
    draw     draw() -> ({entry: gradient} of a perturbed run, whether results inside were perturbed, not the arguments only)
    samples  all that there are, where there is no `draw`; without any rounding counts as nothing
    weight   weight(number of samples): what their root mean square deviation is multiplied by
    """

    def __init__(self, answer, draw=None, samples=(), weight=lambda count: factor(count) / AMPLITUDE):
        self.answer, self.draw, self.samples, self.weight, self.inside = answer, draw, list(samples), weight, True

    def bound(self, along, enough=0.0):
        """Bound of the rounding error of the numbers along(gradients); more samples are drawn until it is below `enough`."""
        right, found = np.asarray(along(self.answer), float), 0.0
        if not self.draw and not self.samples:
            return found
        for count in COUNTS if self.draw else (len(self.samples),):
            while len(self.samples) < count:
                sample, self.inside = self.draw()
                self.samples.append(sample)
            with np.errstate(invalid="ignore"):
                apart = np.abs(np.array([along(sample) for sample in self.samples[:count]], float) - right)
            largest = float(apart.max(initial=0.0))
            if not np.isfinite(largest):
                return np.inf
            if largest > 0:  # divided first: squares of small numbers are zero
                largest *= float(np.sqrt(np.mean(np.square(apart / largest), axis=0)).max())
            found = self.weight(count) * largest
            if found <= enough:
                break
        return found

    def divided(self, number):
        """The Rounding of the answer divided by a number."""
        over = lambda grads: {k: None if g is None else g / number for k, g in grads.items()}  # noqa: E731

        def draw():
            sample, inside = self.draw()
            return over(sample), inside

        return Rounding(over(self.answer), draw)


def rounding_of(functions, arguments, grad_outputs, rng, answer=None):
    """The Rounding of backward's answer to one error, in the precision of that answer."""
    answer = functions.grads(arguments, grad_outputs) if answer is None else answer
    eps = max((float(np.finfo(g.dtype).eps) for g in answer.values() if g is not None and g.dtype.kind == "f"), default=0.0)

    own = np.random.default_rng(int(rng.integers(2**63)))  # so that how often it is drawn changes no direction chosen later

    def draw():
        with perturbed_arithmetic(own, eps) as noise:
            return functions.perturbed_grads(arguments, grad_outputs, noise)

    return Rounding(answer, draw)


def of_neighbours(error, again, arguments, rng):
    """Bound of a relative error where it is rounding, else 0: rounding is another at each neighbour, a mistake nearly the same.

    again(neighbour) -> relative error there. It is a mistake where the mean of the errors at ten places is not zero by Student's test.
    """
    if not abs(error) < FRESH:
        return 0.0
    errors = [error]
    for _ in range(NEIGHBOURS):
        signs = {n: rng.normal(size=a.shape) for n, a in arguments.values().items()}
        errors.append(again(arguments.moved(signs, NEAR)))
    spread, count = float(np.std(errors, ddof=1)), len(errors)
    if abs(float(np.mean(errors))) > student(count - 1) * spread / np.sqrt(count):
        return 0.0
    return student(count - 1) * spread * float(np.sqrt(1 + 1 / count))
