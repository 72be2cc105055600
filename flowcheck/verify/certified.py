"""Claims in ball arithmetic: both sides of an equation enclosed, at exact weights, so that their difference has a rigorous bound.

The forward pass is plain loops over units in balls, from the definitions of the functions; the derivative is that of `oracles.ball_slope`;
the formula of the claim is evaluated in balls too. Needs python-flint (the extra `certified`).
"""

import contextlib
from dataclasses import replace

import numpy as np
import sympy

from ..claims import GradientCheck, ValueCheck
from ..equations import Net
from ..oracles import NotTrusted, ball_slope
from .ladder import make_problem
from .result import Mismatch

__all__ = ["certify"]

DIGITS, ALLOWED = 30, 1e-25
"""Each side is enclosed to 30 digits; formulas lose some to cancellation, so what the two may differ by is 25."""
LARGEST_LAG, UNITS, STEPS, FIRST_BITS = 10, 2, 4, 128
"""A run in balls takes milliseconds per step and entry, so nets are small and lags few; lags beyond are for floating point."""


def certify(check, numeric, cell):
    """The Check of one equation in balls, or why there is none. Raises Mismatch where the two sides provably differ."""
    check = replace(check, id=check.id.replace("/code", "/certified"), rung="certified")
    try:
        import flint  # noqa: F401
    except ImportError:
        return replace(check, verdict="inconclusive", words=f"{check.id}: python-flint is not installed; it is in flowcheck-rnn[certified]")
    try:
        bound, bits = _largest_difference(numeric, cell)
    except NotTrusted as error:
        return replace(check, verdict="inconclusive", words=f"{check.id}: {error}")
    words = f"{check.id}: the two sides differ by less than {bound:.1e}, relative and rigorous, in {bits} bits"
    if not bound <= ALLOWED:
        raise Mismatch(replace(check, verdict="fail", error=bound, tolerance=ALLOWED, words=words.replace("less than", "up to")))
    return replace(check, error=bound, tolerance=ALLOWED, detectable=ALLOWED, words=words)


def _largest_difference(numeric, cell):
    """(bound, bits) over the lags of a claim."""
    problem = make_problem(cell, 1, gain=0.9, steps=LARGEST_LAG + STEPS, units=UNITS, inputs=1, block_size=UNITS)
    if isinstance(numeric, ValueCheck):
        return _of_values(numeric, problem)
    if isinstance(numeric, GradientCheck):
        return _of_weights(numeric, problem)
    lags = [q for q in dict.fromkeys((numeric.lags[0], numeric.lags[-1], 3, LARGEST_LAG)) if q in numeric.lags and q <= LARGEST_LAG]
    found = [_of_flow(numeric, problem, q) for q in lags]
    return max(bound for bound, _ in found), max(bits for _, bits in found)


def _of_flow(numeric, problem, q):
    run, end = _Run(problem, numeric.truncated), problem.trajectory.steps - 1
    columns, most = [], 0
    for unit in range(problem.trajectory[numeric.receiver].shape[-1]):
        def sent(eps, unit=unit):
            return run(lambda t, name: (unit, eps) if (t, name) == (end - q, numeric.receiver) else None)[numeric.sender][-1]

        balls, bits = ball_slope(sent, DIGITS, FIRST_BITS)
        columns.append(balls)
        most = max(most, bits)
    exact = np.array(columns, object).T
    return _bound(lambda: numeric.evaluate(run.values(), q), exact, most), most


def _of_weights(numeric, problem):
    problem = replace(problem, state0={old: np.zeros_like(v) for old, v in problem.state0.items()})
    errors = np.arange(1, problem.trajectory[numeric.sender].shape[-1] + 1) / 4
    weight, found, most = problem.params[numeric.parameter], [], 0
    for place in np.ndindex(weight.shape):
        run = _Run(problem, numeric.truncated, moved=(numeric.parameter, place))

        def sent(eps, run=run):
            return [sum(float(a) * y for a, y in zip(errors, run(None, eps)[numeric.sender][-1], strict=True))]

        (ball,), bits = ball_slope(sent, DIGITS, FIRST_BITS)
        found.append(ball)
        most = max(most, bits)
    exact = _objects(found).reshape(weight.shape)
    return _bound(lambda: numeric.evaluate(run.values(), _objects([_ball(a) for a in errors])), exact, most), most


def _of_values(numeric, problem):
    with _precision(FIRST_BITS):
        values = _Run(problem, False).values()
    return _bound(lambda: numeric.evaluate(values), values[numeric.vector][-1], FIRST_BITS), FIRST_BITS


def _bound(claimed, exact, bits):
    """Upper bound of |claimed() - exact| relative to the largest |exact|, all in balls of so many bits."""
    with _precision(bits):
        size = max(a.abs_upper() for a in np.ravel(exact))
        difference = max(abs(_ball(a) - b).abs_upper() for a, b in zip(np.ravel(claimed()), np.ravel(exact), strict=True))
        return float(difference) if float(size) == 0 else float((difference / size).abs_upper())


@contextlib.contextmanager
def _precision(bits):
    import flint

    before, flint.ctx.prec = flint.ctx.prec, bits
    try:
        yield
    finally:
        flint.ctx.prec = before


def _ball(number):
    import flint

    return number if isinstance(number, flint.arb) else flint.arb(float(number))


def _objects(numbers):
    """An object array of numbers that NumPy would take for sequences."""
    array = np.empty(len(numbers), object)
    array[:] = numbers
    return array


def _moved(vector, move, t, name):
    """The vector with the entry moved that move(t, name) says; as it is without one."""
    found = move and move(t, name)
    return [v + found[1] if k == found[0] else v for k, v in enumerate(vector)] if found else vector


class _Run:
    """The forward pass of a problem in plain loops; connections that are cut read what an unmoved run gave."""

    def __init__(self, problem, truncated, moved=None):
        self.problem, self.cell = problem, problem.cell
        self.cut = problem.cell.recurrent_edges if truncated else frozenset()
        self.moved, self.unmoved = moved, None
        by_exp = [{"exp": lambda z: z.exp()}, "math"]
        self.formulas = {u.out.name: sympy.lambdify(u.reads, sympy.sympify(u.formula).rewrite(sympy.exp), by_exp) for u in self.cell.units}
        self.weights = {}
        for name, edge in self.cell.parameters.items():
            self.weights.setdefault(edge.net, []).append((name, edge))

    def values(self):
        """What a claim's formula reads: every vector, input and weight in balls."""
        history = self._forward(None, None)
        balls = {name: _objects([v for row in rows for v in row]).reshape(len(rows), -1) for name, rows in history.items()}
        given = {name: array[:, 0] for name, array in self.problem.trajectory.inputs.items()} | dict(self.problem.params)
        return balls | {name: _objects([_ball(v) for v in np.ravel(a)]).reshape(np.shape(a)) for name, a in given.items()}

    def __call__(self, move, eps=None):
        """{vector: [entries of step t]}; move(t, vector) -> (unit, eps) where an entry is moved; eps moves the weight `moved`."""
        if self.cut:
            self.unmoved = None
            self.unmoved = self._forward(None, None)
        return self._forward(move, eps)

    def _forward(self, move, eps):
        cell, inputs = self.cell, self.problem.trajectory.inputs
        state = {old.name: [_ball(v) for v in np.ravel(self.problem.state0[old.name])] for old in cell.state}
        history = {e.out.name: [] for e in cell.equations}
        for t in range(self.problem.trajectory.steps):
            given = {name: [_ball(v) for v in rows[t, 0]] for name, rows in inputs.items()}
            now = {name: _moved(given[name], move, t, name) for name in given} | state
            for equation in cell.equations:
                name = equation.out.name
                if isinstance(equation, Net):
                    now[name] = self._net(equation, now, t, eps)
                else:
                    columns = [now[s.name] for s in equation.reads]
                    now[name] = [self.formulas[name](*row) for row in zip(*columns, strict=True)]
                now[name] = _moved(now[name], move, t, name)
                history[name].append(now[name])
            state = {old.name: now[new.name] for old, new in cell.state.items()}
        return history

    def _net(self, net, now, t, eps):
        if net.fixed:
            source, length = now[net.sources[0].name], self.problem.trajectory[net.out.name].shape[-1]
            return [source[k * len(source) // length] for k in range(length)]
        total = [_ball(0)] * self.problem.trajectory[net.out.name].shape[-1]
        for name, edge in self.weights[net.out.name]:
            w = self.problem.params[name]
            source = [_ball(1)] if edge.source == "1" else self._source(edge, now, t)
            for place in np.ndindex(w.shape):
                weight = _ball(w[place]) + (eps if self.moved == (name, place) and eps is not None else 0)
                sender = place[-1] if len(place) > 1 or net.kind == "diagonal" and edge.source != "1" else 0
                total[place[0]] = total[place[0]] + weight * source[sender]
        return total

    def _source(self, edge, now, t):
        if edge not in self.cut or self.unmoved is None:
            return now[edge.source]
        new = next((n.name for o, n in self.cell.state.items() if o.name == edge.source), None)
        if new is None:
            return self.unmoved[edge.source][t]
        return self.unmoved[new][t - 1] if t else now[edge.source]
