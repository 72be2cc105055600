"""From results to figures: which lines of a diagnosis, a measurement or the paper's curves are drawn, and captions."""

import re
from dataclasses import dataclass

import numpy as np

from ..detectors import state_drift
from .axes import FLOAT32_SMALLEST, Line
from .figures import cell_panel, decay_panels, drift_panels, flow_panel, path_panel
from .svg import figure_svg

__all__ = ["Drawn", "cell_figures", "curve_figures", "drift_figures", "flow_figures"]


@dataclass(frozen=True)
class Drawn:
    """One figure: its heading, its SVG texts (one per panel, or one for all when standalone), its caption."""

    title: str
    svgs: tuple
    caption: str


def _drawn(title, panels, label, caption, name, standalone):
    groups = [panels] if standalone else [[p] for p in panels]
    names = [re.sub(r"\W+", "-", f"{name}-{k}") for k in range(len(groups))]
    return Drawn(
        title, tuple(figure_svg(*g, label=label, name=n, standalone=standalone) for g, n in zip(groups, names)), caption
    )


def drift_figures(diagnosis, standalone=False):
    """One figure per layer and state with state-drift findings; each unit in the sequence in which it grows fastest."""
    drawn = []
    for context in diagnosis.contexts:
        ours = [f for f in diagnosis.findings if f.rule == state_drift.RULE and f.layer == context.layer.name]
        for state in dict.fromkeys(f.evidence["state"] for f in ours):
            chosen = [f for f in ours if f.evidence["state"] == state]
            drawn.append(
                _drift_figure(context, state, sorted(chosen, key=lambda f: -f.evidence["rate_per_step"]), standalone)
            )
    return drawn


def _drift_figure(context, state, findings, standalone):
    lines, slopes = [], []
    for f in findings:
        run, b = next((run, b) for run in context.runs for label, b in run.sequences if label == f.evidence["sequence"])
        size = np.abs(run.trajectory[state][:, b, f.unit])
        with np.errstate(divide="ignore"):
            slope = np.log10(state_drift.output_slope(context, run, state)[:, b, f.unit])
        steps, bold = np.arange(len(size)), f.severity == "error"
        lines.append(Line(f"u{f.unit}", steps, size, bold))
        slopes.append(Line(f"u{f.unit}", steps, slope, bold))
    drifting = [f.unit for f in findings]
    longest = max(run.trajectory.steps for run in context.runs)
    others = np.concatenate(
        [_padded(np.abs(np.delete(run.trajectory[state], drifting, axis=-1)), longest) for run in context.runs], axis=1
    )
    count = context.layer.units - len(drifting)
    low, high = np.nanpercentile(others, [5, 95], axis=1) if count else np.full((2, longest), np.nan)
    worst, reached = findings[0], max(float(line.y[-1]) for line in lines)
    gone = sum(bool(np.any(line.y < FLOAT32_SMALLEST)) for line in slopes)
    label = (
        f"Layer {context.layer.name}: |{state}(t)| of {len(findings)} drifting units over {longest} steps, "
        f"largest {reached:.3g}, fastest u{worst.unit} at {worst.evidence['rate_per_step']:.2g} a step; "
        f"the output slope of {gone} of them falls below 1e-45, which is zero in float32."
    )
    name = context.layer.name
    caption = (
        f"{len(findings)} of {context.layer.units} units of {name}, shown in the sequence in which each "
        f"grows fastest. An error that reaches {state} through the output is scaled by h′({state}(t)): for {gone} of "
        f"{len(findings)} it becomes zero in float32 within the sequence. Code that computes h′ from an h "
        "rounded to float32 (1 − h² for tanh) is at zero sooner, below about 10⁻⁷."
    )
    panels = drift_panels(lines, slopes, (np.arange(longest), low, high), count, state)
    return _drawn(
        f"Layer {context.layer.name}", panels, label, caption, f"drift-{context.layer.name}-{state}", standalone
    )


def _padded(values, steps):
    """(steps, sequences * units), short sequences filled with NaN at their end."""
    flat = values.reshape(len(values), -1)
    return np.pad(flat, ((0, steps - len(flat)), (0, 0)), constant_values=np.nan)


def _relative(flow, label, bold=False):
    """A Line of log10 norms relative to lag 0, which is its first point."""
    return Line(label, np.concatenate([[0], flow.lags]), np.concatenate([[0.0], flow.relative]), bold)


def flow_figures(measured, standalone=False):
    """One figure per layer: the flow of the joint state, and the full flow of every path to the output."""
    drawn = []
    for layer in dict.fromkeys(m.flow.layer for m in measured):
        flows = [m.flow for m in measured if m.flow.layer == layer]
        states = {f.gradient: f for f in flows if f.quantity == "state-to-state"}
        panels = []
        if states:
            first = next(iter(states.values()))
            floor = Line("rounding\nfloor", first.lags, first.log10_floor.max(axis=0) - first.log10_norm0)
            full, cut = (states.get(g) and _relative(states[g], g, g == "full") for g in ("full", "truncated"))
            panels.append(flow_panel(full, cut, floor, "state to state"))
        gradient = "full" if any(f.gradient == "full" for f in flows) else "truncated"
        paths = [
            _relative(f, _receiver(f.quantity))
            for f in flows
            if f.quantity != "state-to-state" and f.gradient == gradient
        ]
        if paths:
            panels.append(path_panel(paths, f"paths to the output, {gradient} gradient"))
        sequences, lags = len(flows[0].log10_norm), int(flows[0].lags[-1])
        label = f"Layer {layer}: log10 norm of error flow over {lags} lags relative to lag 0, for " + ", ".join(
            f"{f.quantity} ({f.gradient}), ending at {f.relative[-1]:.2g}"
            if np.isfinite(f.pooled[-1])
            else f"{f.quantity} ({f.gradient}), ending at exactly zero"
            for f in flows
        )
        caption = (
            f"Geometric mean over {sequences} sequence{'s' if sequences > 1 else ''}, Frobenius norm. "
            "Each curve is relative to its own norm at lag 0: 0 means that errors arrive unscaled."
        )
        drawn.append(_drawn(f"Layer {layer}", panels, label, caption, f"flow-{layer}", standalone))
    return drawn


def _receiver(quantity):
    return {"input-to-output": "x", "net-to-net": "net to net"}.get(quantity, quantity.rpartition(" to ")[2])


def cell_figures(compared):
    """One small figure per cell of a comparison."""
    drawn = []
    for c in compared:
        lags, last = c.flow.lags, int(c.flow.lags[-1])
        theory = None if c.theory is None else Line("", lags, c.theory)
        end = _end(Line("", lags, c.relative))
        label = f"{c.cell.name}: log10 norm of d {c.cell.output}(t)/d {c.cell.inputs[0]}(t-q) relative to lag 0, {end} at lag {last}"
        panel = cell_panel(Line("", lags, c.relative), theory, c.cell.name)
        drawn.append(_drawn(c.cell.name, [panel], label, c.theory_words, f"cell-{c.cell.name}", standalone=False))
    return drawn


def curve_figures(curves, standalone=False):
    """The paper's argument in one figure: what decays under BPTT and RTRL, and what the carousel keeps."""
    lines = [_relative(c.flow, c.label) for c in curves]
    lags = int(max(line.x[-1] for line in lines))
    label = (
        f"log10 norm of error flow over {lags} lags relative to lag 0: "
        + "; ".join(f"{c.label} ends at {_end(line)}" for c, line in zip(curves, lines, strict=True))
        + "."
    )
    caption = (
        "Each curve is relative to its own norm at lag 0: 0 means that errors arrive unscaled. "
        "Wide and dashed lines of a pair lie on each other: BPTT and RTRL "
        "compute the same product of step Jacobians, read from its two ends."
    )
    return [_drawn("Error flow over lag", decay_panels(lines), label, caption, "curves", standalone)]


def _end(line):
    return f"10^{line.y[-1]:.0f}" if np.isfinite(line.y[-1]) else "exactly zero"
