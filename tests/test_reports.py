"""What is committed under reports/ is what the package makes: valid, complete, and made by the commands that it names."""

import json
from pathlib import Path

import jsonschema
import numpy as np
import pytest
from claims_of_paper import EVERY_CLAIM

from flowcheck import catalogue, error_flow, load, state_flow
from flowcheck.formats import prove_gate_order, read_inputs
from flowcheck.measure import noise_inputs
from flowcheck.network import fresh
from flowcheck.report import documents
from flowcheck.report.comparison import compare_cells

ROOT = Path(__file__).parent.parent
REPORTS = ROOT / "reports"


@pytest.mark.parametrize("name", ["paper", "recall_lstm"])
def test_the_report_is_valid_and_has_its_claims(name):
    found = json.loads((REPORTS / f"{name}.json").read_text())
    jsonschema.validate(found, documents.schema("flowcheck.report/1"))
    equations = found["derivations"]["equations"]
    if name == "paper":
        assert [e["id"] for e in equations] == [*EVERY_CLAIM]
        assert {"3.1 bound", "3.1 tau over n"} <= found["bounds"].keys() and all("by search" in words for words in found["bounds"].values())
        assert {str(number) for number in range(1, 42)} <= {e["id"] for e in equations}
    else:
        assert {"1", "2", "40", "41"} < {e["id"] for e in equations} and {e["section"] for e in equations} == {"3.1", "3.2", "A.2"}
    for e in equations:
        assert e["proof"].startswith("definition" if e["status"] == "definition" else "proved"), e["id"]
    assert f"`{found['command']}`" in (REPORTS / "README.md").read_text()
    assert found["command"] in (REPORTS / f"{name}.html").read_text().replace("&#39;", "'")


def test_the_comparison_is_valid_and_has_every_cell():
    found, page = json.loads((REPORTS / "cells.json").read_text()), (REPORTS / "cells.html").read_text()
    jsonschema.validate(found, documents.schema("flowcheck.comparison/1"))
    assert sorted(c["name"] for c in found["cells"]) == sorted(catalogue())
    assert f"`{found['command']}`" in (REPORTS / "README.md").read_text() and found["command"] in page
    for entry in found["cells"]:
        assert f'<figure id="{entry["name"]}">' in page and f'href="#{entry["name"]}"' in page
    verdicts = {c["name"]: c["verdict"] for c in found["cells"]}
    assert verdicts["carousel"] == "sustained" and verdicts["conventional"] == "vanishing" and verdicts["tdnn"] == "zero"


def test_the_closed_form_of_a_comparison_is_the_truncated_flow_of_the_state():
    for name in ("lstm", "carousel", "mozer"):
        cells = {name: catalogue()[name]}
        (compared,) = compare_cells(cells, units=5, inputs=3, lags=60, seed=1)
        network = fresh(cells[name], 5, 3, 1)
        ((_, runs),) = network.run_layers(noise_inputs(network, 60, 1))
        kept = state_flow(next(iter(runs.values())), 60, cut=True, state=cells[name].claims[0].state)
        relative = kept.log10_norm[0] - kept.log10_norm0
        np.testing.assert_allclose(compared.theory, relative[compared.flow.lags - 1], rtol=0, atol=1e-12)


def test_the_bound_of_a_comparison_holds_for_the_flow_between_nets():
    cells = {"tanh": catalogue()["tanh"]}
    (compared,) = compare_cells(cells, units=5, inputs=3, lags=40, seed=1)
    network = fresh(cells["tanh"], 5, 3, 1)
    ((_, runs),) = network.run_layers(noise_inputs(network, 40, 1))
    measured = error_flow(next(iter(runs.values())), "net", "net", 40)
    assert "bound" in compared.theory_words and np.all(measured.log10_entry[0][compared.flow.lags - 1] <= compared.theory)


def test_the_curves_of_the_paper_decay_and_hold():
    curves = {c["label"]: c["flow"] for c in json.loads((REPORTS / "paper.json").read_text())["curves"]}
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
