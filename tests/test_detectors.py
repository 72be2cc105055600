"""Detectors of cells on nets with one planted fault, on the same nets without it, and on what looks like the fault and is none."""

import numpy as np
import pytest

from flowcheck import Layer, Network, catalogue
from flowcheck.cells import get
from flowcheck.detectors import Finding, detectors, diagnose
from flowcheck.detectors.cost import graded
from flowcheck.detectors.stuck_gate import gates, what_it_closes
from flowcheck.formats import InputSet
from flowcheck.network import Readout, fresh

UNITS = 8


@pytest.fixture
def noise(rng):
    return rng.normal(size=(240, 2, 3))


def changed(cell, seed=0, units=UNITS, **rows):
    """A fresh layer with rows of its weights set: {parameter: {unit: value}}."""
    layer = fresh(catalogue()[cell], units, 3, seed).layers[0]
    params = {k: v.copy() for k, v in layer.params.items()}
    for name, values in rows.items():
        for unit, value in values.items():
            params[name][unit] = value
    return Layer("cells", layer.cell, params)


def found(layer, x, rule, readout=None):
    network = Network("", (layer,), readout=readout)
    return [*diagnose(network, [InputSet("noise", "cells", x)], rules=[rule]).findings]


def test_the_folder_is_the_list_of_detectors():
    assert set(detectors()) == {
        "bias-cell", "dead-cell", "exploding-flow", "length-dependent", "redundant-cell", "saturated", "state-drift", "stuck-gate",
        "unused-recurrence", "vanishing-flow", "weight-conflict"}


def test_every_rule_runs_on_every_cell(cell, rng):
    """Gates fed by several nets (peepholes), outputs that are a net (projections, state spaces), states without squashing."""
    network = fresh(cell, 4, 3, 0)
    for f in diagnose(network, [InputSet("noise", network.layers[0].name, rng.normal(size=(100, 2, 3)))], lags=2).findings:
        assert f.rule in detectors() and f.words and f.evidence


def test_an_unknown_rule_is_refused(noise):
    with pytest.raises(KeyError, match="bias"):
        found(changed("tanh"), noise, "bias")


def test_a_silent_cell_is_dead(noise):
    (finding,) = found(changed("lstm", b_out={3: -60.0}), noise, "dead-cell")
    assert (finding.unit, finding.evidence["cause"]) == (3, "silent")


def test_a_dead_cell_that_does_not_move_is_not_said_to(noise):
    """Unit 5 stays where its bias puts it and nobody reads it; in the other layer all weights are zero."""
    layer, silent = changed("tanh"), changed("tanh")
    layer.params["W_x"][5], layer.params["W_y"][5], layer.params["W_y"][:, 5], layer.params["b"][5] = 0.0, 0.0, 0.0, 0.5
    (finding,) = found(layer, noise, "dead-cell", Readout("head", np.where(np.arange(UNITS) == 5, 0.0, 1.0)[None], np.zeros(1)))
    assert finding.unit == 5 and "it stays at 0.46, but nothing reads it" in finding.words
    for array in silent.params.values():
        array[:] = 0.0
    dead = found(silent, noise, "dead-cell")
    assert [f.unit for f in dead] == [*range(UNITS)] and all("it never leaves zero" in f.words for f in dead)


def test_a_cell_that_nobody_reads_is_dead(noise):
    layer = changed("lstm")
    for gate in ("in", "f", "c", "out"):
        layer.params[f"W_{gate}_y"][:, 5] = 0.0
    readout = Readout("head", np.where(np.arange(UNITS) == 5, 0.0, 1.0)[None], np.zeros(1))
    (finding,) = found(layer, noise, "dead-cell", readout)
    assert (finding.unit, finding.evidence["cause"]) == (5, "unread")
    assert finding.evidence["effect_set_to_zero"] == 0.0


@pytest.mark.parametrize("head", [True, False], ids=["read by a read-out", "read by unknown"])
def test_a_cell_outside_the_recurrence_that_is_read_is_not_dead(noise, head):
    layer = changed("lstm")
    for gate in ("in", "f", "c", "out"):
        layer.params[f"W_{gate}_y"][:, 5] = 0.0
    assert found(layer, noise, "dead-cell", Readout("head", np.ones((1, UNITS)), np.zeros(1)) if head else None) == []


def twins(cell, first=2, second=6):
    """A layer whose second unit has the first one's incoming weights: they store the same thing."""
    layer = changed(cell)
    for array in layer.params.values():
        array[second] = array[first]
    return layer


@pytest.mark.parametrize("cell", ["lstm", "gru", "tanh"])
def test_one_of_two_equal_cells_is_redundant(noise, cell):
    (finding,) = found(twins(cell), noise, "redundant-cell")
    assert finding.unit in (2, 6)
    (double,) = [r for r in finding.evidence["readout"] if abs(r["weight"]) > 0.5]
    assert double["unit"] == 8 - finding.unit and abs(double["weight"] - 1) < 1e-6
    assert finding.evidence["effect_replaced"] < 1e-6


def test_a_cell_that_is_the_sum_of_two_others_is_redundant(noise):
    """Units 0 and 1 are driven so little that tanh is linear; unit 2 gets the sum of what drives them."""
    layer = changed("tanh", b={0: 0.0, 1: 0.0})
    for name in ("W_x", "W_y"):
        layer.params[name][:2] *= 1e-3
        layer.params[name][2] = layer.params[name][0] + layer.params[name][1]
    layer.params["b"][2] = 0.0
    (finding,) = found(layer, noise, "redundant-cell")
    assert {finding.unit, *(r["unit"] for r in finding.evidence["readout"] if abs(r["weight"]) > 0.5)} == {0, 1, 2}


def test_cells_that_only_look_alike_for_a_while_are_not_redundant(rng):
    """Units 2 and 6 differ in the answer to input 2, which comes in the second half of the sequence."""
    x = rng.normal(size=(240, 2, 3))
    x[:120, :, 2] = 0.0
    layer = twins("tanh")
    layer.params["W_x"][6, 2] = -layer.params["W_x"][2, 2]
    assert found(layer, x, "redundant-cell") == []


def test_units_that_are_dead_in_untrained_nets_are_no_null(noise, monkeypatch):
    """Rectified units are dead in some untrained nets; what they leave unexplained, nothing, says nothing about live ones."""
    alive = Layer.untrained

    def with_a_dead_unit(layer, seed):
        fresh_layer = alive(layer, seed)
        for name in ("W_x", "W_y", "b"):
            fresh_layer.params[name][0] = 0.0
        return fresh_layer

    monkeypatch.setattr(Layer, "untrained", with_a_dead_unit)
    assert len(found(twins("tanh"), noise, "redundant-cell")) == 1


def test_where_untrained_nets_are_as_collinear_nothing_is_said(noise):
    """Eight carousels fed three inputs through a linear map: their states have three dimensions in any net of this shape."""
    assert found(changed("carousel"), noise, "redundant-cell") == []


@pytest.mark.parametrize("cell, rows, unit, closed, lost", [
    ("lstm", {"b_in": {1: -60.0}}, 1, "write", True),
    ("lstm", {"b_out": {2: -60.0}}, 2, "read", True),
    ("lstm", {"b_f": {3: -60.0}}, 3, "memory", False),
    ("lstm", {"b_f": {3: 60.0}}, 3, "", False),
    ("gru", {"b_z": {4: 60.0}}, 4, "write", True),
    ("gru", {"b_z": {4: -60.0}}, 4, "memory", False),
    ("gru", {"b_r": {4: -60.0}}, 4, "past", False),
    ("lstm1997", {"b_in": {5: -60.0}}, 5, "write", True),
    ("lstm_peephole", {"b_in": {1: -60.0}}, 1, "write", True),
    ("lstm_vanilla", {"b_f": {3: 60.0}, "w_peep_f_s": {3: 0.0}}, 3, "", False),
])
def test_a_stuck_gate_is_named_with_what_it_closes(noise, cell, rows, unit, closed, lost):
    (finding,) = found(changed(cell, **rows), noise, "stuck-gate")
    assert (finding.unit, finding.evidence["closes"], finding.evidence["lost"]) == (unit, closed, lost)
    assert finding.severity == "info" and (not lost or finding.evidence["effect_shut"] < 1e-9)


def test_a_gate_that_is_nearly_shut_and_yet_matters_is_not_lost(noise):
    """What a gate at 0.018 lets through adds up in a carousel, and the read-out reads it with a large weight."""
    into = {name: {1: 0.0} for name in catalogue()["lstm1997"].parameters if name.startswith("W_in_")}
    layer = changed("lstm1997", **into, b_in={1: -4.0}, b_c={1: 3.0})
    readout = Readout("head", np.where(np.arange(UNITS) == 1, 50.0, 1.0)[None], np.zeros(1))
    (finding,) = found(layer, noise, "stuck-gate", readout)
    assert not finding.evidence["lost"] and finding.evidence["effect_shut"] > 0.1 and "what does matters" in finding.words


def test_a_gate_that_its_net_input_may_well_open_is_not_stuck(noise):
    """Shut on these inputs, within four of its deviations: on others it opens."""
    layer = changed("lstm", b_in={1: -7.5}, W_in_x={1: [1.0, 0.0, 0.0]}, W_in_y={1: 0.0})
    assert layer.run(noise)["y_in"][..., 1].max() < 0.02
    assert found(layer, noise, "stuck-gate") == []
    assert len(found(changed("lstm", b_in={1: -8.5}, W_in_x={1: [0.5, 0.0, 0.0]}, W_in_y={1: 0.0}), noise, "stuck-gate")) == 1


def test_a_gate_that_opens_once_is_not_stuck(rng):
    x = rng.normal(size=(240, 2, 3))
    x[200, 1, 0] = 100.0
    layer = changed("lstm", b_in={1: -60.0}, W_in_x={1: [1.2, 0.0, 0.0]})
    assert found(layer, x, "stuck-gate") == []


@pytest.mark.parametrize("cell", ["lstm", "lstm1997", "gru", "gru_reset_before"])
def test_every_gate_closes_something_at_one_of_its_ends(cell):
    cell = get(cell)
    assert gates(cell)
    for gate, ends in gates(cell).items():
        assert any(what_it_closes(cell, gate, end) for end in ends), gate


def test_a_block_of_cells_shares_its_stuck_gate(noise):
    layer = fresh(catalogue()["lstm1997"], UNITS, 3, 0, block_size=2).layers[0]
    layer.params["b_in"][1] = -60.0
    (finding,) = found(Layer("cells", layer.cell, layer.params), noise, "stuck-gate")
    assert finding.evidence["units"] == [2, 3]


@pytest.mark.parametrize("shut, severity", [(1, "info"), (10, "info"), (11, "warning")])
def test_lost_cells_are_a_warning_where_little_of_the_layer_is_left(noise, shut, severity):
    """A cell without which the net does the same costs itself alone; that a layer has one of twelve left is another matter."""
    findings = found(changed("lstm", units=12, b_out={k: -60.0 for k in range(shut)}), noise, "dead-cell")
    assert [f.severity for f in findings] == [severity] * shut
    assert {(f.evidence["cells_lost"], f.evidence["cells"]) for f in findings} == {(shut, 12)}


def test_cells_lost_in_different_ways_add_up():
    def one(rule, units, lost=True):
        return Finding(rule, "cells", units[0], "info", {"lost": lost, "units": units}, 0.1, "", "", "")

    some = [one("dead-cell", [0]), one("dead-cell", [1]), one("stuck-gate", [1, 2, 3, 4, 5, 6, 7]), one("state-drift", [8], lost=False)]
    assert {f.severity for f in graded(some, 10)} == {"info"}
    *lost, kept = graded([*some[:3], one("bias-cell", [9]), some[3]], 10)
    assert {f.severity for f in lost} == {"warning"} and kept.severity == "info" and kept.words == ""


@pytest.mark.parametrize("cell", ["lstm", "gru", "tanh"])
def test_memory_that_carries_nothing_is_unused(noise, cell):
    layer = changed(cell)
    for name in [n for n, edge in layer.cell.parameters.items() if edge in layer.cell.recurrent_edges]:
        layer.params[name] *= 1e-4
    if cell != "tanh":
        layer.params["b_f" if cell == "lstm" else "b_z"][:] = -20.0
    assert len(found(layer, noise, "unused-recurrence")) == 1
    assert found(changed(cell), noise, "unused-recurrence") == []


def test_a_drifting_state_depends_on_length(noise):
    layer = changed("lstm1997", b_c={1: 1.0}, b_in={1: 2.0})
    finding = next(f for f in found(layer, noise, "length-dependent") if f.unit == 1)
    assert finding.evidence["lost"] and finding.evidence["deviations_apart_at_end"] > 3
    s = np.abs(layer.run(noise)["s"][..., 1])  # a fresh start lacks what was fed before it
    assert finding.evidence["rate_per_step"] == pytest.approx((s[-1] - s[30]).mean() / 209, rel=0.1)


def test_a_counter_is_told_as_one(rng):
    """A carousel that is fed one sign counts: its state must grow, and its output is linear in it."""
    x = np.abs(rng.normal(size=(240, 2, 3)))
    layer = changed("carousel")
    layer.params["W_x"][:] = np.abs(layer.params["W_x"])
    findings = found(layer, x, "length-dependent")
    assert len(findings) == UNITS and not any(f.evidence["lost"] for f in findings)
    assert found(layer, x, "state-drift") == []


@pytest.mark.parametrize("cell", ["lstm", "gru", "tanh"])
def test_fading_memory_does_not_depend_on_length(noise, cell):
    assert found(changed(cell), noise, "length-dependent") == []


def test_units_thrown_from_end_to_end_are_saturated(noise):
    layer = changed("tanh")
    layer.params["W_x"][2] *= 200.0
    (finding,) = found(layer, noise, "saturated")
    assert (finding.unit, finding.evidence["lost"]) == (2, True)
    assert finding.evidence["mean_relative_slope"] < 0.05 and finding.evidence["sign_changes_per_step"] > 0.3


def test_a_latch_is_no_fault(rng):
    """Unit 0 keeps the sign of the last pulse of input 0, which comes every 80 steps."""
    x = 0.1 * rng.normal(size=(240, 2, 3))
    x[::80, :, 0] = 10.0 * np.array([1, -1, 1])[:, None]
    layer = changed("tanh", W_x={0: [3.0, 0.0, 0.0]}, W_y={0: np.where(np.arange(UNITS) == 0, 5.0, 0.0)}, b={0: 0.0})
    findings = found(layer, x, "saturated")
    assert [(f.unit, f.evidence["lost"]) for f in findings] == [(0, False)]
    assert found(layer, x, "bias-cell") == []


def test_a_squashing_function_inside_a_longer_formula_is_seen(noise):
    """g(net_c) of 1997 has no name of its own: it stands in the formula of s."""
    layer = changed("lstm1997")
    assert found(layer, noise, "saturated") == []
    layer.params["W_c_x"][:] *= 200.0
    (finding,) = found(layer, noise, "saturated")
    assert finding.evidence["vector"] == "g(net_c)" and len(finding.evidence["units"]) == UNITS


def test_saturated_candidates_count_by_the_layer(noise):
    layer = changed("lstm")
    layer.params["W_c_x"][:] *= 200.0
    (finding,) = found(layer, noise, "saturated")
    assert finding.unit is None and len(finding.evidence["units"]) == UNITS
    layer = changed("lstm")
    layer.params["W_c_x"][:2] *= 200.0
    assert found(layer, noise, "saturated") == []
