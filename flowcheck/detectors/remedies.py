"""Remedies that can be applied to the weights of a net as it is: applied, and flow and function measured again, before and after.

A trained net is no fresh one: what a remedy would do to training is not tried, only what it does to the flow at once and what it costs in
function. Where the interval of the change covers zero nothing is claimed.
"""

from dataclasses import asdict, dataclass, replace

import numpy as np

from ..flow import state_flow
from ..flow.probes import probe_flow
from ..notation import ROUTINES
from .effects import effect
from .stuck_gate import gates, what_it_closes

__all__ = ["Trial", "try_remedies"]

MOST_ENDS = 4
"""Steps of a sequence from which flow is sent back, where there is only one sequence."""
SHIFT = 2.0
"""How far the bias of a gate is moved: from 0.5 to 0.88, or to 0.12."""
SMALLEST = -300.0
"""log10 that stands for a flow that is exactly zero."""


@dataclass(frozen=True)
class Trial:
    """One remedy for one rule on one layer, tried.

    quantity          what was measured, in words; before, after: its mean over `samples` sequences (or end steps of the only sequence)
    change, interval  mean of after - before over the samples, with its 95 % interval (Student's t); None for a single sample
    shown             the interval lies on the wanted side of zero
    function_change   root mean square change of what reads the layer, relative to its natural variation
    """

    rule: str
    layer: str
    remedy: str
    quantity: str
    before: float
    after: float
    change: float
    interval: tuple | None
    samples: int
    shown: bool
    function_change: float

    @property
    def words(self):
        """One line."""
        if self.interval is None:
            verdict = "one sample, so no interval and no claim"
        elif self.interval[0] <= 0 <= self.interval[1]:
            verdict = "the interval covers zero: no effect shown"
        else:
            verdict = "better" if self.shown else "worse"
        span = "" if self.interval is None else f" ({self.interval[0]:+.3g} to {self.interval[1]:+.3g})"
        return (f"{self.quantity} {self.before:.4g} -> {self.after:.4g}, change {self.change:+.3g}{span}: {verdict}; "
                f"outputs change by {self.function_change:.0%}")

    def as_json(self):
        """A dict of JSON values."""
        return asdict(self) | {"interval": None if self.interval is None else list(self.interval), "words": self.words}


def try_remedies(diagnosis, progress=lambda words: None):
    """The Diagnosis with a Trial for every remedy of its findings that weights can take."""
    trials = []
    for context in diagnosis.contexts:
        ours = [f for f in diagnosis.findings if f.layer == context.layer.name and (f.severity != "info" or f.evidence.get("lost"))]
        for rule in dict.fromkeys(f.rule for f in ours):
            units = [f.unit for f in ours if f.rule == rule and f.unit is not None]
            for name, params, measured in _remedies(context, rule, units):
                progress(f"{context.layer.name}: {name}")
                trials.append(_tried(context, rule, name, params, measured))
    return replace(diagnosis, trials=tuple(trials))


def _remedies(context, rule, units):
    """Yield (name, params, (quantity, wanted sign, function of a trajectory -> samples))."""
    roles = _roles(context.cell)
    if rule in ("vanishing-flow", "exploding-flow"):
        flow = _flow_quantity(context, rule)
        if rule == "vanishing-flow" and "memory" in roles:
            gate, opening = roles["memory"]
            yield f"bias of {gate} {opening * SHIFT:+g}", _biased(context, gate, opening * SHIFT), flow
            yield f"chrono initialisation of {gate}", _chrono(context, roles, flow[3]), flow
        square = [n for n, w in context.recurrent_weights().items() if w.shape[0] == w.shape[1]]
        if square and "memory" not in roles:
            for name, matrix in (("orthogonal", _nearest_orthogonal), ("identity", lambda w: np.eye(len(w)))):
                yield f"{name} recurrence", context.layer.params | {n: matrix(context.layer.params[n]) for n in square}, flow
    if rule == "state-drift" and "write" in roles:
        gate, opening = roles["write"]
        state = next(iter(_own_states(context)))

        def growth(run):
            size = np.abs(run[state][:, :, units])
            return (size[-1] - size[run.steps // 4]).mean(axis=-1) / (run.steps - run.steps // 4)

        yield f"bias of {gate} {-opening * SHIFT:+g} for these units", _biased(context, gate, -opening * SHIFT, units), (
            f"growth of |{state}| per step", -1, growth, None)
    if rule == "bias-cell" and "read" in roles:
        gate, opening = roles["read"]

        def constant(run):
            return np.abs(run[context.cell.output.name][:, :, units].mean(axis=0)).mean(axis=-1)

        yield f"bias of {gate} {-opening * SHIFT:+g} for these units", _biased(context, gate, -opening * SHIFT, units), (
            "|mean output|", -1, constant, None)
    if rule == "saturated" and units:
        nets = [n.out.name for n in context.cell.nets if not n.fixed]
        scaled = {name: _rows_scaled(context.layer.params[name], units) for name, e in context.cell.parameters.items() if e.net in nets}
        squash = next(u for u in context.cell.units if u.out == context.cell.output)
        slope, net = ROUTINES[squash.formula.slope.__name__], str(squash.formula.args[0])
        yield "incoming weights of these units times 0.1", context.layer.params | scaled, (
            "mean slope", 1, lambda run: slope(run[net][:, :, units]).mean(axis=(0, 2)), None)


def _roles(cell):
    """{"write" | "read" | "memory": (gate, +1 where a larger gate opens it, else -1)} read off the cell's formulas."""
    found = {}
    for gate, (low, high) in gates(cell).items():
        for end, opening in ((low, 1), (high, -1)):
            closed = what_it_closes(cell, gate, end)
            if closed in ("write", "read", "memory"):
                found.setdefault(closed, (gate, opening))
    return found


def _own_states(context):
    """States that are kept from step to step by a pointwise path."""
    return [new for new in context.kernel.states.values() if context.retention(context.runs[0], new) is not None]


def _bias_of(context, gate):
    unit = next(u for u in context.cell.units if u.out.name == gate)
    nets = {str(s) for s in unit.formula.free_symbols}
    return next(name for name, edge in context.cell.parameters.items() if edge.net in nets and edge.source == "1")


def _biased(context, gate, shift, units=None):
    """Params with the bias of a gate moved, of some units or all; units of a block share their gate."""
    name = _bias_of(context, gate)
    bias = np.array(context.layer.params[name])
    at = slice(None) if units is None else sorted({u * len(bias) // context.layer.units for u in units})
    bias[at] += shift
    return context.layer.params | {name: bias}


def _chrono(context, roles, lag):
    """Params with the biases of Tallec and Ollivier 2018: forget bias log U(1, lag - 1), input bias its negative."""
    gate, opening = roles["memory"]
    params, spread = dict(context.layer.params), None
    name = _bias_of(context, gate)
    spread = np.log(np.random.default_rng(0).uniform(1.0, max(lag - 1.0, 2.0), len(params[name])))
    params[name] = opening * spread
    writing, write_opening = roles.get("write", (gate, 1))
    if writing != gate:
        params[_bias_of(context, writing)] = -write_opening * spread
    return params


def _nearest_orthogonal(w):
    """The orthogonal matrix nearest to w (its polar factor)."""
    left, _, right = np.linalg.svd(np.asarray(w, float))
    return left @ right


def _rows_scaled(array, units):
    array = np.array(array)
    array[units] *= 0.1
    return array


def _flow_quantity(context, rule):
    """log10 of the flow at a lag relative to lag 0, sampled over sequences, or over end steps where there is one sequence.

    The lag: the one needed; else twice the horizon, where the flow is lost; the last one measured where it explodes.
    """
    measured = context.state_flow
    lag = int(measured.flow.lags[-1])
    if rule == "vanishing-flow":
        lag = min(lag, context.needs_lag or max(2 * (measured.rate.horizon or 1), 10))
    single = sum(run.trajectory.batch for run in context.runs) == 1

    def samples(run):
        ends = np.unique(np.linspace(lag + 1, run.steps - 1, MOST_ENDS).astype(int)) if single else [run.steps - 1]
        return np.array([_flow_at(run, lag, b, int(end), measured.probes) for b in range(run.batch) for end in ends])

    return f"log10 flow at lag {lag}", 1 if rule == "vanishing-flow" else -1, samples, lag


def _flow_at(run, lag, b, end, probes):
    if probes:
        part = run.sequence(b).window(end - lag, end + 1)
        norm = probe_flow(part, lag, count=probes).frobenius()[0][-1]
        return max(norm - 0.5 * np.log10(sum(part[new].shape[-1] for new in part.kernel.states.values())), SMALLEST)
    flow = state_flow(run, lag, b=b, end=end)
    return max(float(flow.log10_norm[0, -1] - flow.log10_norm0), SMALLEST)


def _tried(context, rule, name, params, measured):
    from scipy.stats import t

    quantity, wanted, samples, _ = measured
    before, after, function = [], [], 0.0
    for run in context.runs:
        old = run.trajectory
        new = context.kernel.forward(params, old.inputs, old.state0)
        before.append(samples(old))
        after.append(samples(new))
        function = max(function, effect(context, run, [new[context.cell.output.name] - old[context.cell.output.name]]))
    before, after = np.concatenate(before), np.concatenate(after)
    change, n = after - before, len(before)
    interval = None
    if n > 1:
        half = float(t.ppf(0.975, n - 1) * change.std(ddof=1) / np.sqrt(n))
        interval = (float(change.mean()) - half, float(change.mean()) + half)
    shown = interval is not None and (interval[0] > 0 if wanted > 0 else interval[1] < 0)
    return Trial(rule, context.layer.name, name, quantity, float(before.mean()), float(after.mean()), float(change.mean()), interval, n,
                 shown, float(function))
