"""Remedies applied to weights: what they do to flow and function, with an interval, and no claim where it covers zero."""

import json

import numpy as np
import pytest
from click.testing import CliRunner

from flowcheck import Layer, Network, catalogue
from flowcheck.cli import cli
from flowcheck.detectors import diagnose, try_remedies
from flowcheck.detectors.remedies import Trial, _roles
from flowcheck.formats import InputSet, write_npz
from flowcheck.network import fresh
from flowcheck.report.page import page


@pytest.fixture
def noise(rng):
    return rng.normal(size=(150, 4, 3))


def tried(network, x, rule, **options):
    result = try_remedies(diagnose(network, [InputSet("noise", network.layers[0].name, x)], lags=40, **options))
    return {t.remedy: t for t in result.trials if t.rule == rule}


def changed(cell, units=8, **rows):
    layer = fresh(catalogue()[cell], units, 3, 0).layers[0]
    params = {k: v.copy() for k, v in layer.params.items()}
    for name, values in rows.items():
        for unit, value in values.items():
            params[name][unit] = value
    return Network("", (Layer("cells", layer.cell, params),))


@pytest.mark.parametrize("cell, roles", [
    ("lstm", {"write": ("y_in", 1), "read": ("y_out", 1), "memory": ("y_f", 1)}),
    ("gru", {"write": ("z", -1), "memory": ("z", 1)}),
    ("lstm1997", {"write": ("y_in", 1), "read": ("y_out", 1)}),
    ("tanh", {}),
])
def test_gates_are_known_by_what_they_do_and_not_by_name(cell, roles):
    assert _roles(catalogue()[cell]) == roles


@pytest.mark.parametrize("cell, remedy", [
    ("lstm", "bias of y_f +2"), ("lstm", "chrono initialisation of y_f"), ("gru", "bias of z +2"), ("tanh", "orthogonal recurrence"),
    ("tanh", "identity recurrence"),
])
def test_flow_that_vanishes_is_carried_further(noise, cell, remedy):
    trial = tried(changed(cell, units=24), noise, "vanishing-flow")[remedy]
    assert trial.shown and trial.interval[0] > 0.5 and trial.samples == 4
    assert trial.after == pytest.approx(trial.before + trial.change) and trial.function_change > 0


def test_the_flow_after_is_that_of_the_changed_net(noise):
    """The orthogonal matrix nearest to W by hand: the flow at the lag is measured on that net as on any other."""
    network = changed("tanh", units=24)
    trial = tried(network, noise, "vanishing-flow")["orthogonal recurrence"]
    lag = int(trial.quantity.split()[-1])
    left, _, right = np.linalg.svd(network.layers[0].params["W_y"])
    network.layers[0].params["W_y"] = left @ right
    flow = diagnose(network, [InputSet("noise", "cells", noise)], lags=lag).contexts[0].state_flow.flow
    assert trial.after == pytest.approx(float(flow.pooled[-1] - flow.log10_norm0), abs=1e-9)


def test_a_closed_input_gate_slows_drift(noise):
    network = changed("lstm1997", b_c={1: 1.0}, b_in={1: 2.0})
    (trial,) = tried(network, noise, "state-drift").values()
    assert trial.remedy == "bias of y_in -2 for these units" and trial.shown and 0 < trial.after < trial.before


def test_a_unit_thrown_from_end_to_end_gets_its_slope_back(noise):
    network = changed("tanh")
    network.layers[0].params["W_x"][2] *= 200.0
    (trial,) = tried(network, noise, "saturated").values()
    assert trial.shown and trial.before < 0.05 < trial.after


def test_where_the_interval_covers_zero_nothing_is_claimed():
    trial = Trial("vanishing-flow", "cells", "bias", "log10 flow at lag 9", -4.0, -3.9, 0.1, (-0.2, 0.4), 4, False, 0.3)
    assert trial.words.endswith("the interval covers zero: no effect shown; outputs change by 30%")


def test_one_sequence_is_sampled_at_several_ends(noise):
    trial = tried(changed("lstm", units=24), noise[:, :1], "vanishing-flow")["bias of y_f +2"]
    assert trial.samples == 4 and trial.interval is not None


def test_the_page_shows_before_and_after(noise):
    result = try_remedies(diagnose(changed("lstm", units=16), [InputSet("noise", "cells", noise)], lags=40))
    html = page(title="", command="", diagnosis=result)
    assert all(t.remedy in html and "Remedies applied to the weights" in html for t in result.trials)


def test_the_command_shows_before_and_after(tmp_path, noise):
    from jsonschema import Draft202012Validator

    from flowcheck.report.documents import schema

    write_npz(changed("lstm", units=16), tmp_path / "net.npz")
    np.savez(tmp_path / "x.npz", **{"cells.x": noise.swapaxes(0, 1)})
    arguments = ["diagnose", str(tmp_path / "net.npz"), "--inputs", str(tmp_path / "x.npz"), "--lags", "40", "--try-remedies"]
    text = CliRunner().invoke(cli, arguments, standalone_mode=False, catch_exceptions=False)
    assert "tried for" in text.output and "bias of y_f +2" in text.output
    document = json.loads(CliRunner().invoke(cli, [*arguments, "--format", "json"], standalone_mode=False).output)
    assert {t["remedy"] for t in document["remedies"]} == {"bias of y_f +2", "chrono initialisation of y_f"}
    Draft202012Validator(schema("flowcheck.diagnosis/1")["properties"]["remedies"]).validate(document["remedies"])
