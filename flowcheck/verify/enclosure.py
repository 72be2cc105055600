"""The whole gradient of a known cell in ball arithmetic: rigorous bounds on every entry, at someone's exact arguments.

Activations and their slopes come from the definitions of the functions, differentiated as power series of balls; nets are sums of
balls. The errors go back through `adjoint`. Needs python-flint (the extra `certified`).
"""

import contextlib

import numpy as np
import sympy

from ..equations import Net
from ..kernels import Trajectory
from ..oracles import NotTrusted
from .adjoint import Adjoint

__all__ = ["Enclosure", "precision"]

TARGET, MOST_BITS = 1e-12, 4096
"""Relative radius at which the bounds are narrow enough to judge double precision, and the precision at which they are given up."""


class Enclosure:
    """Balls around the gradient of a matched cell. `bits` is the precision that was needed.

    Raises NotTrusted where a formula has no ball arithmetic or the precision does not suffice, ImportError without python-flint.
    """

    def __init__(self, match, arguments, grad_outputs):
        import flint  # noqa: F401

        self.match, self.arguments, self.errors = match, arguments, match.errors(grad_outputs)
        self.bits = 128
        while True:
            with precision(self.bits):
                self.exact = self._gradients()
                if all(_radius(g) <= TARGET for g in self._pieces()):
                    return
            self.bits *= 2
            if self.bits > MOST_BITS:
                raise NotTrusted(f"{MOST_BITS} bits do not enclose the gradient to 12 digits")

    def _pieces(self):
        for name, balls in self.exact.items():
            axis = self.arguments.axis(name)
            yield from [balls] if axis is None else np.moveaxis(balls, axis, 0)

    def _gradients(self):
        adjoint = Adjoint(self._run())
        errors = {k: balls_of(v) for k, v in self.errors.items()}
        return self.match.gradients(self.arguments, adjoint.gradients(adjoint.backward(errors)))

    def _run(self):
        """Trajectory of balls, and the partial derivatives along it."""
        match, kernel, values = self.match, self.match.kernel, self.arguments
        params = match.params({n: balls_of(a) for n, a in values.groups["params"].items()})
        params = {n: a if a.dtype == object else balls_of(a) for n, a in params.items()}  # biases that no array holds
        given = {n: a for group in values.groups.values() for n, a in group.items()}
        x = balls_of(match.layout.cell_x(given[match.layout.x], values.axis(match.layout.x)))
        inputs = {s.name: x for s in match.cell.inputs}
        lengths, batch = kernel.lengths(params), x.shape[1]
        starts = match.state0(given)
        state0 = {old.name: balls_of(np.broadcast_to(starts.get(old.name, np.zeros((1, 1))), (batch, lengths[match.cell.sizes[old.name]])))
                  for old in match.cell.state}
        history, state = {e.out.name: [] for e in match.cell.equations}, dict(state0)
        maps, formulas = kernel.fixed_maps(lengths), {u.out.name: _formula(u) for u in match.cell.units}
        for t in range(len(x)):
            now = state | {name: array[t] for name, array in inputs.items()}
            for equation in match.cell.equations:
                name = equation.out.name
                if isinstance(equation, Net):
                    now[name] = self._net(equation, now, params, maps)
                else:
                    now[name] = np.frompyfunc(formulas[name], len(equation.reads), 1)(*(now[s.name] for s in equation.reads))
                history[name].append(now[name])
            state = {old.name: now[new.name] for old, new in match.cell.state.items()}
        run = Trajectory(kernel, params, inputs, {n: np.stack(v) for n, v in history.items()}, state0)
        run.partials = {(u.out.name, a.name): _slopes(formulas[u.out.name], k, [run[s.name] for s in u.reads])
                        for u in match.cell.units for k, a in enumerate(u.reads)}
        return run

    def _net(self, net, now, params, maps):
        if net.fixed:
            source, fixed = now[net.sources[0].name], maps[net.out.name]
            return fixed.repeat(source) if net.kind == "shared" else fixed.total(source)
        total = 0
        for name, edge in self.match.cell.parameters.items():
            if edge.net == net.out.name:
                w = params[name]
                batch = next(iter(now.values())).shape[0]
                part = np.stack([w] * batch) if edge.source == "1" else now[edge.source] * w if net.kind == "diagonal" \
                    else now[edge.source] @ w.T
                total = part + total
        return total


def _formula(unit):
    """The unit's formula for balls. It raises NotTrusted where a function in it has no ball arithmetic, or leaves it for plain numbers."""
    formula = sympy.lambdify(unit.reads, sympy.sympify(unit.formula).rewrite(sympy.exp), [{"exp": lambda z: z.exp()}, "math"])

    def in_balls(*numbers):
        try:
            found = formula(*numbers)
        except (TypeError, AttributeError) as error:
            raise NotTrusted(f"the formula of {unit.out} has no ball arithmetic ({error})") from None
        if isinstance(found, float):
            raise NotTrusted(f"the formula of {unit.out} has no ball arithmetic: it computes in double precision")
        return found

    return in_balls


def _slopes(formula, k, columns):
    """d unit / d its k-th argument, in balls."""
    import flint

    def slope(*numbers):
        moved = formula(*(flint.arb_series([v, 1]) if j == k else v for j, v in enumerate(numbers)))
        found = moved.coeffs() if isinstance(moved, flint.arb_series) else []
        return found[1] if len(found) > 1 else flint.arb(0)

    return np.frompyfunc(slope, len(columns), 1)(*columns)


def balls_of(array):
    """An object array of exact balls."""
    import flint

    balls = np.empty(np.shape(array), object)
    balls.ravel()[:] = [flint.arb(float(v)) for v in np.ravel(array)]
    return balls


def _radius(balls):
    """Largest radius relative to the largest ball; 0 where all are exactly zero."""
    import flint

    flat = [b for b in np.ravel(balls) if isinstance(b, flint.arb)]
    size = max((b.abs_upper() for b in flat), default=flint.arb(0))
    widest = max((b.rad() for b in flat), default=flint.arb(0))
    return float(widest / size) if size > 0 else 0.0


@contextlib.contextmanager
def precision(bits):
    import flint

    before, (flint.ctx.prec, flint.ctx.cap) = (flint.ctx.prec, flint.ctx.cap), (bits, 2)
    try:
        yield
    finally:
        flint.ctx.prec, flint.ctx.cap = before
