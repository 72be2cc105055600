"""Where errors enter: at single output steps, so that lags come apart, and everywhere."""

from dataclasses import dataclass

import numpy as np

__all__ = ["Seed", "confined", "errors_of_window", "last_step_seed", "make_seeds", "proved_time_axis", "seeds_at"]


@dataclass(frozen=True)
class Seed:
    """grad_outputs of one backward call. `t` is the one step at which the error enters; None: at several."""

    name: str
    grad_outputs: dict
    t: int | None


def make_seeds(functions, arguments, y, rng, everywhere=True):
    """[Seed]: an error at the last step, at the middle and at the first one, at each output without time, and everywhere."""
    errors, timed = _errors(functions, arguments, y, rng)
    zero = {k: np.zeros_like(v) for k, v in errors.items()}
    steps, seeds = arguments.steps, []
    if steps and timed:
        seeds += _at_steps(errors, timed, steps, {steps - 1: "the last step", 0: "the first step", steps // 2: f"step {steps // 2}"})
    if steps:
        seeds += [Seed(f"error at {k}", zero | {k: errors[k]}, steps - 1) for k in errors if k not in timed and len(errors) > 1]
    if everywhere or not seeds:
        seeds.append(Seed("errors at all steps", errors, None))
    return seeds


def seeds_at(functions, arguments, rng, times):
    """[Seed]: an error at each of some steps; none where no output has time."""
    errors, timed = _errors(functions, arguments, functions.outputs(arguments), rng)
    last = arguments.steps - 1
    return _at_steps(errors, timed, arguments.steps, {t: "the last step" if t == last else f"step {t}" for t in times}) if timed else []


def _errors(functions, arguments, y, rng):
    """{output: error}, {output with time: its axis}."""
    errors = {k: rng.normal(size=v.shape) for k, v in y.items() if np.issubdtype(v.dtype, np.floating)}
    axes = {k: functions.output_axis(k, y[k]) for k in errors}
    return errors, {k: a for k, a in axes.items() if a is not None and y[k].shape[a] == arguments.steps}


def _at_steps(errors, timed, steps, names):
    """[Seed]: the errors at each step of {step: its name} alone."""
    seeds = []
    for t, name in names.items():
        kept = {k: v * _mask(v.ndim, timed[k], np.arange(steps) == t) if k in timed else np.zeros_like(v) for k, v in errors.items()}
        if any(np.any(v) for v in kept.values()):
            seeds.append(Seed(f"error at {name}", kept, t))
    return seeds


def last_step_seed(functions, arguments, rng):
    """The Seed at the last step; None where no output has time."""
    seeds = make_seeds(functions, arguments, functions.outputs(arguments), rng)
    return next((s for s in seeds if s.t == arguments.steps - 1), None)


def _mask(ndim, axis, keep):
    return keep.reshape([-1 if i == axis else 1 for i in range(ndim)]).astype(float)


def confined(seed, functions, keep):
    """The seed's errors at the steps with keep[t] only; those at outputs without time stay if the last step is kept."""
    found = {}
    for k, v in seed.grad_outputs.items():
        axis = functions.output_axis(k, v)
        timed = axis is not None and v.shape[axis] == len(keep)
        found[k] = v * (_mask(v.ndim, axis, keep) if timed else float(keep[-1]))
    return found


def errors_of_window(seed, functions, steps, start, stop):
    """The seed's errors at the steps start ... stop-1 of `steps`; those at outputs without time as they are."""
    found = {}
    for k, v in seed.grad_outputs.items():
        axis = functions.output_axis(k, v)
        found[k] = np.take(v, np.arange(start, stop), axis=axis) if axis is not None and v.shape[axis] == steps else v
    return found


def proved_time_axis(functions, arguments, y, rng):
    """Axis 0 if the forward pass shows it to be time, else None.

    Shown: a change of an input at step t changes no output before t, changes some at t, and (unless t is the last) some after it.
    """
    shapes = {v.shape[0] for v in y.values() if v.ndim}
    inputs = {n: a for n, a in arguments.groups["inputs"].items() if a.ndim and a.shape[0] in shapes}
    lengths = {a.shape[0] for a in inputs.values()}
    if len(lengths) != 1 or lengths == {1}:
        return None
    steps = lengths.pop()
    t, changed = steps // 2, {}
    for name, a in inputs.items():
        a = a.copy()
        a[t] = a[t] + rng.normal(size=a[t].shape) if np.issubdtype(a.dtype, np.floating) else a[(t + 1) % steps]
        changed[name] = a
    t_last = t == steps - 1
    moved = functions.outputs(arguments.with_values(changed))
    early, late = False, False
    for k, v in y.items():
        if v.ndim and v.shape[0] == steps:
            differs = [not np.array_equal(moved[k][s], v[s], equal_nan=np.issubdtype(v.dtype, np.inexact)) for s in range(steps)]
            early, late = early or any(differs[:t]), late or any(differs[t + (0 if t_last else 1):])
    return 0 if late and not early else None
