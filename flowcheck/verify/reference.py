"""A cell's forward pass by another hand: plain loops over units with mpmath numbers, from the definitions of the functions.

Shares the equations with `kernels` and nothing else: no array code, no compiled slopes, no stacked weights.
"""

import itertools
from functools import cache

import mpmath
import sympy

from ..equations import Net, axes_of
from ..notation import by_definition

__all__ = ["reference_forward"]


def reference_forward(cell, params, x, state0, lengths, dps=50):
    """{vector: [[mpf of unit i] of step t]} for one sequence; x is {input: [vector of step t]}, state0 {previous state: vector}.

    `lengths` {name: length} of every axis."""
    with mpmath.workdps(dps):
        state = {old.name: [mpmath.mpf(v) for v in state0[old.name]] for old in cell.state}
        formulas = {u.out.name: _formula(u) for u in cell.units}
        history = {e.out.name: [] for e in cell.equations}
        for t in range(len(next(iter(x.values())))):
            now = {name: [mpmath.mpf(v) for v in rows[t]] for name, rows in x.items()} | state
            for equation in cell.equations:
                name = equation.out.name
                if isinstance(equation, Net):
                    now[name] = _net(cell, params, equation, now, lengths)
                else:
                    columns = [now[s.name] for s in equation.reads]
                    now[name] = [formulas[name](*row) for row in zip(*columns, strict=True)]
                history[name].append(now[name])
            state = {old.name: now[new.name] for old, new in cell.state.items()}
        return history


@cache
def _formula(unit):
    return sympy.lambdify(unit.reads, by_definition(unit.formula), "mpmath")


def _net(cell, params, net, now, lengths):
    if net.fixed:
        return _fixed(cell, net, now, lengths)
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


def _fixed(cell, net, now, lengths):
    """Loops over the entries of the longer vector, each with its place along every axis."""
    source, short = now[net.sources[0].name], net.size if net.kind == "pooled" else cell.sizes[net.sources[0].name]
    long = net.size if net.kind == "shared" else cell.sizes[net.sources[0].name]
    if (short, long) == ("blocks", "units"):
        block_size = lengths["units"] // lengths["blocks"]
        place_of = [k // block_size for k in range(lengths["units"])]
    else:
        place_of = []
        for place in itertools.product(*(range(lengths[axis]) for axis in axes_of(long))):
            k = 0
            for axis, along in zip(axes_of(long), place, strict=True):
                if axis in axes_of(short):
                    k = k * lengths[axis] + along
            place_of.append(k)
    if net.kind == "shared":
        return [source[k] for k in place_of]
    total = [mpmath.mpf(0)] * (max(place_of) + 1)
    for value, k in zip(source, place_of, strict=True):
        total[k] += value
    return total
