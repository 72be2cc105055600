"""Layers too wide to form their Jacobians: estimated flow, runs in pieces, and the same findings whatever the pieces are."""

import weakref

import numpy as np
import pytest

from flowcheck import Layer, Network, catalogue
from flowcheck import detectors as package
from flowcheck.detectors import bias_cell, context, dead_cell, detectors, diagnose, effects
from flowcheck.formats import InputSet
from flowcheck.measure import PROBES, measure_by_probes, measure_layer
from flowcheck.network import fresh
from flowcheck.report.page import page
from flowcheck.report.text import diagnosis_text

UNIT_RULES = [rule for rule in detectors() if not rule.endswith("-flow")]


def stack(levels=2, units=10, seed=0):
    layers = [fresh(catalogue()["lstm"], units, 3 if k == 0 else units, seed + k).layers[0] for k in range(levels)]
    layers = [Layer(f"l{k}", one.cell, one.params, k) for k, one in enumerate(layers)]
    layers[0].params["b_in"][1], layers[0].params["b_out"][2] = -60.0, -60.0
    return Network("", tuple(layers))


def findings(result):
    return [(f.rule, f.layer, f.unit, f.severity) for f in result.findings]


@pytest.mark.parametrize("cell", ["tanh", "lstm", "gru"])
def test_the_estimate_is_within_its_interval_and_gives_the_same_verdict(rng, cell):
    """32 random vectors: 95 % of the log norms are within 0.12 decades where one singular value holds everything; 4 sigma are 0.25."""
    layer = fresh(catalogue()[cell], 24, 3, 0).layers[0]
    runs = {"noise": layer.run(rng.normal(size=(150, 2, 3)))}
    exact = next(m for m in measure_layer(layer, runs, 100) if m.flow.quantity == "state-to-state")
    (estimated,) = measure_by_probes(layer, runs, 100)
    assert estimated.probes == PROBES and exact.probes is None
    np.testing.assert_array_equal(estimated.flow.lags, exact.flow.lags)
    assert np.abs(estimated.flow.log10_norm - exact.flow.log10_norm).max() < 0.25
    assert estimated.rate.verdict == exact.rate.verdict and abs(estimated.rate.horizon - exact.rate.horizon) <= 2


def test_a_wide_layer_is_diagnosed_from_probes_and_runs_that_were_given_up(rng, monkeypatch):
    x = rng.normal(size=(120, 3, 3))
    expected = diagnose(stack(), [InputSet("a", "l0", x)], lags=50)
    monkeypatch.setattr(context, "MOST_OPERATIONS", 0)
    monkeypatch.setattr(package, "KEPT", 0)
    monkeypatch.setattr(effects, "MOST_BYTES", 0)
    told = []
    found = diagnose(stack(), [InputSet("a", "l0", x)], lags=50, progress=told.append)
    assert findings(found) == findings(expected) and ("dead-cell", "l0", 1, "info") in findings(found)
    assert [len(c.measured) for c in found.contexts] == [1, 1] and found.contexts[0].measured[0].probes == PROBES
    run = found.contexts[0].runs[0]
    assert run._trajectory is None
    np.testing.assert_array_equal(run.trajectory["s"], expected.contexts[0].runs[0].trajectory["s"])
    assert any("sequence 3 of 3" in words for words in told)


def test_text_and_page_say_that_a_flow_is_estimated(rng, monkeypatch):
    exact = diagnose(stack(), [InputSet("a", "l0", rng.normal(size=(60, 1, 3)))], lags=20)
    monkeypatch.setattr(context, "MOST_OPERATIONS", 0)
    wide = diagnose(stack(), [InputSet("a", "l0", rng.normal(size=(60, 1, 3)))], lags=20)
    words = f"estimated from {PROBES} random vectors; other flows of so wide a layer are left out"
    for result, count in ((wide, 2), (exact, 0)):
        shown = diagnosis_text(result, "noise")
        assert shown.count(words) == page(title="", command="", diagnosis=result).count(words) == count
        assert max(map(len, shown.splitlines())) <= 80


def test_findings_do_not_depend_on_the_sets_in_which_sequences_come(rng):
    """Bias, dead, redundant, stuck, drifting cells: the same numbers from one set of four, two of two and four of one."""
    x, network = rng.normal(size=(120, 4, 3)), stack()
    network.layers[0].params["b_f"][3], network.layers[0].params["b_c"][3] = 30.0, 2.0
    for array in network.layers[0].params.values():
        array[5] = array[6]
    results = []
    for parts in (1, 2, 4):
        sets = [InputSet(f"set {k}", "l0", part) for k, part in enumerate(np.split(x, parts, axis=1))]
        results.append(diagnose(network, sets, lags=50))
    assert findings(results[0]) == findings(results[1]) == findings(results[2])
    assert {"redundant-cell", "dead-cell", "state-drift", "length-dependent"} <= {f.rule for f in results[0].findings}
    effects = [[f.evidence["effect_set_to_zero"] for f in r.findings if f.rule == "dead-cell"] for r in results]
    np.testing.assert_allclose(effects[1], effects[0], atol=1e-12)


def in_two_orders(rng):
    """Findings of a net over the same four sequences in two orders; unit 4 moves in the third sequence alone."""
    x = rng.normal(size=(120, 4, 3))
    x[:, [0, 1, 3], 0] = -20.0
    network = stack(1)
    for gate in ("in", "f", "c"):
        network.layers[0].params[f"W_{gate}_x"][4], network.layers[0].params[f"W_{gate}_y"][4] = [1.0, 0.0, 0.0], 0.0
    return [findings(diagnose(network, [InputSet("a", "l0", x[:, order])], rules=UNIT_RULES)) for order in ([0, 1, 2, 3], [2, 0, 3, 1])]


def test_findings_do_not_depend_on_the_order_of_the_sequences(rng):
    first, second = in_two_orders(rng)
    assert first == second and ("dead-cell", "l0", 1, "info") in first


def test_a_dependence_on_the_order_would_be_seen(rng, monkeypatch):
    """Planted: the detectors look at the first sequence alone."""
    monkeypatch.setattr(context.LayerContext, "pooled", property(
        lambda self: (context.Run("first", self.runs[0].trajectory.sequence(0)),)))
    first, second = in_two_orders(rng)
    assert first != second


def with_bias_cells(units=32):
    """An LSTM of some width in which units 7 and 30 deliver constants that the others need, and the rest is as it was."""
    layer = fresh(catalogue()["lstm"], units, 3, 0).layers[0]
    for unit in (7, 30):
        for name, array in layer.params.items():
            array[unit] = {"b_in": 20.0, "b_f": -20.0, "b_c": 1.0, "b_out": 20.0}.get(name, 0.0)
        layer.params["W_c_y"][:, unit] = 1.0
        layer.params["W_c_y"][[7, 30], unit] = 0.0
    return Network("", (Layer("l0", layer.cell, layer.params),))


def test_an_intervention_that_is_decided_ends_and_nothing_else_changes(rng, monkeypatch):
    """Against whole runs of every unit, one at a time: the same findings with the same numbers, from a tenth of the work."""
    sets, done = [InputSet("a", "l0", rng.normal(size=(250, 2, 3)))], []
    whole = context.LayerContext.held_at

    def counted(self, run, vector, units, *arguments, **more):
        found = whole(self, run, vector, units, *arguments, **more)
        done.append(found[0].shape[0] * len(units))
        return found

    monkeypatch.setattr(context.LayerContext, "held_at", counted)
    monkeypatch.setattr(bias_cell, "STEADY", 0.0)  # every unit is tried
    few = diagnose(with_bias_cells(), sets, rules=["bias-cell", "dead-cell"]).findings
    work, few_units = sum(done), {f.unit for f in few if f.rule == "bias-cell"}
    done.clear()
    monkeypatch.setattr(effects, "FIRST", 10**6)
    monkeypatch.setattr(effects, "AT_ONCE", 1)
    for module in (bias_cell, dead_cell):
        monkeypatch.setattr(module, "least_effects", lambda context, run, sizes: np.zeros(len(sizes)))
    every = diagnose(with_bias_cells(), sets, rules=["bias-cell", "dead-cell"]).findings
    assert few_units == {7, 30} and [(f.rule, f.unit) for f in few] == [(f.rule, f.unit) for f in every]
    for one, other in zip(few, every, strict=True):
        assert one.evidence["effect_set_to_zero"] == pytest.approx(other.evidence["effect_set_to_zero"], rel=1e-12)
    assert work < sum(done) / 10


def test_a_layer_at_a_time_is_held(rng):
    """What the lower level left behind is given up, but for its output."""
    network, alive = stack(3), []
    for _, runs in network.each_layer({"l0": {"a": rng.normal(size=(20, 2, 3))}}):
        alive.append(weakref.ref(next(iter(runs.values()))))
        del runs
        assert [ref() is not None for ref in alive[:-1]] == [False] * (len(alive) - 1)
