"""What the reference of a gradient check is: how the outputs move when one entry moves, by an oracle that knows nothing of backward.

Complex step where the forward pass bears it (tested, not assumed); else the forward-mode derivative that comes with the function, tested
against differences; else extrapolated differences with their error estimate.
"""

import numpy as np

from ..differences import extrapolated_differences
from ..oracles import complex_step, is_complex_safe

__all__ = ["Tangents"]

MOVES = 4


class Tangents:
    """Directional derivatives of the outputs. `words` says how they are computed, `exact` whether to rounding at any size."""

    def __init__(self, functions, arguments, rng, jvp=None, eps=np.finfo(float).eps):
        self.functions, self.jvp, self.eps, self.measured = functions, jvp, eps, None
        values = arguments.values()
        direction = {n: rng.normal(size=a.shape) for n, a in values.items()}
        run = lambda v: self._real_outputs(functions.outputs(arguments.with_values(v)))  # noqa: E731
        with np.errstate(all="ignore"):
            reason = is_complex_safe(run, values, direction) if eps < 1e-12 else "it computes in single precision"
        self.exact, self.reason = reason is None, reason
        self.words = "complex step"
        if self.exact:
            return
        self.words = f"extrapolated differences, since the complex step cannot judge this forward: {reason}"
        if jvp is not None:
            self._test_jvp(arguments, direction)
            self.words = f"the forward-mode derivative of the function, tested against differences ({reason})"

    def _real_outputs(self, outputs):
        return {k: v for k, v in outputs.items() if np.issubdtype(v.dtype, np.inexact)}

    def along(self, arguments, name, direction):
        """{output: tangent}, {output: error estimate} when entry `name` moves along a direction; name None: a dict of directions."""
        directions = direction if name is None else {name: direction}
        value = {k: arguments.values()[k] for k in directions}
        run = lambda v: self._real_outputs(self.functions.outputs(arguments.with_values(v)))  # noqa: E731
        if self.exact:  # all entries complex, as when it was tested: buffers made like one entry must hold what comes of another
            lifted = {k: a.astype(complex) for k, a in arguments.values().items()}
            return complex_step(lambda v: run(lifted | v), value, directions), {}
        if self.jvp is not None:
            moved = self.jvp(*arguments.copies(), directions)
            return {k: np.asarray(v, float) for k, v in moved.items()}, {}
        return extrapolated_differences(run, value, directions, self.eps, noise=self._noise(arguments))

    def _noise(self, arguments):
        """{output: rounding of forward}: by how much it moves when every argument moves by about a unit of rounding, most of a few times.

        Errors inside an expanding net grow as these do; eps times the output would be far too little.
        """
        if self.measured is None or self.measured[0] is not arguments:
            rng, found = np.random.default_rng(0), {}
            y = self._real_outputs(self.functions.outputs(arguments))
            for _ in range(MOVES):
                signs = {n: rng.normal(size=a.shape) for n, a in arguments.values().items()}
                moved = self._real_outputs(self.functions.outputs(arguments.moved(signs, self.eps)))
                found = {k: np.maximum(found.get(k, 0.0), np.abs(np.asarray(moved[k], float) - v)) for k, v in y.items()}
            self.measured = arguments, found
        return self.measured[1]

    def _test_jvp(self, arguments, direction):
        values = arguments.values()
        run = lambda v: self._real_outputs(self.functions.outputs(arguments.with_values(v)))  # noqa: E731
        reference, error = extrapolated_differences(run, values, direction, self.eps)
        given = self.jvp(*arguments.copies(), direction)
        for name, tangent in reference.items():
            allowed = 10 * error[name] + 1e-3 * np.abs(tangent).max(initial=0.0)
            if name not in given or not np.all(np.abs(np.asarray(given[name], float) - tangent) <= allowed):
                raise ValueError(f"jvp disagrees with differences of forward at output {name}; it cannot be the reference")
