"""A cell's forward pass by another hand: plain loops over units with mpmath numbers, from the definitions of the functions.

Shares the equations with `kernels` and nothing else: no array code, no compiled slopes, no stacked weights.
"""

import mpmath
import sympy

from ..equations import Net

__all__ = ["reference_forward"]


def reference_forward(cell, params, x, state0, block_size=1, dps=50):
    """{vector: [[mpf of unit i] of step t]} for one sequence; x is {input: [vector of step t]}, state0 {previous state: vector}."""
    with mpmath.workdps(dps):
        state = {old.name: [mpmath.mpf(v) for v in state0[old.name]] for old in cell.state}
        formulas = {u.out.name: sympy.lambdify(u.reads, sympy.sympify(u.formula).rewrite(sympy.exp), "mpmath") for u in cell.units}
        history = {e.out.name: [] for e in cell.equations}
        for t in range(len(next(iter(x.values())))):
            now = {name: [mpmath.mpf(v) for v in rows[t]] for name, rows in x.items()} | state
            for equation in cell.equations:
                name = equation.out.name
                if isinstance(equation, Net):
                    now[name] = _net(cell, params, equation, now, block_size)
                else:
                    columns = [now[s.name] for s in equation.reads]
                    now[name] = [formulas[name](*row) for row in zip(*columns, strict=True)]
                history[name].append(now[name])
            state = {old.name: now[new.name] for old, new in cell.state.items()}
        return history


def _net(cell, params, net, now, block_size):
    if net.kind == "shared":
        return [v for v in now[net.sources[0].name] for _ in range(block_size)]
    weights = {e.source: params[name] for name, e in cell.parameters.items() if e.net == net.out.name}
    length = len(next(iter(weights.values())))
    total = [mpmath.mpf(weights["1"][i]) if "1" in weights else mpmath.mpf(0) for i in range(length)]
    for s in net.sources:
        w, source = weights[s.name], now[s.name]
        for i in range(length):
            if net.kind == "diagonal":
                total[i] += mpmath.mpf(w[i]) * source[i]
            else:
                for j, value in enumerate(source):
                    total[i] += mpmath.mpf(w[i][j]) * value
    return total
