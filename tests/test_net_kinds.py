"""Nets beyond dense and diagonal ones: fixed maps between lengths, learned vectors, lengths of a cell's own."""

import numpy as np
import pytest
import sympy

from flowcheck import Cell, EquationError, Net, Unit, bptt, check_cell, compile_cell, rtrl, state_flow
from flowcheck.equations import axes_of
from flowcheck.flow import forward_flow
from flowcheck.forward import FIXED
from flowcheck.kernels import TRANSPOSED, ShapeError
from flowcheck.maps import FixedMap
from flowcheck.notation import ROUTINES, column, draw, row, sigma, softplus, symbols, tanh, units
from flowcheck.oracles import STEP
from flowcheck.symbolic import equation_latex

x, C_prev, y_prev = symbols("x C_prev y_prev")
net_k, net_v, v, net_f, f, v_m, k_m, f_m, old_m, C, y_sum, decay, y, n_1 = symbols(
    "net_k net_v v net_f f v_m k_m f_m old_m C y_sum decay y n_1")


def fast_weights(**changes):
    """A matrix of values with every kind of path: outer product, shared old output, sum over the matrix back into the state."""
    equations = {
        "k": Net(net_k, x, y_prev, size="keys"), "k_m": Net(k_m, net_k, kind="shared", size="units*keys"),
        "v": Net(net_v, x, y_prev), "tanh": Unit(v, tanh(net_v)), "v_m": Net(v_m, v, kind="shared", size="units*keys"),
        "f": Net(net_f, x, size="1"), "sigma": Unit(f, sigma(net_f)), "f_m": Net(f_m, f, kind="shared", size="units*keys"),
        "old": Net(old_m, y_prev, kind="shared", size="units*keys"),
        "decay": Net(decay, kind="vector", bias=-sympy.log(1 + column) * draw, size="units*keys"),
        "C": Unit(C, f_m * sympy.exp(-decay**2) * C_prev + v_m * k_m + sympy.sin(old_m) / 4),
        "sum": Net(y_sum, C, kind="pooled"), "y": Unit(y, tanh(y_sum) + y_prev / 2),
    } | changes
    return Cell("fast_weights", "a test 2026", 2026, inputs=[x], state={C_prev: C, y_prev: y}, output=y,
                equations=[*equations.values()], lengths={"keys": 3})


def a_run(cell, rng, steps=12, **lengths):
    kernel = compile_cell(cell)
    params = kernel.random_params(5, 3, rng, **lengths)
    return kernel.forward(params, rng.normal(size=(steps, 2, 3)))


def test_every_kind_of_path_climbs_the_whole_ladder():
    checks = check_cell(fast_weights(), lags=25)
    assert [c.words for c in checks if c.verdict != "pass"] == []
    assert {c.rung for c in checks} >= {"forward", "step-jacobian", "flow", "high-precision", "gradient"}


def test_forward_is_the_outer_product_and_the_product_with_the_matrix(rng):
    run = a_run(fast_weights(), rng)
    p, keys = run.params, run["net_k"].shape[-1]
    assert p["decay"].shape == (15,) and p["W_k_x"].shape == (3, 3) and p["W_f_x"].shape == (1, 3)
    for b in range(2):
        matrix, out = np.zeros((5, keys)), np.zeros(5)
        for t in range(run.steps):
            gate = 1 / (1 + np.exp(-(p["W_f_x"] @ run["x"][t, b] + p["b_f"])))
            key = p["W_k_x"] @ run["x"][t, b] + p["W_k_y"] @ out + p["b_k"]
            value = np.tanh(p["W_v_x"] @ run["x"][t, b] + p["W_v_y"] @ out + p["b_v"])
            matrix = gate * np.exp(-(p["decay"].reshape(5, keys) ** 2)) * matrix + np.outer(value, key) + np.sin(out)[:, None] / 4
            out = np.tanh(matrix.sum(axis=1)) + out / 2
            # a dozen steps of sums of some ten terms of size 1
            np.testing.assert_allclose(run["C"][t, b], matrix.ravel(), rtol=0, atol=1e-13)
            np.testing.assert_allclose(run["y"][t, b], out, rtol=0, atol=1e-13)


def test_forward_and_backward_flow_and_both_gradients_agree(rng):
    run = a_run(fast_weights(), rng)
    back, ahead = state_flow(run, 11), forward_flow(run, 11)
    np.testing.assert_allclose(ahead.log10_norm[0, -1], back.log10_norm[0, -1], rtol=0, atol=1e-12)  # eleven products of 20 x 20
    errors = rng.normal(size=run["y"].shape)
    one, other = bptt(run, errors).params, rtrl(run, errors).params
    for name in run.params:
        np.testing.assert_allclose(one[name], other[name], rtol=0, atol=1e-12 * np.abs(other[name]).max())


def test_repeat_and_total_are_the_matrix_of_the_index_and_its_transpose(rng):
    for axes, kept in (((4, 3), (True, False)), ((4, 3), (False, True)), ((4, 3), (False, False)), ((2, 3, 4), (True, False, True))):
        fixed = FixedMap(axes, kept)
        short, long = int(np.prod(fixed.short)), int(np.prod(axes))
        matrix = np.eye(short)[fixed.index]
        assert matrix.shape == (long, short)
        a, b = rng.normal(size=(2, 7, short)), rng.normal(size=(2, 7, long))
        np.testing.assert_array_equal(fixed.repeat(a), a @ matrix.T)
        np.testing.assert_allclose(fixed.total(b), b @ matrix, rtol=0, atol=1e-14)  # sums of at most 12 terms
        np.testing.assert_allclose((fixed.repeat(a) * b).sum(), (a * fixed.total(b)).sum(), rtol=1e-13)


MISTAKES = {  # planted in the package's fixed maps, with the rung that must report each
    "mean for sum": ("total", lambda right: lambda self, long: right(self, long) / self.axes[-1], "forward"),
    "repeated along the wrong axis": ("repeat", lambda right: lambda self, short: np.roll(right(self, short), 1, axis=-1), "forward"),
}


@pytest.mark.parametrize("name", MISTAKES)
def test_a_mistake_in_a_fixed_map_is_reported(name, monkeypatch):
    method, change, rung = MISTAKES[name]
    monkeypatch.setattr(FixedMap, method, change(getattr(FixedMap, method)))
    last = check_cell(fast_weights(), lags=6)[-1]
    assert (last.verdict, last.rung) == ("fail", rung)


def test_a_map_where_its_transpose_belongs_is_reported(monkeypatch):
    wrong = FixedMap.total
    monkeypatch.setitem(TRANSPOSED, "pooled", "backwards")
    monkeypatch.setattr(FixedMap, "backwards", lambda self, short: np.roll(self.repeat(short), 1, axis=-1), raising=False)
    assert wrong is FixedMap.total
    last = check_cell(fast_weights(), lags=6)[-1]
    assert (last.verdict, last.rung) == ("fail", "step-gradient")


def test_a_wrong_index_in_the_step_jacobian_is_reported(monkeypatch):
    build = FixedMap.__init__

    def planted(self, axes, kept):
        build(self, axes, kept)
        self.index = np.roll(self.index, 1)

    monkeypatch.setattr(FixedMap, "__init__", planted)
    monkeypatch.setattr(compile_cell(fast_weights()), "_maps", {})
    last = check_cell(fast_weights(), lags=6)[-1]
    assert (last.verdict, last.rung) == ("fail", "step-jacobian")


def test_the_two_products_are_transposes_of_each_other():
    assert {kind: TRANSPOSED[kind] for kind in FIXED} == {"shared": FIXED["pooled"], "pooled": FIXED["shared"]}


@pytest.mark.parametrize(("change", "reason"), [
    ({"k": Net(net_k, x, y_prev, size="kezs")}, "'kezs'"),
    ({"k_m": Net(k_m, net_k, kind="shared", size="units")}, "different length"),
    ({"old": Net(old_m, x, kind="shared", size="units*keys")}, "longer one"),
    ({"sum": Net(y_sum, C, kind="pooled", size="units*keys")}, "longer one"),
    ({"decay": Net(decay, kind="vector", bias=None, size="units*keys")}, "vector"),
    ({"decay": Net(decay, x, kind="vector", size="units*keys")}, "vector"),
    ({"decay": Net(decay, kind="vector", bias=n_1, size="units*keys")}, "n_1"),
    ({"f": Net(net_f, x, size="1", initial={y_prev: draw})}, "y_prev"),
], ids=["size", "mixed-lengths", "share-of-other-length", "pool-to-itself", "vector-without-value", "vector-with-source", "strange-formula",
        "strange-source"])
def test_a_net_that_does_not_fit_is_refused_in_one_line(change, reason):
    with pytest.raises(EquationError) as refused:
        fast_weights(**change)
    assert reason in str(refused.value) and "fast_weights, line" in str(refused.value) and "\n" not in str(refused.value)


def test_a_length_that_no_vector_has_is_refused():
    with pytest.raises(EquationError, match="keys"):
        Cell("c", "a test 2026", 2026, inputs=[x], state={y_prev: y}, output=y, lengths={"keys": 3},
             equations=[Net(net_v, x, y_prev), Unit(y, tanh(net_v))])


def test_lengths_come_from_the_weights_and_must_agree(rng):
    kernel = compile_cell(fast_weights())
    params = kernel.random_params(5, 3, rng, lengths={"keys": 4})
    assert kernel.lengths(params) == {"inputs": 3, "units": 5, "blocks": 5, "keys": 4, "units*keys": 20, "1": 1}
    with pytest.raises(ShapeError, match=r"units\*keys is 15"):
        kernel.lengths(params | {"decay": np.zeros(15)})
    assert axes_of("1") == () and axes_of("units*keys") == ("units", "keys")


def test_initial_values_are_the_formulas_that_the_cell_gives(rng):
    cell = fast_weights(
        v=Net(net_v, x, y_prev, bias=sympy.log(units), initial={y_prev: 10 * row + column}),
        decay=Net(decay, kind="vector", bias=100 * row + column, size="units*keys"))
    params = compile_cell(cell).random_params(5, 3, rng)
    assert np.array_equal(params["decay"].reshape(5, 3), 100 * np.arange(5)[:, None] + np.arange(3))
    assert np.array_equal(params["W_v_y"], 10 * np.arange(5)[:, None] + np.arange(5))
    assert np.array_equal(params["b_v"], np.full(5, np.log(5))) and np.abs(params["W_v_x"]).max() <= 1 / np.sqrt(5)
    drawn = compile_cell(fast_weights(v=Net(net_v, x, y_prev, bias=draw))).random_params(5, 3, rng)["b_v"]
    assert len(set(drawn)) == 5 and 0 < drawn.min() and drawn.max() < 1


def test_softplus_is_accurate_and_complex_safe():
    z = np.array([-800.0, -40, -1, 0, 1, 40, 800])
    expected = [0.0, np.exp(-40.0), np.log1p(np.exp(-1)), np.log(2), 1 + np.log1p(np.exp(-1)), 40 + np.exp(-40.0), 800.0]
    np.testing.assert_allclose(ROUTINES["softplus"](z), expected, rtol=1e-15)
    np.testing.assert_allclose(ROUTINES["softplus"](z + 1j * STEP).imag / STEP, ROUTINES["sigma"](z), rtol=1e-14)
    assert softplus(x).diff(x) == sigma(x)


def test_every_kind_prints_as_one_formula():
    shown = {e.out.name: equation_latex(e, fast_weights()) for e in fast_weights().equations}
    assert "same for all keys" in shown["v_m"] and "same for all units" in shown["k_m"] and r"\sum_{\text{keys}} C(t)" in shown["y_sum"]
    assert shown["decay"] == "decay(t) = decay"
