"""Input and output weight conflict (section 3.2): one weight gets opposing updates over time, to store at one step, to protect at another.

A weight that several steps pull in opposite directions settles between them and serves neither; gates resolve that, as they can pass a
signal at one step and shut it out at another. Needs the errors of a loss.
"""

import numpy as np

from ..gradients import bptt
from .finding import Finding, Threshold
from .stuck_gate import gates, what_it_closes

RULE = "weight-conflict"
FEWEST = 4
"""Sequences below which a pattern in time cannot be told from chance."""
OPPOSED = Threshold(0.2, "set here: a fifth of all that moves a unit's weights is taken back at other steps, in every sequence alike")
CHANCE = Threshold(0.05, "false-alarm rate over all units of the layer, both kinds: Student's t over sequences, Bonferroni")


def detect(context):
    """Per unit, for the weights that it reads (input conflict) and those that read it (output conflict), from dE/dw at every step.

        g(t) = dE/dw at step t,   up = sum of g(t) over steps where the other sequences' mean is positive,   down = the same, negative

    Steps are sorted by the mean of all other sequences, so that chance alone leaves up and -down at zero. Reported: units for which both
    are above zero (one-sided t over sequences, corrected), and 2 min(up, -down) is at least a fifth of the sum of |g(t)|. Info where a gate
    of the cell can shut the path, else warning.
    """
    if context.errors is None:
        return []
    by_length = {}
    for run in context.runs:
        if run.label in context.errors:
            by_length.setdefault(run.trajectory.steps, []).append(run)
    found, sequences = {"input": [], "output": []}, 0
    for runs in by_length.values():
        batch = sum(run.trajectory.batch for run in runs)
        if batch >= FEWEST:
            for kind, rows in _opposition(context, runs, batch).items():
                found[kind].append(rows)
            sequences += batch
    return [f for kind, parts in found.items() if parts for f in _findings(context, kind, np.concatenate(parts), sequences)]


def _opposition(context, runs, batch):
    """{kind: (sequences, units, 3)} up, -down and sum |g| of every sequence, by leaving it out when the steps are sorted."""
    layer, kernel, gradients = context.layer, context.kernel, [bptt(run.trajectory, context.errors[run.label]) for run in runs]
    errors = {n: np.concatenate([g.net_errors[n] for g in gradients], axis=1) for n in gradients[0].net_errors}
    units, found = layer.units, {}
    states = {old for old, new in kernel.states.items() if new == context.cell.output.name}
    for name, edge in context.cell.parameters.items():
        if edge.source == "1" or layer.params[name].ndim != 2 or errors[edge.net].shape[-1] != units:
            continue
        source = np.concatenate([run.trajectory[edge.source] for run in runs], axis=1)
        for j in range(source.shape[-1]):
            g = errors[edge.net] * source[..., j:j + 1]  # (time, sequences, units that read it)
            found["input"] = found.get("input", 0.0) + _sorted_sums(g)
            if edge.source in states:
                if "output" not in found:
                    found["output"] = np.zeros((batch, units, 3))
                found["output"][:, j] += _sorted_sums(g).sum(axis=1)
    return found


def _sorted_sums(g):
    """(sequences, units, 3): up, -down, sum |g| of each sequence."""
    others = np.sign(g.sum(axis=1, keepdims=True) - g)
    up, down = np.where(others > 0, g, 0.0).sum(axis=0), np.where(others < 0, g, 0.0).sum(axis=0)
    return np.stack([up, -down, np.abs(g).sum(axis=0)], axis=-1)


def _findings(context, kind, rows, sequences):
    from scipy.stats import t as student

    total = np.maximum(rows[..., 2].mean(axis=0), 1e-300)
    shares = rows[..., :2] / total[None, :, None]
    mean, spread = shares.mean(axis=0), shares.std(axis=0, ddof=1) / np.sqrt(len(rows))
    with np.errstate(divide="ignore", invalid="ignore"):
        score = np.where(spread > 0, mean / spread, np.where(mean > 0, np.inf, 0.0)).min(axis=-1)
    critical = float(student.ppf(1 - CHANCE.value / (2 * context.layer.units), len(rows) - 1))
    opposed = 2 * mean.min(axis=-1)
    gate = _gate(context.cell, "write" if kind == "input" else "read")
    for unit in np.flatnonzero((score > critical) & (opposed >= OPPOSED.value)).tolist():
        evidence = {"kind": kind, "opposed_share": float(opposed[unit]), "t_statistic": float(min(score[unit], 1e6)),
                    "critical_t": critical, "gate": gate, "sequences": sequences, "chance_threshold": CHANCE.value,
                    "chance_threshold_source": CHANCE.source}
        words = (f"{opposed[unit]:.0%} of the updates of the weights {'that it reads' if kind == 'input' else 'that read it'} oppose each "
                 f"other over time: {kind} weight conflict")
        remedy = (f"{gate} can resolve it: train on, with its bias where it starts nearly shut" if gate else
                  f"use a cell with {'an input' if kind == 'input' else 'an output'} gate, which passes a signal at one step and shuts it "
                  "out at another (section 4)")
        yield Finding(RULE, context.layer.name, unit, "info" if gate else "warning", evidence, OPPOSED.value, OPPOSED.source, remedy, words)


def _gate(cell, closes):
    """The name of a gate that can shut the path, or None."""
    return next((gate for gate, ends in gates(cell).items() for end in ends if what_it_closes(cell, gate, end) == closes), None)
