"""The trained nets of 1997 under reports/nets: they answer as their settings say, are small, and are diagnosed."""

import json
from pathlib import Path

import numpy as np
import pytest

from flowcheck import catalogue, compile_cell, load
from flowcheck.detectors import diagnose
from flowcheck.experiments.settings import Setting
from flowcheck.experiments.trials import TOLERANCE
from flowcheck.formats import read_inputs

NETS = Path(__file__).parent.parent / "reports" / "nets"
KNOWN = json.loads((NETS / "experiments.json").read_text())


@pytest.mark.parametrize("name", KNOWN)
def test_trained_nets_answer_rightly_and_are_diagnosed(name):
    setting, outcome = Setting.from_json(KNOWN[name]["setting"]), KNOWN[name]["outcome"]
    network, path = load(NETS / f"{name}.npz", catalogue()), NETS / f"{name}.io.npz"
    assert outcome["success"] and sum((NETS / f"{name}{end}").stat().st_size for end in (".npz", ".io.npz")) < 200_000
    assert network.layers[0].params["b_out"].shape == (setting.blocks,)
    (inputs,) = read_inputs(path, network)
    y = network.layers[0].run(np.asarray(inputs.x, float))["y"][-1]
    answer, x = 1 / (1 + np.exp(-network.readout(y))), np.asarray(inputs.x, float)
    if setting.experiment == "4":
        marked = np.where(x[..., 1] == 1.0, x[..., 0], 0.0).sum(axis=0)
        expected = (0.5 + marked / 4)[:, None]
    else:
        symbols = [[c - 6 for c in row if c >= 6] for row in x.argmax(axis=-1).T]
        expected = np.eye(4)[[2 * a + b for a, b in symbols]]
    wrong = (np.abs(answer - expected).max(axis=1) >= TOLERANCE[setting.experiment]).sum()
    assert wrong == 0 and len(expected) >= 4
    result = diagnose(network, [inputs], lags=100)
    assert {f["layer"] if isinstance(f, dict) else f.layer for f in result.findings} <= {"cells"}
    assert result.measured


def test_drift_costs_nothing_over_one_sequence_and_the_function_over_two_in_a_row():
    """Why it is info: over the lengths seen the net is right; without a reset between sequences it is not."""
    network = load(NETS / "order_1997.npz", catalogue())
    (inputs,) = read_inputs(NETS / "order_1997.io.npz", network)
    layer, x = network.layers[0].astype(float), np.asarray(inputs.x, float)
    first = layer.run(x)
    states = {old: first[new][-1, ::-1] for old, new in first.kernel.states.items()}  # each goes on after another one
    again = compile_cell(layer.cell).forward(layer.params, x, states)
    right, after = (1 / (1 + np.exp(-network.readout(run["y"][-1]))) for run in (first, again))
    expected = right > 0.5
    assert (np.abs(right - expected).max(axis=1) < TOLERANCE["6a"]).all()
    assert (np.abs(after - expected).max(axis=1) >= TOLERANCE["6a"]).mean() >= 0.5
    drifting = diagnose(network, [inputs], rules=["state-drift"]).findings
    assert [f.severity for f in drifting if f.evidence["lost"]] == ["info"]
