"""The captured calls of one recurrent module as sequences: time first, of equal length, with the states that they start from."""

from dataclasses import dataclass

import numpy as np

from .capture import goes_on

__all__ = ["Sequences", "sequences"]


@dataclass(frozen=True)
class Sequences:
    """Sequences of one length: x (time, batch, inputs), output (time, batch, outputs), both float64.

    state0    per layer of the module, in the order of torch's states: a tuple of (batch, units) arrays, or None for zeros
    rounding  unit of the last place of the module's own numbers at 1
    error     dE/d output, like output; None without a loss
    """

    x: np.ndarray
    output: np.ndarray
    state0: list
    rounding: float
    error: np.ndarray | None = None


def sequences(used, most):
    """({label: Sequences}, how many sequences there were) of a module's calls: one per call and length of sequence; of a Cell one per
    unbroken run of calls. The first `most` sequences are taken."""
    if used.is_cell:
        calls = _unbroken(used.calls)
    else:
        calls = [_rolled(used.module, call) for call in used.calls]
    found, left = {}, most
    for number, groups in enumerate(calls):
        for x, output, error, state0, rounding in groups:
            if left > 0 and x.shape[0]:
                label = f"call {number}" if len(calls) > 1 else "inputs"
                label += f", {x.shape[0]} steps" if len(groups) > 1 else ""
                take = min(left, x.shape[1])
                left -= take
                start = [None if s is None else tuple(part[:take] for part in s) for s in state0]
                found[label] = Sequences(x[:, :take], output[:, :take], start, rounding, None if error is None else error[:, :take])
    return found, sum(x.shape[1] for groups in calls for x, *_ in groups if x.shape[0])


def _array(tensor):
    return tensor.detach().cpu().double().numpy()


def _rounding(tensor):
    import torch

    return torch.finfo(tensor.dtype).eps


def _rolled(module, call):
    """[(x, output, error, state0, rounding)] of one call of a module that runs over time; one per length where sequences are packed."""
    directions, parts = 1 + module.bidirectional, [p for p in (call.x, call.output, call.error) if p is not None]
    if hasattr(call.x, "batch_sizes"):
        from torch.nn.utils.rnn import pad_packed_sequence

        padded = [pad_packed_sequence(p) for p in parts]
        rounding, lengths = _rounding(padded[0][0]), padded[0][1].numpy()
        x, output, *error = (_array(p) for p, _ in padded)
    else:
        rounding = _rounding(call.x)
        if call.x.dim() == 2:
            parts = [p[:, None] for p in parts]
        elif module.batch_first:
            parts = [p.transpose(0, 1) for p in parts]
        x, output, *error = map(_array, parts)
        lengths = np.full(x.shape[1], len(x))
    states = [None] * (module.num_layers * directions)
    if call.states is not None and any(bool(s.any()) for s in call.states):
        parts = [_array(s if s.dim() == 3 else s[:, None]) for s in call.states]  # (layers x directions, batch, units)
        states = [tuple(part[k] for part in parts) for k in range(len(states))]
    groups = []
    for n in sorted(set(lengths.tolist()), reverse=True):
        at = np.flatnonzero(lengths == n)
        errors = error[0][:n, at] if error else None
        groups.append((x[:n, at], output[:n, at], errors, [None if s is None else tuple(part[at] for part in s) for s in states], rounding))
    return groups


def _unbroken(calls):
    """[[(x, output, error, state0, rounding)]] of runs of a Cell's calls, each starting where the one before ended."""
    runs = []
    for call in calls:
        if goes_on(runs[-1][-1] if runs else None, call.states):
            runs[-1].append(call)
        else:
            runs.append([call])
    found = []
    for run in runs:
        x, output, error = (None if getattr(run[0], what) is None else
                            np.stack([_array(t if t.dim() == 2 else t[None]) for t in (getattr(c, what) for c in run)])
                            for what in ("x", "output", "error"))
        first = run[0].states
        zero = first is None or not any(bool(s.any()) for s in first)
        state0 = None if zero else tuple(_array(s if s.dim() == 2 else s[None]) for s in first)
        found.append([(x, output, error, [state0], _rounding(run[0].x))])
    return found
