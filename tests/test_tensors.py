"""Flows on tensors: the same numbers as in NumPy, and how far lower precision can be trusted."""

import json

import numpy as np
import pytest

from flowcheck import catalogue, compile_cell, flow
from flowcheck.cli import main
from flowcheck.measure import measure, noise_inputs
from flowcheck.network import Layer, Network, fresh
from flowcheck.report import documents

torch = pytest.importorskip("torch", reason="tensors need torch")
from flowcheck import tensors  # noqa: E402  (after the skip)

torch.set_num_threads(1)
LAGS = 10
ON_CPU = tensors.Device("cpu", "float64")


def both(cell, dtype="float64", reverse=False, units=6):
    """(trajectory in NumPy, the same on tensors) of a random net."""
    network = fresh(cell, units, 3, 1)
    layer = Layer("one", cell, network.layers[0].params, reverse=reverse)
    x = np.random.default_rng(2).normal(size=(LAGS + 2, 2, 3))
    return layer.run(x), tensors.Device("cpu", dtype).run(layer, x)


def test_every_vector_and_slope_is_the_same(cell):
    numpy, ours = both(cell, reverse=True)
    for equation in cell.equations:
        name = equation.out.name
        np.testing.assert_allclose(ours[name].numpy(), numpy[name], rtol=1e-13, atol=1e-13)  # rounding over 12 steps
    for key, slope in numpy.partials.items():
        np.testing.assert_allclose(np.asarray(ours.partials[key]), slope, rtol=1e-12, atol=1e-13)


@pytest.mark.parametrize("cut", [(), True], ids=["full", "truncated"])
def test_flows_are_the_same(cell, cut):
    numpy, ours = both(cell)
    output, receivers = cell.output.name, [*(s.name for s in cell.inputs), *(n.out.name for n in cell.nets if n.sources and not n.fixed)]
    pairs = [(flow.state_flow(numpy, LAGS, b=1, cut=cut, tail=0), tensors.state_flow(ours, LAGS, b=1, cut=cut))]
    theirs = flow.error_flows(numpy, output, receivers, LAGS, b=1, cut=cut, tail=0)
    mine = tensors.error_flows(ours, output, receivers, LAGS, b=1, cut=cut)
    assert theirs.keys() == mine.keys()
    for a, b in [*pairs, *((theirs[r], mine[r]) for r in theirs)]:
        assert (a.quantity, a.gradient) == (b.quantity, b.gradient)
        np.testing.assert_array_equal(a.lags, b.lags)
        known = a.log10_norm > a.log10_floor
        np.testing.assert_allclose(b.log10_norm[known], a.log10_norm[known], atol=1e-9)
        np.testing.assert_allclose(b.log10_entry[known], a.log10_entry[known], atol=1e-9)
        assert np.all(b.log10_norm[~known] <= np.maximum(a.log10_floor, b.log10_floor)[~known] + 1)
        np.testing.assert_allclose(b.log10_norm0, a.log10_norm0, atol=1e-12)


def test_a_flow_below_what_float32_can_hold_is_kept():
    """0.5^2 a step: 1e-120 after 200 steps, where float32 ends at 1e-45."""
    cell = catalogue()["conventional"]
    network = fresh(cell, 4, 3, 0)
    network.layers[0].params["W_y"][:] = np.eye(4)
    x = np.zeros((402, 1, 3))
    run = tensors.Device("cpu", "float32").run(network.layers[0], x)
    expected = flow.state_flow(network.layers[0].run(x), 400)
    assert expected.log10_norm[0, -1] < -200
    np.testing.assert_allclose(tensors.state_flow(run, 400).log10_norm, expected.log10_norm, atol=1e-4)


@pytest.mark.parametrize("dtype, most, least", [("float32", 1e-5, 1e-8), ("bfloat16", 0.1, 1e-4)])
def test_the_rounding_error_is_that_of_the_precision(dtype, most, least):
    _, run = both(catalogue()["lstm"], dtype)
    errors = tensors.rounding_error(run, LAGS)
    assert errors.shape == (LAGS,) and least < errors.max() < most


def test_the_rounding_error_sees_products_that_are_too_coarse(monkeypatch):
    """Planted: factors with 2 bits instead of 8, a sixty-four times coarser rounding."""
    _, run = both(catalogue()["lstm"], "bfloat16")
    right = tensors.rounding_error(run, LAGS).max()

    def coarse(a, b):
        step = 2.0 ** (torch.floor(torch.log2(a.abs() + 1e-38)) - 1)
        return torch.round(a / step) * step @ b

    monkeypatch.setattr(run.kernel, "product", coarse)
    assert tensors.rounding_error(run, LAGS).max() > 3 * right


def test_products_in_bfloat16_lose_eight_bits_of_their_factors():
    kernel = compile_cell(catalogue()["tanh"], "torch:bfloat16")
    a, b = torch.full((1, 4), 1 + 2.0**-7), torch.full((4, 1), 1.0)
    assert float(kernel.product(a, b)) == 4 * (1 + 2.0**-7)
    assert float(kernel.product(a + 2.0**-9, b)) == 4 * (1 + 2.0**-7)


def test_a_stack_is_measured_layer_by_layer_as_in_numpy():
    below = fresh(catalogue()["gru"], 5, 3, 0).layers[0]
    above = Layer("above", catalogue()["lstm"], fresh(catalogue()["lstm"], 4, 5, 1).layers[0].params, level=1)
    network = Network("", (below, above))
    sets = noise_inputs(network, 20, 3)
    numpy, ours = measure(network, sets, 20), measure(network, sets, 20, device=ON_CPU)
    assert [(m.flow.layer, m.flow.quantity, m.flow.gradient) for m in numpy] == [
        (m.flow.layer, m.flow.quantity, m.flow.gradient) for m in ours]
    for a, b in zip(numpy, ours, strict=True):
        np.testing.assert_allclose(b.flow.pooled, a.flow.pooled, atol=1e-9)
        assert b.rounding_error is None


def test_the_command_says_device_type_and_error(capsys):
    with pytest.raises(SystemExit) as stop:
        main(["measure", "cell:gru", "--units", "8", "--lags", "20", "--device", "cpu", "--dtype", "float32", "--format", "json"])
    assert stop.value.code == 0
    import jsonschema

    document = json.loads(capsys.readouterr().out)
    jsonschema.validate(document, documents.schema("flowcheck.flow/1"))
    assert (document["device"], document["dtype"]) == ("cpu", "float32")
    assert all(0 < f["rounding_error"] < 1e-4 for f in document["flows"])


@pytest.mark.parametrize("name", ["cuda", "nonsense"])
def test_a_device_that_is_not_there_is_one_line(name):
    if name == "cuda" and torch.cuda.is_available():
        pytest.skip("there is a GPU")
    with pytest.raises(ValueError, match=f"torch has no device '{name}' here"):
        tensors.Device(name)


@pytest.mark.skipif(not torch.cuda.is_available(), reason="no GPU")
@pytest.mark.parametrize("dtype, tolerance", [("float64", 1e-9), ("float32", 1e-3), ("bfloat16", 0.1)])
def test_a_gpu_gives_the_same(dtype, tolerance):
    network = fresh(catalogue()["lstm"], 64, 3, 0)
    sets = noise_inputs(network, 100, 0)
    numpy = measure(network, sets, 30)[0].flow
    ours = measure(network, sets, 30, device=tensors.Device("cuda", dtype))[0].flow
    np.testing.assert_allclose(ours.pooled, numpy.pooled, atol=tolerance)
