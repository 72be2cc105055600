"""The curves of the paper's argument: error flow over lag under BPTT and RTRL, and what the carousel keeps."""

from dataclasses import dataclass, replace
from functools import partial

from .. import flow
from ..flow.rates import rate
from ..measure import Measured, noise_inputs
from ..network import fresh

__all__ = ["Curve", "paper_curves"]


@dataclass(frozen=True)
class Curve:
    """One curve: its label, what it shows in a sentence, and the Flow with its Rate."""

    label: str
    words: str
    measured: Measured

    @property
    def flow(self):
        return self.measured.flow

    @property
    def rate(self):
        return self.measured.rate


def paper_curves(cells, *, units=64, inputs=8, lags=1000, seed=0, progress=lambda words: None):
    """BPTT and RTRL on a conventional net, the LSTM of 1997 with the truncated gradient, the bare carousel; fresh weights, noise inputs.

    BPTT sends an error back from the last step; RTRL carries the derivative forward from one step. With the same weights and inputs
    both decay at one rate, as they are one product of step Jacobians read from its two ends.
    """
    curves, whole = [], partial(flow.state_flow, tail=0)
    for label, words, name, taken in (
        ("BPTT, conventional net", "error sent back from the last step, full gradient", "conventional", whole),
        ("RTRL, conventional net", "derivative carried forward from step 0, full gradient", "conventional", flow.forward_flow),
        ("LSTM of 1997, truncated", "error in the internal states s, recurrent connections cut", "lstm1997",
         lambda t, q: whole(t, q, cut=True, state="s")),
        ("bare carousel", "one linear unit with self-connection 1.0", "carousel", whole),
    ):
        progress(label)
        network = fresh(cells[name], units, inputs, seed)
        (layer, runs), = network.run_layers(noise_inputs(network, lags, seed))
        found = replace(taken(next(iter(runs.values())), lags), layer=layer.name)
        curves.append(Curve(label, words, Measured(found, rate(found))))
    return curves
