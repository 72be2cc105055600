"""The benchmark of faults: what is injected is what it says, confirmation refuses what is not true, and the table counts right."""

import numpy as np
import pytest

from benchmarks.faults.confirm import Task, confirmed, flow_truth
from benchmarks.faults.inject import FAULTS, Surgery
from benchmarks.faults.programs import CELLS, PROGRAMS, held_back
from benchmarks.faults.table import share, summary
from flowcheck import Network, compile_cell
from flowcheck.detectors import Finding
from flowcheck.flow import state_flow
from flowcheck.network import Readout, fresh


@pytest.fixture
def sine():
    return Task("sine", batch=4)


def net(cell, seed=0, inputs=1):
    layer = fresh(CELLS[cell], 8, inputs, seed).layers[0]
    if cell == "irnn":
        layer.params["b"][:] = 0.1
    rng = np.random.default_rng(seed)
    return Network("", (layer,), readout=Readout("head", rng.normal(size=(1, 8)), np.zeros(1)))


def answers(network, x):
    layer = network.layers[0]
    return network.readout(layer.run(x)[layer.cell.output.name])


@pytest.mark.parametrize("cell", CELLS)
def test_a_duplicate_is_one_and_changes_nothing_but_that_a_unit_is_held_at_its_mean(cell, sine):
    network = net(cell)
    fault = FAULTS["duplicate"](Surgery(network, sine.x), np.random.default_rng(0))
    first, second = sorted(fault.units)
    y = fault.network.layers[0].run(sine.x)["y"]
    np.testing.assert_allclose(y[..., first], y[..., second], atol=1e-12)
    expected = []
    for unit in (first, second):
        surgery = Surgery(network, sine.x)
        surgery.hold_at_mean(unit)
        expected.append(answers(surgery.done(), sine.x))
    assert min(np.abs(answers(fault.network, sine.x) - e).max() for e in expected) < 1e-9


@pytest.mark.parametrize("cell", ["tanh", "lstm", "lstm1997", "gru"])
def test_a_combination_is_one(cell, sine):
    fault = FAULTS["combination"](Surgery(net(cell), sine.x), np.random.default_rng(0))
    y = fault.network.layers[0].run(sine.x)["y"]
    off = [np.std(y[..., c] - y[..., a] - y[..., b]) / np.std(y[..., c]) for a, b, c in
           (np.roll(sorted(fault.units), k).tolist() for k in range(3))]
    assert min(off) < 1e-3


@pytest.mark.parametrize("cell", ["tanh", "irnn", "lstm", "gru"])
def test_a_bias_cell_is_constant_and_read(cell, sine):
    fault = FAULTS["bias_cell"](Surgery(net(cell), sine.x), np.random.default_rng(0))
    (unit,) = fault.units
    y = fault.network.layers[0].run(sine.x)["y"][..., unit]
    assert np.ptp(y) < 1e-6 and abs(y.mean()) > 0.1 and abs(fault.network.readout.W[0, unit] * y.mean()) > 0.01


@pytest.mark.parametrize("cell", ["tanh", "irnn", "lstm", "gru", "lstm_peephole"])
def test_where_the_state_is_lost_another_past_changes_nothing(cell, sine, rng):
    layer = FAULTS["lost_state"](Surgery(net(cell), sine.x), np.random.default_rng(0)).network.layers[0]
    kernel = compile_cell(layer.cell)
    runs = [kernel.forward(layer.params, sine.x, {old: rng.normal(size=(4, 8)) for old in kernel.states})["y"] for _ in range(2)]
    np.testing.assert_allclose(runs[0], runs[1], atol=1e-9)


@pytest.mark.parametrize("rule, evidence", [
    ("dead-cell", {}), ("bias-cell", {}), ("redundant-cell", {}), ("saturated", {"vector": "c"}), ("state-drift", {"state": "s"}),
    ("stuck-gate", {"gate": "y_in", "smallest": 0.3}), ("unused-recurrence", {}),
])
def test_a_finding_that_is_not_true_is_not_confirmed(rule, evidence):
    """On an LSTM whose read-out needs all units, which are driven hard enough to be far from linear."""
    network, task = net("lstm", inputs=6), Task("order", batch=16)
    network = Network("", network.layers, readout=Readout("head", np.full((4, 8), 5.0), np.zeros(4)))
    for name, array in network.layers[0].params.items():
        array *= 3.0 if name.startswith("W") else 1.0
    finding = Finding(rule, "lstm", 2, "warning", evidence, 0.0, "", "")
    assert not confirmed(finding, network, task.x, task)


def test_the_complex_step_meets_the_flow(sine):
    network = net("lstm")
    norms = flow_truth(network.layers[0], sine.x, 20)
    run = network.layers[0].run(sine.x)
    logs = np.mean([state_flow(run, 20, b=b).log10_norm[0] for b in range(4)], axis=0)
    np.testing.assert_allclose(np.log10(norms[1:]), logs, atol=1e-9)


def test_no_program_is_in_both_parts():
    """57 programs; those that thresholds may be set on have neither a new architecture nor a new task."""
    fitted = [program for program in PROGRAMS if not held_back(*program)]
    assert len(fitted) == 35 and len(set(PROGRAMS)) == 57
    assert not {"lstm_peephole", "echo", "flipflop", "maximum"} & {name for program in fitted for name in program}


def test_the_table_counts():
    assert share(0, 10)["interval"][1] == pytest.approx(0.3085, abs=1e-4) and share(0, 0)["share"] is None
    base = {"held_back": True, "baselines": ["kaldi"], "warned": [], "claimed": [], "false": [], "found": False}
    fault = base | {"kind": "fault", "fault": "silent", "rule": "dead-cell"}
    rows = [base | {"net": "a", "kind": "healthy", "claimed": ["dead-cell", "saturated"], "false": ["saturated"]},
            base | {"net": "b", "kind": "healthy"}, fault | {"net": "a", "found": True}, fault | {"net": "b", "false": ["dead-cell"]}]
    found = summary(rows, True)
    assert found["rules"]["dead-cell"]["recall"]["share"] == 0.5
    assert (found["rules"]["dead-cell"]["precision"]["hits"], found["rules"]["dead-cell"]["precision"]["of"]) == (2, 3)
    assert found["healthy"]["not confirmed"]["share"] == 0.5 and found["baselines"]["kaldi"]["healthy"]["share"] == 1.0
