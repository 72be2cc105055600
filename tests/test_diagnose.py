"""Detectors on nets with a planted fault, on the same nets without it, and on untrained nets that have none."""

import json

import numpy as np
import pytest

from flowcheck import Layer, Network, catalogue, compile_cell
from flowcheck.cli import main
from flowcheck.detectors import Finding, diagnose
from flowcheck.formats import InputSet, write_npz
from flowcheck.network import Readout, fresh


def found(network, x, rule=None, lags=60):
    """Findings over inputs (time, batch, features), of one rule or all."""
    return [*diagnose(network, [InputSet("noise", network.layers[0].name, x)], lags=lags, rules=rule and [rule]).findings]


def lstm(units=8, inputs=3, seed=0, **changed):
    """An LSTM layer with parameters changed by functions of the array."""
    layer = fresh(catalogue()["lstm"], units, inputs, seed).layers[0]
    params = {k: changed.get(k, lambda a: a)(v.copy()) for k, v in layer.params.items()}
    return Layer("lstm", layer.cell, params)


def entry(unit, value):
    def change(array):
        array[unit] = value
        return array
    return change


def column(unit, value):
    def change(array):
        array[:, unit] = value
        return array
    return change


CONSTANT_UNIT_2 = {
    "W_in_x": entry(2, 0.0), "W_in_y": entry(2, 0.0), "b_in": entry(2, 20.0), "W_f_x": entry(2, 0.0), "W_f_y": entry(2, 0.0),
    "b_f": entry(2, -20.0), "W_c_x": entry(2, 0.0), "W_out_x": entry(2, 0.0), "W_out_y": entry(2, 0.0), "b_out": entry(2, 20.0),
    "b_c": entry(2, 1.0),
}


@pytest.fixture
def noise(rng):
    return rng.normal(size=(200, 2, 3))


def test_a_cell_that_delivers_a_constant_others_need_is_a_bias_cell(noise):
    layer = lstm(**CONSTANT_UNIT_2 | {"W_c_y": lambda a: entry(2, 0.0)(column(2, 2.0)(a))})
    (finding,) = found(Network("", (layer,)), noise, "bias-cell")
    assert finding.unit == 2
    assert finding.evidence["effect_held_at_mean"] < 0.01 < 0.1 < finding.evidence["effect_set_to_zero"]
    assert abs(finding.evidence["mean"] - np.tanh(np.tanh(1.0))) < 1e-3


def test_a_constant_cell_that_nothing_reads_is_no_bias_cell(noise):
    unread = {f"W_{gate}_y": column(2, 0.0) for gate in ("in", "f", "out")} | {"W_c_y": lambda a: entry(2, 0.0)(column(2, 0.0)(a))}
    readout = Readout("head", np.where(np.arange(8) == 2, 0.0, 1.0)[None], np.zeros(1))
    assert found(Network("", (lstm(**CONSTANT_UNIT_2 | unread),), readout=readout), noise, "bias-cell") == []


def test_a_bias_cell_read_only_by_the_read_out_is_found(noise):
    layer = lstm(**CONSTANT_UNIT_2 | {"W_c_y": entry(2, 0.0)})
    readout = Readout("head", np.where(np.arange(8) == 2, 3.0, 1.0)[None], np.zeros(1))
    findings = found(Network("", (layer,), readout=readout), noise, "bias-cell")
    assert [f.unit for f in findings] == [2] and findings[0].evidence["read_by"] == ["head"]


def test_a_rare_switch_is_no_bias_cell(rng):
    """Unit 0 holds a value that switches once in 600 steps: steady for long, but it carries a bit."""
    x = rng.normal(size=(600, 2, 3)) * 0.1
    x[450:, :, 0] = 3.0
    layer = lstm(W_in_x=entry(0, 0.0), b_in=entry(0, 20.0), b_f=entry(0, -20.0), W_f_x=entry(0, 0.0), b_out=entry(0, 20.0),
                 W_out_x=entry(0, 0.0), W_c_x=entry(0, [4.0, 0.0, 0.0]), b_c=entry(0, -4.0),
                 W_c_y=lambda a: entry(0, 0.0)(column(0, 2.0)(a)))
    assert found(Network("", (layer,)), x, "bias-cell") == []


def drifting_layer(gain=1.0):
    """Unit 1 of an LSTM of 1997 is fed one sign: its input gate is open and its cell input positive. The other input gates are shut."""
    layer = fresh(catalogue()["lstm1997"], 6, 3, 0).layers[0]
    params = {k: v.copy() for k, v in layer.params.items()}
    for name in params:
        if name.startswith("W_c_") or name.startswith("W_in_"):
            params[name][1] = 0.1 * params[name][1]
    params["b_in"][:], params["b_in"][1], params["b_c"][1] = -12.0, 2.0, gain
    return Layer("cells", layer.cell, params)


def test_a_carousel_fed_one_sign_drifts(noise):
    findings = found(Network("", (drifting_layer(),)), noise, "state-drift")
    assert [f.unit for f in findings] == [1] and findings[0].severity == "info"
    evidence = findings[0].evidence
    assert evidence["lost"] and "it costs the cell, no function" in findings[0].words
    assert evidence["sequences_drifting"] == evidence["sequences"] == 2
    # s grows by y_in g(net_c), about sigma(2) g(1)
    assert abs(evidence["rate_per_step"] - 0.881 * 0.924) < 0.1
    assert evidence["relative_slope_last_quarter"] < 1e-20


def test_a_state_that_drifts_either_way_with_the_input_is_an_integrator(noise):
    """The second sequence feeds unit 1 the other sign: what grows is what was shown, and not a mean of one sign."""
    layer = drifting_layer()
    layer.params["b_c"][1] = 0.0
    layer.params["W_c_x"][1] = [1.0, 0.0, 0.0]
    x = 0.3 * noise
    x[:, 0, 0] += 1.0
    x[:, 1, 0] -= 1.0
    (finding,) = found(Network("", (layer,)), x, "state-drift")
    assert not finding.evidence["lost"] and {r["direction"] for r in finding.evidence["per_sequence"]} == {-1, 1}


def test_the_same_carousel_behind_a_closed_input_gate_does_not_drift(noise):
    layer = drifting_layer()
    layer.params["b_in"][1] = -12.0
    assert found(Network("", (layer,)), noise, "state-drift") == []


def test_a_large_state_that_a_forget_gate_bounds_is_no_drift(noise):
    """s settles near 1 / (1 - f) = 50 with f = 0.98: large and saturated, but not growing without bound."""
    layer = lstm(b_in=entry(0, 20.0), b_f=entry(0, np.log(0.98 / 0.02)), b_c=entry(0, 5.0),
                 **{f"W_{g}_{s}": entry(0, 0.0) for g in ("in", "f", "c") for s in ("x", "y")})
    x = np.concatenate([noise] * 3)
    run = layer.run(x)
    assert run["s"][-1, 0, 0] > 40
    assert found(Network("", (layer,)), x, "state-drift") == []


@pytest.mark.parametrize("cell, gain, rule", [("tanh", 0.5, "vanishing-flow"), ("conventional", 1.0, "vanishing-flow"),
                                              ("tanh", 3.0, "exploding-flow"), ("carousel", 1.0, None)])
def test_flow_findings_follow_the_gain(cell, gain, rule):
    network = fresh(catalogue()[cell], 32, 3, 0)
    rng = np.random.default_rng(1)
    if "W_y" in network.layers[0].params:
        network.layers[0].params["W_y"][:] = gain * np.linalg.qr(rng.normal(size=(32, 32)))[0]
    findings = [f for f in found(network, 0.1 * rng.normal(size=(200, 2, 3)), lags=100) if f.rule.endswith("flow")]
    assert [f.rule for f in findings] == ([] if rule is None else [rule])


@pytest.mark.parametrize("lags, severity", [(48, "info"), (150, "warning")])
def test_truncation_is_a_remedy_only_where_the_flow_passes_1000(lags, severity):
    """A linear recurrence that grows by 10^0.03 a step: 10^1.5 over 48 lags, a thousand at lag 100."""
    network = fresh(catalogue()["tanh"], 8, 3, 0)
    network.layers[0].params["W_y"][:], network.layers[0].params["b"][:] = 10**0.0301 * np.eye(8), 0.0
    x = 1e-9 * np.random.default_rng(1).normal(size=(200, 2, 3))
    (finding,) = found(network, x, "exploding-flow", lags=lags)
    assert finding.severity == severity
    assert ("truncate BPTT at lag 100, where the flow passes 1000" in finding.remedy) == ("BPTT" in finding.remedy) == (lags == 150)


@pytest.mark.parametrize("needed, severity", [(None, "warning"), (100, "error"), (5, "info")])
def test_the_lag_needed_decides_how_bad_a_short_horizon_is(noise, needed, severity):
    network = fresh(catalogue()["tanh"], 24, 3, 0)
    result = diagnose(network, [InputSet("noise", "tanh", noise)], lags=60, needs_lag=needed)
    (finding,) = [f for f in result.findings if f.rule == "vanishing-flow"]
    assert finding.severity == severity and 5 < finding.evidence["horizon"] < 60
    assert finding.evidence["lag_needed"] == needed


def test_sequences_too_short_for_the_lag_needed_are_refused(noise):
    with pytest.raises(ValueError, match="lag 500 is needed, but the sequences have 200 steps; give sequences of 502 or more"):
        diagnose(fresh(catalogue()["tanh"], 4, 3, 0), [InputSet("noise", "tanh", noise)], needs_lag=500)


@pytest.mark.parametrize("name", ["lstm", "gru", "tanh"])
def test_untrained_nets_raise_no_unit_findings(name):
    """Eight untrained nets of 24 units: no bias cell and no drift."""
    rng, alarms = np.random.default_rng(5), []
    for seed in range(8):
        findings = found(fresh(catalogue()[name], 24, 3, seed), rng.normal(size=(150, 2, 3)))
        alarms += [(seed, f.rule, f.unit) for f in findings if f.unit is not None]
    assert alarms == []


def test_an_untrained_lstm_of_1997_drifts_and_a_negative_input_gate_bias_mends_it():
    """The paper's problem and remedy (section 4): without a forget gate every mean of the cell input adds up."""
    rng, cell = np.random.default_rng(5), catalogue()["lstm1997"]
    drifting = {}
    for bias in (-1.0, -6.0):
        network = fresh(cell, 24, 3, 0)
        network.layers[0].params["b_in"] += bias - network.layers[0].params["b_in"].mean()
        drifting[bias] = len(found(network, rng.normal(size=(150, 2, 3)), "state-drift"))
    assert drifting[-1.0] > 10 and drifting[-6.0] == 0


def test_findings_do_not_depend_on_the_order_of_the_batch(noise):
    x = np.concatenate([noise, noise[::-1]], axis=1)
    network = Network("", (drifting_layer(),))
    forwards, backwards = found(network, x, "state-drift"), found(network, x[:, ::-1], "state-drift")
    assert [(f.unit, f.severity) for f in forwards] == [(f.unit, f.severity) for f in backwards]


def test_layers_above_get_what_the_stack_gives(noise):
    below, above = lstm(), Layer("top", catalogue()["lstm"], lstm(units=5, inputs=8, seed=1).params, level=1)
    result = diagnose(Network("", (below, above)), [InputSet("noise", "lstm", noise)], lags=50)
    top = next(c for c in result.contexts if c.layer.name == "top")
    expected = compile_cell(below.cell).forward(below.params, noise)["y"]
    np.testing.assert_array_equal(top.runs[0].trajectory["x"], expected)
    assert top.readers == {} and next(c for c in result.contexts if c.layer.name == "lstm").readers["top"].shape == (20, 8)


def test_both_directions_of_a_level_get_the_inputs_of_one(noise):
    forwards, backwards = lstm(), lstm(seed=1)
    backwards = Layer("lstm.reverse", backwards.cell, backwards.params, reverse=True)
    result = diagnose(Network("", (forwards, backwards)), [InputSet("noise", "lstm", noise)], lags=20)
    np.testing.assert_array_equal(result.contexts[1].runs[0].trajectory["x"], noise[::-1])


def test_a_layer_that_no_inputs_reach_is_named(noise):
    with pytest.raises(ValueError, match="layer lstm has no inputs"):
        diagnose(Network("", (lstm(),)), [InputSet("noise", "other", noise)])


def test_every_finding_says_its_threshold_and_where_that_is_from(noise):
    findings = found(Network("", (drifting_layer(),)), noise)
    assert findings
    for f in findings:
        assert isinstance(f, Finding) and f.threshold > 0 and len(f.threshold_source) > 10 and f.remedy and f.words


def test_a_sequence_without_flow_is_said_to_be_left_out(tmp_path, capsys):
    network = fresh(catalogue()["lstm"], 4, 2, 0)
    x = np.random.default_rng(0).normal(size=(3, 40, 2))
    x[1] *= 1e5
    write_npz(network, tmp_path / "n.npz")
    np.save(tmp_path / "x.npy", x)
    with pytest.raises(SystemExit):
        main(["diagnose", str(tmp_path / "n.npz"), "--inputs", str(tmp_path / "x.npy")])
    printed = " ".join(capsys.readouterr().out.split())
    assert "without sequence 2 of 3: " in printed
    with pytest.raises(SystemExit):
        main(["report", str(tmp_path / "n.npz"), "--inputs", str(tmp_path / "x.npy"), "-o", str(tmp_path / "r.html")])
    assert "Without sequence 2 of 3: " in " ".join((tmp_path / "r.html").read_text().split())
    flows = json.loads((tmp_path / "r.json").read_text())["diagnosis"]["flows"]
    assert [1] in [f["sequences_left_out"] for f in flows]


def test_sustained_over_few_lags_is_said_to_be_so(tmp_path, capsys):
    write_npz(fresh(catalogue()["lstm"], 4, 2, 0), tmp_path / "n.npz")
    np.save(tmp_path / "x.npy", np.random.default_rng(0).normal(size=(3, 40, 2)))
    for lags, said in ((3, True), (30, False)):
        with pytest.raises(SystemExit):
            main(["diagnose", str(tmp_path / "n.npz"), "--inputs", str(tmp_path / "x.npy"), "--lags", str(lags)])
        printed = " ".join(capsys.readouterr().out.split())
        assert (f"sustained: it falls by less than a factor 10 over the {lags} lags measured" in printed) == said
