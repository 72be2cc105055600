"""The trained nets of 1997 under reports/nets: they answer as their settings say, are small, and are diagnosed."""

import json
from pathlib import Path

import numpy as np
import pytest

from flowcheck import catalogue, load
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
