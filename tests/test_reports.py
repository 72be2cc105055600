"""What is committed under reports/ is what the package makes: valid, complete, and made by the commands that it names."""

import json
from pathlib import Path

import jsonschema
import numpy as np
import pytest

from flowcheck import catalogue, load
from flowcheck.claims import load as load_claims
from flowcheck.formats import prove_gate_order, read_inputs
from flowcheck.report import documents

ROOT = Path(__file__).parent.parent
REPORTS = ROOT / "reports"


@pytest.mark.parametrize("name", ["paper", "recall_lstm"])
def test_the_report_is_valid_and_has_every_claim(name):
    found = json.loads((REPORTS / f"{name}.json").read_text())
    jsonschema.validate(found, documents.schema("flowcheck.report/1"))
    claims = load_claims(ROOT / "derivations")
    assert [e["id"] for e in found["derivations"]["equations"]] == [c.id for c in claims]
    assert {e["proof"] for e in found["derivations"]["equations"]} == {"proved"}
    assert f"`{found['command']}`" in (REPORTS / "README.md").read_text()
    assert found["command"] in (REPORTS / f"{name}.html").read_text().replace("&#39;", "'")


def test_the_curves_of_the_paper_decay_and_hold():
    curves = {c["label"]: c for c in json.loads((REPORTS / "paper.json").read_text())["curves"]}
    for label, verdict in {"BPTT, conventional net": "vanishing", "RTRL, conventional net": "vanishing",
                           "LSTM of 1997, truncated": "sustained", "bare carousel": "sustained"}.items():
        assert curves[label]["lags"] == list(range(1, 1001)) and curves[label]["verdict"] == verdict
    back, forward = (curves[f"{rule}, conventional net"]["rate_interval"] for rule in ("BPTT", "RTRL"))
    assert back[0] < forward[1] and forward[0] < back[1]


@pytest.mark.parametrize("name", ["recall_lstm", "recall_lstm_plain"])
def test_the_small_nets_give_the_states_beside_them(name):
    network = load(REPORTS / "nets" / f"{name}.npz", catalogue())
    (inputs,) = read_inputs(REPORTS / "nets" / f"{name}.io.npz", network)
    assert "proved" in prove_gate_order(network.layers[0], inputs.x, inputs.h).gate_order
    assert np.abs(inputs.h).max() > 0.01
