"""Diagnose trained nets: each detector is one file of this folder with RULE and `detect(context)`; the folder is the list.

`diagnose` runs every layer over real inputs and every detector over every layer; findings come sorted by severity.
"""

import importlib
import pkgutil
from dataclasses import dataclass

from ..measure import first_sequences
from .context import LayerContext, by_layer, contexts
from .cost import graded
from .finding import SEVERITIES, Finding, Threshold
from .losses import LOSSES, errors_of_targets, layer_errors
from .remedies import Trial, try_remedies

__all__ = [
    "Diagnosis", "Finding", "LOSSES", "LayerContext", "SEVERITIES", "Threshold", "Trial", "by_severity", "contexts", "detectors",
    "diagnose", "errors_of_targets", "try_remedies",
]


KEPT = 2**27
"""Bytes of a layer's runs that are kept with the diagnosis; larger ones are run again where a page shows them."""


@dataclass(frozen=True, repr=False)
class Diagnosis:
    """A network, its layers' contexts (runs and measured flows), the findings, most severe first, and the remedies that were tried.

    trials is None where none were asked for.
    """

    network: object
    contexts: tuple
    findings: tuple
    trials: tuple | None = None

    @property
    def measured(self):
        """The flows of all layers, as Measured."""
        return [m for context in self.contexts for m in context.measured]

    def __repr__(self):
        return f"<{type(self).__name__} of {self.network!r}, {len(self.findings)} findings, worst: {self.worst()}>"

    def worst(self):
        """The highest severity found, or None."""
        return max((f.severity for f in self.findings), key=SEVERITIES.index, default=None)


def detectors():
    """{rule: detect} of every detector file."""
    modules = [importlib.import_module(f"{__name__}.{m.name}") for m in pkgutil.iter_modules(__path__)]
    return {m.RULE: m.detect for m in modules if hasattr(m, "RULE")}


def diagnose(network, input_sets, *, lags=1000, needs_lag=None, progress=lambda words: None, starts=None, errors=None,
             rules=None):
    """Run every detector on every layer over the given InputSets. `progress` is told what is being looked at.

    lags        lags to measure, as far as the inputs reach
    needs_lag   the lag in steps over which the task has to remember, where it is known
    starts      {layer name: {label: state0}} of sequences that do not start from zero states
    errors      {label: dE/dy (time, batch, outputs of the last level)} of a loss (`losses`), by which flow is then weighed
    rules       those to run instead of all; flows are measured where one of them is about flow

    Raises ValueError for a layer that no inputs reach, and for sequences shorter than the lag needed; KeyError for an unknown rule.
    """
    found, looked = [], []
    chosen = detectors() if rules is None else {rule: detectors()[rule] for rule in rules}
    flows = any(rule.endswith("-flow") for rule in chosen)
    if errors is not None:
        progress("errors of the loss at every layer")
        errors = layer_errors(network, first_sequences(by_layer(input_sets)), errors, starts)
    for context in contexts(network, input_sets, lags, progress, needs_lag, starts, errors, flows):
        ours = []
        for rule, detect in chosen.items():
            progress(f"{context.layer.name}: {rule}")
            ours += detect(context)
        found += graded(ours, context.layer.n_outputs)
        if context.bytes > KEPT:
            context.give_up()
        looked.append(context)
    return Diagnosis(network, tuple(looked), by_severity(found))


def by_severity(findings):
    """Findings, most severe first, then by rule, layer and unit."""
    return tuple(sorted(findings, key=lambda f: (-SEVERITIES.index(f.severity), f.rule, f.layer, -1 if f.unit is None else f.unit)))
