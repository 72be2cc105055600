"""The linearised step of a cell: products with the step Jacobian and its transpose, with edges cut or not.

Works on the partial derivatives that `kernels` gives along a trajectory and on the weights; never unrolls.
"""

from copy import copy
from itertools import accumulate

from .equations import Net
from .forward import FIXED
from .kernels import TRANSPOSED

__all__ = ["Step"]


class Step:
    """One step of a cell, linearised along a trajectory: products with the step Jacobian J(t) and its transpose.

        J(t) = d state(t) / d state(t-1),   state = all states of the cell

    `pullback` sends errors back through one step (reverse order of the equations), `pushforward` carries changes forward.
    `jacobian.StepJacobian` forms J(t) itself, block by block.
    """

    def __init__(self, trajectory, cut=()):
        self.kernel = kernel = trajectory.kernel
        self.trajectory, self.cut = trajectory, kernel.cell.cut(cut)
        self.lengths = kernel.lengths(trajectory.params)
        self.maps = kernel.fixed_maps(self.lengths)
        self.live = {}  # net -> {source: weights} without the cut ones
        cut_pairs = {(e.net, e.source) for e in self.cut}
        for net in kernel.cell.nets:
            names = kernel.weights.get(net.out.name, {})
            self.live[net.out.name] = {
                s.name: trajectory.params[names[s.name]] if not net.fixed else None
                for s in net.sources if (net.out.name, s.name) not in cut_pairs
            }
        self._stack_previous_states()

    def _stack_previous_states(self):
        """One product per previous state instead of one per net."""
        self.stacks = {}
        for old in self.kernel.states:
            nets = [n.out.name for n in self.kernel.cell.nets if n.kind == "dense" and old in self.live[n.out.name]]
            if nets:
                self.stacks[old] = nets, self.kernel.xp.concatenate([self.live[n][old] for n in nets])

    def along(self, trajectory):
        """The same along another trajectory with the same weights."""
        other = copy(self)
        other.trajectory = trajectory
        return other

    def length(self, name):
        """Number of entries of a vector of the cell."""
        return self.lengths[self.kernel.cell.sizes[name]]

    @property
    def columns(self):
        """{state: slice} of its entries in the joint state, all states one below the other."""
        sizes = [self.length(new) for new in self.kernel.states.values()]
        return {new: slice(end - n, end) for new, n, end in zip(self.kernel.states.values(), sizes, accumulate(sizes), strict=True)}

    def partials_at(self, t, b=None):
        """Partial derivatives at one step: of the whole batch, or of sequence b."""
        where = t if b is None else (t, b)
        return {k: v if isinstance(v, float) else v[where] for k, v in self.trajectory.partials.items()}

    def pullback(self, slopes, adjoint):
        """Send errors back through one step: adds to `adjoint` what each vector of the step receives.

        `adjoint` maps names of vectors at t to errors (..., units); on return it also holds the errors at the
        nets, inputs and previous states. `slopes` comes from `partials_at`.
        """
        def add(name, error):
            adjoint[name] = adjoint[name] + error if name in adjoint else error

        for equation in reversed(self.kernel.cell.equations):
            name = equation.out.name
            error = adjoint.get(name)
            if error is None:
                continue
            if not isinstance(equation, Net):
                for arg in self.kernel.units[name].args:
                    slope = slopes.get((name, arg), 0.0)
                    if isinstance(slope, float) and slope == 1.0:
                        add(arg, error)
                    elif not (isinstance(slope, float) and slope == 0.0):
                        add(arg, error * slope)
                continue
            for source, w in self.live[name].items():
                if equation.fixed:
                    add(source, getattr(self.maps[name], TRANSPOSED[equation.kind])(error))
                elif equation.kind == "diagonal":
                    add(source, error * w)
                elif source not in self.stacks:
                    add(source, self.kernel.product(error, w))
        for old, (nets, stacked) in self.stacks.items():
            if all(n in adjoint for n in nets):
                add(old, self.kernel.product(self.kernel.xp.concatenate([adjoint[n] for n in nets], axis=-1), stacked))
            else:
                for n in nets:
                    if n in adjoint:
                        add(old, self.kernel.product(adjoint[n], self.live[n][old]))
        return adjoint

    def pushforward(self, slopes, tangent):
        """Carry a change forward through one step: `tangent` maps names to changes (..., units), filled in for the step."""
        for equation in self.kernel.cell.equations:
            name = equation.out.name
            if isinstance(equation, Net):
                pieces = [self._push_edge(equation, s, w, tangent[s]) for s, w in self.live[name].items() if s in tangent]
            else:
                pieces = [tangent[a] * slopes[name, a] for a in self.kernel.units[name].args
                          if a in tangent and (name, a) in slopes]
            if name in tangent:
                pieces.append(tangent[name])
            if pieces:
                tangent[name] = sum(pieces[1:], pieces[0])
        return tangent

    def _push_edge(self, net, source, w, change):
        if net.fixed:
            return getattr(self.maps[net.out.name], FIXED[net.kind])(change)
        return change * w if net.kind == "diagonal" else change @ w.T
