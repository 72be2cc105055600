"""Adding a cell is adding one file: forward, flow, verification, measurement, diagnosis and printing follow from it."""

import numpy as np
import pytest

from flowcheck import catalogue, check_cell, compile_cell, error_flow, state_flow
from flowcheck.detectors import diagnose
from flowcheck.formats import InputSet
from flowcheck.measure import measure, noise_inputs
from flowcheck.network import fresh
from flowcheck.report import documents, text
from flowcheck.report.comparison import compare_cells
from flowcheck.verify.ladder import check_claims

UGRNN = '''
"""Update gate recurrent net (Collins, Sohl-Dickstein & Sussillo 2017)."""

from flowcheck import Cell, CellClaim, Net, Unit
from flowcheck.notation import sigma, symbols, tanh

x, y_prev, net_g, g, net_c, y = symbols("x y_prev net_g g net_c y")
CELL = Cell(
    "ugrnn", "Collins, Sohl-Dickstein & Sussillo 2017", 2017, inputs=[x], state={y_prev: y}, output=y,
    equations=[
        Net(net_g, x, y_prev, bias=1.0), Unit(g, sigma(net_g)), Net(net_c, x, y_prev),
        Unit(y, g * y_prev + (1 - g) * tanh(net_c)),
    ],
    claims=[CellClaim("product:g", "y", "with the recurrent connections cut, flow is the product of the gates")],
)
'''


@pytest.fixture
def cells(tmp_path):
    (tmp_path / "ugrnn.py").write_text(UGRNN)
    return catalogue(tmp_path)


def test_its_forward_is_the_published_one(cells, rng):
    kernel = compile_cell(cells["ugrnn"])
    p, x = kernel.random_params(5, 3, rng), rng.normal(size=(7, 1, 3))
    y = np.zeros(5)
    for t in range(7):
        gate = 1 / (1 + np.exp(-(p["W_g_x"] @ x[t, 0] + p["W_g_y"] @ y + p["b_g"])))
        y = gate * y + (1 - gate) * np.tanh(p["W_c_x"] @ x[t, 0] + p["W_c_y"] @ y + p["b_c"])
        np.testing.assert_allclose(kernel.forward(p, x)["y"][t, 0], y, rtol=0, atol=1e-14)  # seven steps of sums of ten terms


def test_it_climbs_the_ladder_and_its_flow_is_measured(cells, rng):
    checks = check_cell(cells["ugrnn"], lags=30)
    assert {c.verdict for c in checks} == {"pass"} and {c.rung for c in checks} >= {"forward", "flow", "gradient", "claims"}
    network = fresh(cells["ugrnn"], 6, 3, 0)
    measured = measure(network, noise_inputs(network, 40, 0), 40)
    assert {m.flow.quantity for m in measured} >= {"state-to-state", "input-to-output", "y to net_g"}
    run = network.layers[0].run(rng.normal(size=(30, 1, 3)))
    assert state_flow(run, 20).above_floor == 20 and np.isfinite(error_flow(run, "y", "x", 20).log10_norm).all()


def test_it_is_diagnosed(cells, rng):
    network = fresh(cells["ugrnn"], 6, 3, 0)
    params = network.layers[0].params
    params |= {"b_g": params["b_g"] - 4}  # gates all but closed: what stood in the state is gone at once
    result = diagnose(network, [InputSet("mine", "ugrnn", rng.normal(size=(120, 2, 3)))], lags=60)
    assert {m.rate.verdict for m in result.measured} == {"vanishing"}
    assert ("vanishing-flow", "ugrnn") in {(f.rule, f.layer) for f in result.findings}


def test_it_is_printed_and_compared(cells):
    measured = {"ugrnn": check_claims(cells["ugrnn"], lags=20)}
    document = documents.cells(cells, measured, 20)
    assert document["cells"][0]["step_jacobian"][0]["formula"].endswith(" + diag(g)")
    assert "ugrnn" in text.cells_text(cells, measured, 20)
    assert "product:g" in text.cell_text(cells["ugrnn"], measured["ugrnn"], 20)
    (compared,) = compare_cells(cells, units=6, inputs=3, lags=50)
    assert np.isfinite(compared.relative).all() and "product of g" in compared.theory_words
