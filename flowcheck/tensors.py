"""Error flow on tensors: the flows of `flow` on any device, in float64, float32 or with products in bfloat16.

Rows of errors are sent back by products with the transposed step (`step.Step.pullback`), all rows at once. How far lower precision
can be trusted is measured against float64 along the same trajectory.
"""

import math
from dataclasses import dataclass
from functools import partial
from textwrap import shorten

import numpy as np

from .flow import Flow, quantities, taken_by_sender
from .kernels import Trajectory, compile_cell
from .step import Step

__all__ = ["DTYPES", "Device", "cell_flows", "error_flow", "error_flows", "rounding_error", "state_flow"]

DTYPES = ("float64", "float32", "bfloat16")

_EPS = {"float64": 2.0**-52, "float32": 2.0**-23, "bfloat16": 2.0**-8}
_WORST = 1000.0
"""Multiple of eps that one step may leave of its largest intermediate, as in `scaled`. bfloat16 has no digits for that: there roundings are
taken as independent, 2 eps of the norm a step added in quadrature, and `rounding_error` says what they did."""


@dataclass(frozen=True)
class Device:
    """Where and how precisely to compute. Raises ValueError for a device that torch does not have, or where torch is missing.

    name    "cpu", "cuda", "cuda:1", ... as torch names them
    dtype   "float64", "float32", or "bfloat16": factors of products in bfloat16, accumulated in float32, all else in float32
    """

    name: str = "cpu"
    dtype: str = "float64"

    def __post_init__(self):
        try:
            import torch
        except ImportError:
            raise ValueError(f"device {self.name} needs torch, which is not installed; install it, or leave --device and --dtype "
                             "out") from None
        if self.dtype not in DTYPES:
            raise ValueError(f"dtype {self.dtype!r} is none of {', '.join(DTYPES)}")
        try:
            torch.empty(0, device=self.name)
        except (RuntimeError, AssertionError) as error:
            reason = shorten(str(error).splitlines()[0].partition(". ")[0].rstrip("."), 160)
            raise ValueError(f"torch has no device {self.name!r} here ({reason}); --device cpu always works") from None

    @property
    def _stored(self):
        return "float64" if self.dtype == "float64" else "float32"

    def kernel(self, cell):
        """The compiled cell."""
        return compile_cell(cell, "torch:bfloat16" if self.dtype == "bfloat16" else "torch")

    def run(self, layer, x):
        """Trajectory of tensors of a layer over x, an array (time, batch, inputs), in the layer's own direction."""
        import torch

        def put(array):
            return torch.as_tensor(np.ascontiguousarray(array), dtype=getattr(torch, self._stored), device=self.name)

        x = x[::-1] if layer.reverse else x
        return self.kernel(layer.cell).forward({k: put(v) for k, v in layer.params.items()}, put(x))


def state_flow(trajectory, lags, *, b=0, end=None, cut=()):
    """Flow of the joint state, d state(t)/d state(t-q), q = 1 ... lags; see `flow.state_flow`."""
    import torch

    states = trajectory.kernel.states
    sizes = [trajectory[new].shape[-1] for new in states.values()]
    eye = torch.eye(sum(sizes), dtype=trajectory[next(iter(states))].dtype, device=trajectory[next(iter(states))].device)
    seed = dict(zip(states.values(), torch.split(eye, sizes, dim=1), strict=True))
    found = []
    for q, adjoint, exponent, floor in _sent_back(trajectory, seed, b, end, cut):
        if q == lags:
            break
        found.append((*_size([adjoint[old] for old in states if old in adjoint]), floor, exponent))
    found += [(0.0, 0.0, 0.0, 0)] * (lags - len(found))
    cut = trajectory.kernel.cell.cut(cut)
    return _flow("state-to-state", cut, found, math.sqrt(sum(sizes)))


def error_flows(trajectory, sender, receivers, lags, *, b=0, end=None, cut=()):
    """{receiver: Flow} of d sender(t)/d receiver(t-q), q = 1 ... lags; see `flow.error_flows`."""
    import torch

    like = trajectory[sender]
    seed = {sender: torch.eye(like.shape[-1], dtype=like.dtype, device=like.device)}
    found = {receiver: [] for receiver in receivers}
    for q, adjoint, exponent, floor in _sent_back(trajectory, seed, b, end, cut):
        for receiver, rows in found.items():
            rows.append((*_size([adjoint[receiver]] if receiver in adjoint else []), floor, exponent))
        if q == lags:
            break
    cut = trajectory.kernel.cell.cut(cut)
    for rows in found.values():
        rows += [(0.0, 0.0, 0.0, 0)] * (lags + 1 - len(rows))  # no path is left
    return {receiver: _flow(f"{sender} to {receiver}", cut, rows[1:], rows[0][0]) for receiver, rows in found.items()}


def error_flow(trajectory, sender, receiver, lags, *, b=0, end=None, cut=()):
    """The Flow from one vector to one other; see `error_flows`."""
    return error_flows(trajectory, sender, [receiver], lags, b=b, end=end, cut=cut)[receiver]


def cell_flows(trajectory, lags, *, b=0, cut=()):
    """{quantity: Flow} of the quantities of the cell; see `flow.cell_flows`. Without bounds."""
    how = {"b": b, "cut": cut}
    return taken_by_sender(quantities(trajectory.kernel.cell), partial(state_flow, trajectory, lags, **how),
                           partial(error_flows, trajectory, lags=lags, **how))


def rounding_error(trajectory, lags, *, b=0, cut=(), probes=4):
    """(lags,) relative error of the state flow against float64, from a few random rows sent back in both along this very
    trajectory.

        |v J(t) ... J(t-q+1) in this precision - in float64| / |in float64|,   the root mean square over the rows v
    """
    import torch

    double = Trajectory(compile_cell(trajectory.kernel.cell, "torch"), *(
        {k: v.double() for k, v in arrays.items()}
        for arrays in (trajectory.params, trajectory.inputs, trajectory.values, trajectory.state0)))
    states = trajectory.kernel.states.values()
    generator = torch.Generator().manual_seed(0)
    seeds = {new: torch.randn(probes, trajectory[new].shape[-1], generator=generator, dtype=torch.float64) for new in states}
    runs = [_sent_back(run, {k: v.to(run[k]) for k, v in seeds.items()}, b, None, cut) for run in (trajectory, double)]
    errors = []
    for (_, low, shift, _), (_, high, exact, _) in zip(*runs, strict=True):
        if len(errors) == lags:
            break
        ours = torch.cat([low[old].double() for old in trajectory.kernel.states if old in low], dim=1)
        theirs = torch.cat([high[old] for old in trajectory.kernel.states if old in high], dim=1)
        size = float(torch.linalg.vector_norm(theirs))
        difference = float(torch.linalg.vector_norm(torch.ldexp(ours, torch.tensor(shift - exact, device=ours.device)) - theirs))
        errors.append(difference / size if size > 0 else math.inf if difference > 0 else 0.0)
    return np.array(errors)


def _sent_back(trajectory, rows, b, end, cut):
    """Yield (q, errors at every vector of step t-q and at the states before it, exponent, floor) of rows that start at step t = end.

    The rows are at vectors of step t; errors are times 2**exponent.
    """
    import torch

    kernel, step = trajectory.kernel, Step(trajectory, cut)
    end = trajectory.steps - 1 if end is None else end
    precision = kernel.namespace.partition(":")[2] or str(next(iter(rows.values())).dtype).removeprefix("torch.")
    eps, exponent, floor = _EPS[precision], 0, 0.0
    weights = {name: {s: _norm([w]) for s, w in live.items() if torch.is_tensor(w)} for name, live in step.live.items()}
    generator = torch.Generator().manual_seed(0)
    for name, m in rows.items():  # one random row more: how rounding errors travel
        probe = torch.randn(1, m.shape[1], generator=generator, dtype=torch.float64) / math.sqrt(m.shape[1])
        rows = {**rows, name: torch.cat([m, probe.to(m)])}
    travelled = _norm([m[-1:] for m in rows.values()])
    for q in range(end + 1):
        adjoint = step.pullback(step.partials_at(end - q, b), dict(rows))
        yield q, {name: m[:-1] for name, m in adjoint.items()}, exponent, floor
        rows = {new: adjoint[old] for old, new in kernel.states.items() if old in adjoint}
        if not rows:
            return
        added = sum(_norm([adjoint[net][:-1]]) * norm for net, norms in weights.items() if net in adjoint
                    for source, norm in norms.items() if source in kernel.states)
        norm, largest = _size([m[:-1] for m in rows.values()])
        before, travelled = travelled, _norm([m[-1:] for m in rows.values()])
        floor *= travelled / before if before > 0 else 0.0
        floor = math.hypot(floor, 2 * eps * norm) if precision == "bfloat16" else floor + _WORST * eps * (added + norm)
        shift = math.frexp(largest)[1]
        if abs(shift) > 16 and largest > 0:
            rows = {name: torch.ldexp(m, torch.tensor(-shift, device=m.device)) for name, m in rows.items()}
            exponent, floor, travelled = exponent + shift, math.ldexp(floor, -shift), math.ldexp(travelled, -shift)


def _norm(matrices):
    import torch

    return math.sqrt(sum(float(torch.linalg.vector_norm(m, dtype=torch.float64)) ** 2 for m in matrices))


def _size(matrices):
    """(Frobenius norm, largest |entry|)"""
    return _norm(matrices), max((float(m.abs().max()) for m in matrices if m.numel()), default=0.0)


def _log10(value):
    return math.log10(value) if value > 0 else -math.inf


def _flow(quantity, cut, measured, norm0):
    norm, entry, floor, exponent = np.array(measured, float).reshape(-1, 4).T
    with np.errstate(divide="ignore"):
        logs = [(np.log10(v) + exponent * math.log10(2.0))[None] for v in (norm, entry, floor)]
    return Flow(quantity, "truncated" if cut else "full", np.arange(1, len(norm) + 1), *logs, _log10(norm0))
