"""The abuse study: experiments 4 and 6a with and without negative biases of the output gates and of the input gates (section 4).

Every net is looked at while it learns and when it is done: cells that serve as biases, cells that say the same, states that drift, the
flow that is left. What is drawn for a look is not drawn from the trial's own random numbers, so that its outcome stays that of `run_trial`.
"""

from dataclasses import replace

import numpy as np

from ..detectors import diagnose
from ..detectors.bias_cell import HOLD, ZERO
from ..detectors.state_drift import output_slope
from ..formats import InputSet
from .settings import ALL
from .tables import rows
from .trials import Trial

__all__ = ["CONDITIONS", "EXPERIMENTS", "LOOKS", "settings", "watched"]

EXPERIMENTS = {"4": 50, "6a": 40}
"""Experiment: lag at which flow is measured, the task's least."""
CONDITIONS = {
    "neither": (False, False), "output gates": (True, False), "input gates": (False, True), "both": (True, True),
}
"""Name: whether output gates, whether input gates start with negative biases; else all of them start random in [-0.1, 0.1]."""
OUTPUT_GATES = {"4": (-2, -4), "6a": (-2, -4)}
"""The paper leaves those of experiments 4 and 6 random; these are the first two of experiment 3."""
LOOKS = (2_500, 5_000, 10_000, 20_000, 40_000, 80_000)
"""Training sequences after which a net is looked at, beside its end."""
DIAGNOSED, READ = 8, 64
RULES = ("bias-cell", "redundant-cell", "state-drift")


def settings(experiment):
    """{condition: Setting} of one experiment; everything as in its first row, but that all units have a bias, as in the paper."""
    base = replace(rows(experiment)[0].setting, biases=ALL)
    return {name: replace(base, output_gates=OUTPUT_GATES[experiment] if out else (), input_gates=base.input_gates if into else ())
            for name, (out, into) in CONDITIONS.items()}


def watched(setting, seed):
    """The outcome of `run_trial`, and "looks": what was found in the net after LOOKS sequences, as far as it got, and at its end."""
    trial, looks = Trial(setting, seed), []
    outcome = trial.run(lambda done: looks.append(look(trial, done)) if done in LOOKS else None)
    return outcome | {"looks": [*looks, look(trial, outcome["sequences"])]}


def look(trial, done):
    """{"sequences", a list of units for each rule, "constants", "slope", "flow", "rate"} of a net as it is now.

    constants   cells whose output at the last step, where it is read, could be held at its mean but not set to zero, by the thresholds
                of the detector `bias-cell`, which looks at all steps
    slope       per cell h'(s) at the last step relative to its largest value, a mean over sequences: what drift costs
    flow        log10 |d y(t)/d net_c(t-q)|, recurrent connections cut as in the rule of 1997, q the task's least lag; median over sequences
    rate        log10 per step of the full flow from state to state
    """
    network = trial.network()
    x = _of_one_length(trial)
    diagnosis = diagnose(network, [InputSet("fresh", "cells", x[:, :DIAGNOSED])], lags=EXPERIMENTS[trial.setting.experiment])
    found = {rule: sorted(f.unit for f in diagnosis.findings if f.rule == rule and f.severity != "info") for rule in RULES}
    flow = next(m.flow for m in diagnosis.measured if (m.flow.quantity, m.flow.gradient) == ("y to net_c", "truncated"))
    (context,) = diagnosis.contexts
    run = context.runs[0]
    y = network.layers[0].run(x)["y"][-1]
    left = float(np.median(flow.log10_norm[:, -1]))
    return {"sequences": done, **found, "constants": constants(y, network.readout.W),
            "slope": output_slope(context, run, "s")[-1].mean(axis=0).tolist(),
            "flow": left if np.isfinite(left) else None, "rate": float(context.state_flow.rate.per_step)}


def constants(y, W):
    """Cells of y (sequences, cells) that a read-out W takes for a bias."""
    spread = (y @ W.T).std(axis=0)
    held = (np.abs(W) * y.std(axis=0)).T / spread
    zeroed = np.abs(W * y.mean(axis=0)).T / spread
    return np.flatnonzero((held.max(axis=1) < HOLD.value) & (zeroed.max(axis=1) > ZERO.value)).tolist()


def _of_one_length(trial):
    """(time, READ, inputs) of fresh sequences of the task's least length, the trial's random numbers left as they were."""
    state, found = trial.rng.bit_generator.state, []
    trial.rng.bit_generator.state = np.random.default_rng(1997).bit_generator.state
    while len(found) < READ:
        s = trial.draw(20 * READ)
        found += [s.one(n)[0] for n in np.flatnonzero(s.lengths == (trial.setting.T or 100))]
    trial.rng.bit_generator.state = state
    x = np.stack(found[:READ], axis=1)
    return np.eye(trial.inputs)[x] if x.ndim == 2 else x
