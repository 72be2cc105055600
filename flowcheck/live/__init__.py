"""Diagnose a live net: `diagnose(module, inputs)` for a torch module with recurrent layers in it.

The module runs once, as it is (fused kernels, eval mode, compiled or not); what its recurrent layers were fed is captured, and their cells
are replayed from that and from their weights. So the diagnosis is that of the saved net, and nothing of the module changes.
"""

import json
from dataclasses import dataclass

from ..cells import catalogue
from ..detectors import Diagnosis, by_severity
from ..detectors import diagnose as diagnose_network
from ..network import Network
from ..targets import described
from .capture import captured
from .stacks import stacks

__all__ = ["LiveDiagnosis", "diagnose"]


@dataclass(frozen=True, repr=False)
class LiveDiagnosis(Diagnosis):
    """A Diagnosis that shows itself: `print` gives what the command prints, `json` what it writes, `write_page` its page."""

    inputs: str = ""

    def __str__(self):
        from ..report.text import diagnosis_text

        return diagnosis_text(self, self.inputs).rstrip("\n")

    def json(self):
        """The document flowcheck.diagnosis/1."""
        from ..report.documents import diagnosis, dumps

        return json.loads(dumps(diagnosis(self, self.inputs)))

    def write_page(self, path):
        """One self-contained HTML page."""
        from ..report.page import write_page

        write_page(path, title=f"Error flow in {self.network.source}", command="flowcheck.diagnose(module, inputs)", diagnosis=self,
                   inputs=self.inputs)


def diagnose(module, inputs, *, loss=None, lags=1000, needs_lag=None, progress=lambda words: None):
    """The LiveDiagnosis of a torch.nn.Module: every RNN, LSTM, GRU in it, and their Cells where a loop calls them.

    inputs     what the module is called with: a tensor or array, a tuple of arguments, or a dict of keyword arguments
    loss       a function of what the module gives to one number: flow is weighed by the errors that it sends back
    lags       lags to measure, as far as the inputs reach
    needs_lag  the lag in steps over which the task has to remember, where it is known

    The module runs in eval mode and is left as it was, without a gradient in its weights. Each recurrent layer is replayed in float64 from
    the inputs and initial states that it got, and the replay must meet the outputs that it gave; layers that feed each other directly are
    one stack.
    Raises TypeError for what is no module, ValueError where it has no recurrent layers, where none was called, and where a replay does not
    meet the module's own outputs.
    """
    parts = stacks(module, captured(module, inputs, loss), catalogue())
    found = [diagnose_network(stack.network, stack.sets, lags=lags, needs_lag=needs_lag, progress=progress, starts=stack.starts,
                              errors=stack.errors) for stack in parts]
    networks = [one.network for one in found]
    whole = networks[0] if len(networks) == 1 else Network(
        networks[0].source, tuple(layer for n in networks for layer in n.layers), notes=tuple(note for n in networks for note in n.notes))
    return LiveDiagnosis(whole, tuple(c for one in found for c in one.contexts), by_severity(f for one in found for f in one.findings),
                         inputs=" and ".join(dict.fromkeys(
                             described(stack.sets, "the module's inputs", lags, stack.given, stack.axes) for stack in parts)))
