"""How near a flow can come to its bound: a net is driven towards the bound by optimisation, since random nets stay far below it.

The largest ratio found says how tight a bound is; a ratio above 1 is a counterexample.
"""

import numpy as np
from scipy.optimize import minimize

from .. import flow
from .ladder import make_problem

__all__ = ["largest_ratio"]

STARTS, EVALUATIONS, UNITS = 2, 500, 2


def largest_ratio(numeric, cell, q, values_of, *, starts=STARTS, evaluations=EVALUATIONS, enough=np.inf):
    """log10 of the largest ratio of |flow entry| to its bound at lag q that L-BFGS finds over recurrent weights and inputs of a small net.

    numeric      the check of an inequality: its evaluate gives log10 of the bound
    values_of    (trajectory, params) -> values for evaluate
    starts       random nets to start from, with `evaluations` of the ratio for each
    enough       where the search ends: a ratio above it is all that is asked
    Differences of a smooth ratio guide it, kinks end it early: a lower estimate of the largest ratio.
    """
    best = -np.inf
    for seed in range(starts):
        problem = make_problem(cell, seed, steps=q + 1, units=UNITS, inputs=UNITS, block_size=1)
        free = [name for name, edge in problem.kernel.parameters.items() if edge in cell.recurrent_edges]
        start = np.concatenate([np.ravel(problem.params[name]) for name in free] + [problem.x.ravel()])

        def log10_ratio(point, problem=problem, free=free):
            params, end = dict(problem.params), 0
            for name in free:
                shape = np.shape(params[name])
                end, begin = end + int(np.prod(shape)), end
                params[name] = point[begin:end].reshape(shape)
            trajectory = problem.kernel.forward(params, point[end:].reshape(problem.x.shape), problem.state0)
            cut = cell.recurrent_edges if numeric.truncated else frozenset()
            *_, (_, matrices, exponent, _) = flow.flow_matrices(trajectory, numeric.sender, [numeric.receiver], q, cut=cut)
            largest = np.abs(matrices[numeric.receiver]).max()
            if largest == 0:
                return -np.inf
            return float(np.log10(largest) + exponent * np.log10(2) - numeric.evaluate(values_of(trajectory, params), q))

        def end_early(intermediate_result):
            if -intermediate_result.fun > enough:
                raise StopIteration

        with np.errstate(divide="ignore", invalid="ignore"):
            found = minimize(lambda point: -log10_ratio(point), start, method="L-BFGS-B", callback=end_early,
                             options={"maxfun": evaluations})
        best = max(best, -float(found.fun) if np.isfinite(found.fun) else log10_ratio(start))
        if best > enough:
            break
    return best
