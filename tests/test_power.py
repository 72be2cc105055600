"""Measured power: mistakes planted in someone's own backward pass are caught, and one that cannot be seen is said to be missed."""

from types import SimpleNamespace

import numpy as np
import pytest
from test_check_gradient import rnn_backward, rnn_forward, rnn_problem

from flowcheck.cells import get
from flowcheck.gradcheck import measure_power
from flowcheck.verify import power as power_module
from flowcheck.verify.arguments import Arguments, Functions


def test_every_mistake_planted_in_a_net_is_caught():
    power = measure_power(rnn_forward, rnn_backward, *rnn_problem(0.9, 8, seed=1), cell="tanh")
    assert power.cell == "tanh" and power.caught == power.planted > 100, str(power)
    assert {lag for _, lag in power.table} == {0, 1, 2, 5} and not power.missed
    kinds = {kind for kind, _ in power.table}
    assert len(kinds) >= 15 and {"transposed", "activation for slope", "only the last step summed"} <= kinds
    text = str(power).splitlines()
    assert all(len(line) <= 80 for line in text) and len(text) == len(kinds) + 2 + bool(power.same)


def test_a_check_that_sees_nothing_has_no_power(monkeypatch):
    """Both stages blinded: the comparison on the user's arguments, and the whole check."""
    monkeypatch.setattr(power_module, "compare_gradients", lambda *a, **k: [])
    problem = rnn_problem(0.9, 5, seed=1)
    functions, arguments = Functions(rnn_forward, rnn_backward, 0), Arguments.read(*problem, 0)
    power = power_module.measure_power(functions, arguments, (get("tanh"),), lambda backward: SimpleNamespace(verdict="pass"), each=1)
    assert power.caught == 0 and len(power.missed) == power.planted > 20
    assert "missed: " in str(power) and " at lags from " in power.missed[0]


def test_a_plant_is_the_mistake_and_nothing_else():
    """The planted backward agrees with one that has the same mistake written by hand: y for 1 - y^2 from lag 2 on."""
    problem = rnn_problem(0.9, 6, seed=1)
    functions, arguments = Functions(rnn_forward, rnn_backward, 0), Arguments.read(*problem, 0)
    match = power_module.match_forward(functions, arguments, functions.outputs(arguments), (get("tanh"),))
    mutation = next(m for m in power_module.every_mutation(match.cell) if m.kind == "activation for slope")
    planted = power_module._Plant(match, mutation, 1.0, 2).planted(functions)
    errors = {"y": np.zeros((6, 4))}
    errors["y"][-1] = [1.0, -2.0, 0.5, 3.0]
    expected = rnn_backward(*problem, errors, plant="activation for slope", first=2)
    for name, got in planted(*problem, errors).items():
        np.testing.assert_allclose(got, expected[name], rtol=1e-12, atol=1e-15)


def test_a_forward_that_is_no_known_cell_is_refused():
    with pytest.raises(ValueError, match="cell of the catalogue"):
        measure_power(lambda *a: {"y": rnn_forward(*a)["y"] ** 3}, rnn_backward, *rnn_problem(0.9, 5), cell="tanh")


def test_the_command_line_prints_the_matrix_of_a_users_lstm(monkeypatch, tmp_path, capsys):
    from flowcheck.cli import main

    (tmp_path / "net_under_power.py").write_text("""
import test_check_gradient as t
def check():
    forward = lambda *a: {"out": t.lstm_forward(*a)["out"]}
    backward = lambda p, x, s, g: t.lstm_backward(p, x, s, g | {"last_c": 0 * s["c0"]})
    return forward, backward, *t.lstm_problem(0.9, 4, seed=1), {"time_axis": 1, "cell": "lstm"}
""")
    monkeypatch.chdir(tmp_path)
    monkeypatch.syspath_prepend(tmp_path)
    with pytest.raises(SystemExit) as stop:
        main(["verify", "net_under_power:check", "--power"])
    shown = capsys.readouterr().out
    assert not stop.value.code, shown
    assert "planted mistakes are caught (lstm, T = 4)" in shown and "caught / planted, wrong from lag" in shown
