"""Printed loops give NumPy's numbers: every cell of the folder as plain Python, one cell compiled; planted mistakes must show."""

import inspect
import json
import os
import re
import subprocess
import sys
from dataclasses import replace
from types import SimpleNamespace

import mpmath
import numpy as np
import pytest
import sympy

from flowcheck import EquationError, Net, bptt, catalogue, compile_cell, rtrl, symbolic, truncated_1997
from flowcheck import flow as flows
from flowcheck.cli import main
from flowcheck.compiled import compile_loops, loops, modules, panels, products, routines, run_layer, tile
from flowcheck.compiled.storage import Storage
from flowcheck.flow.probes import probe_flow
from flowcheck.kernels import ShapeError
from flowcheck.network import fresh
from flowcheck.notation import squashing_functions

UNITS, INPUTS, STEPS = 4, 3, 6
ROUNDING = 3e-14
"""Six steps of sums of at most 30 terms in another order, squashing functions within 2 eps of NumPy's; slopes amplify below tenfold."""


REFUSED = {
    "mamba": "h depends on b, whose sources are not all cut",
    "mlstm": "C keeps m_prev of another place",
    "rg_lru": "h depends on net_i, whose sources are not all cut",
    "tdnn": "net<-x_1 is not cut",
}
"""Cells of the folder whose truncated rule takes more than one number per weight and cell that it reaches, and what each is told."""


@pytest.fixture
def a_fresh_cache(monkeypatch):
    """Printed programs are kept per process; start without, and leave none behind."""
    loops._program.cache_clear()
    yield
    loops._program.cache_clear()


@pytest.fixture(scope="session")
def machine_code(tmp_path_factory):
    """A folder for compiled loops that lives as long as the session."""
    pytest.importorskip("numba", reason="the loops are compiled by Numba")
    folder = tmp_path_factory.mktemp("machine_code")
    before = os.environ.get("FLOWCHECK_CACHE")
    os.environ["FLOWCHECK_CACHE"] = str(folder)
    yield folder
    os.environ.pop("FLOWCHECK_CACHE")
    if before is not None:
        os.environ["FLOWCHECK_CACHE"] = before


@pytest.fixture
def interpreted(monkeypatch):
    """The loops run as they are printed, without the compiler's seconds; the list of cells for which they were."""
    from flowcheck import compiled

    cells, right = [], compiled.compile_loops
    monkeypatch.setattr(compiled, "compile_loops", lambda cell: cells.append(cell.name) or right(cell, interpreted=True))
    return cells


def a_run(cell, rng, *, units=UNITS, steps=STEPS, batch=2):
    """A random net with nonzero initial state, its NumPy trajectory, errors at its output."""
    kernel = compile_cell(cell)
    params = kernel.random_params(units, INPUTS, rng, 2 if "blocks" in cell.sizes.values() else 1)
    params = {k: 1.2 * rng.normal(size=v.shape) / np.sqrt(v.shape[-1]) for k, v in params.items()}
    lengths = kernel.lengths(params)
    state0 = {old: rng.normal(size=(batch, lengths[cell.sizes[old]])) for old in kernel.states}
    x = rng.normal(size=(steps, batch, INPUTS))
    trajectory = kernel.forward(params, x, state0)
    errors = rng.normal(size=trajectory[cell.output.name].shape)
    return SimpleNamespace(params=params, x=x, state0=state0, trajectory=trajectory, errors=errors)


def assert_same(got, expected):
    assert got.keys() == expected.keys() and expected
    for name, value in expected.items():
        np.testing.assert_allclose(got[name], value, rtol=0, atol=ROUNDING * np.abs(value).max(), err_msg=name)


def assert_truncated(found, net, errors):
    """The truncated rule forward in time is `truncated_1997`, or refused for exactly the cells that are to be."""
    carry = lambda: found.truncated_1997(net.params, net.x, errors, net.state0)  # noqa: E731
    if found.cell.name not in REFUSED:
        return assert_same(carry().params, truncated_1997(net.trajectory, errors).params)
    with pytest.raises(EquationError) as refused:
        carry()
    told = f"{found.cell.name}: {REFUSED[found.cell.name]}, so its truncated rule cannot be compiled to loops; use the NumPy function"
    assert str(refused.value) == told


def assert_agrees(cell, net):
    """Forward, BPTT with its every result, the truncated rule."""
    found = compile_loops(cell, interpreted=True)
    run = found.forward(net.params, net.x, net.state0)
    assert_same({e.out.name: run[e.out.name] for e in cell.equations}, {e.out.name: net.trajectory[e.out.name] for e in cell.equations})
    ours, numpys = found.bptt(run, net.errors), bptt(net.trajectory, net.errors)
    for part in ("params", "inputs", "state0", "net_errors"):
        assert_same(getattr(ours, part), getattr(numpys, part))
    assert_truncated(found, net, net.errors)


def test_printed_loops_give_numpys_numbers(cell, rng):
    assert_agrees(cell, a_run(cell, rng))


def test_all_edges_or_any_one_can_be_cut(cell, rng):
    net, found = a_run(cell, rng, steps=3, batch=1), compile_loops(cell, interpreted=True)
    assert_same(found.bptt(net.trajectory, net.errors, cut=True).params, truncated_1997(net.trajectory, net.errors).params)
    for edge in cell.edges[-3:]:
        assert_same(found.bptt(net.trajectory, net.errors, cut=[str(edge)]).params, bptt(net.trajectory, net.errors, [str(edge)]).params)


def test_errors_may_enter_at_any_vector(cell, rng):
    net, found = a_run(cell, rng, steps=3, batch=1), compile_loops(cell, interpreted=True)
    entering = {name: rng.normal(size=net.trajectory[name].shape)
                for name in {cell.output.name, cell.nets[0].out.name, cell.units[-1].out.name, next(iter(cell.state.values())).name}}
    assert_same(found.bptt(net.trajectory, entering).params, bptt(net.trajectory, entering).params)
    assert_truncated(found, net, entering)


def test_probes_are_the_flow(cell, rng):
    net, found, name = a_run(cell, rng, batch=2), compile_loops(cell, interpreted=True), cell.output.name
    v = rng.normal(size=(2, net.errors.shape[-1]))
    ours, exponent = found.send_back(net.trajectory, name, v, 4, b=1)
    for q, adjoint, power, _ in flows.send_back(net.trajectory, name, b=1, errors=v):
        if q > 4:
            break
        # an adjoint may be a difference of others, zero but for their rounding: a stabiliser's is
        atol = ROUNDING * np.ldexp(max(np.abs(v).max() for v in adjoint.values()), power)
        for vector, value in adjoint.items():
            if vector not in net.trajectory.kernel.states:
                np.testing.assert_allclose(np.ldexp(ours[vector][q], exponent[q]), np.ldexp(value, power), rtol=0, atol=atol)


def test_a_probe_does_not_underflow(rng):
    cell = catalogue()["conventional"]
    kernel = compile_cell(cell)
    params = kernel.random_params(2, INPUTS, rng)
    run = kernel.forward(params, rng.normal(size=(620, 1, INPUTS)))
    found, exponent = compile_loops(cell, interpreted=True).send_back(run, "y", [1.0, 0.0], 600)
    log2 = exponent[-1] + np.log2(np.abs(found["net"][-1]).max())
    slopes = run.partials["y", "net"][:, 0]
    scale = 0.0
    row = np.array([1.0, 0.0]) * slopes[-1]
    for q in range(1, 601):
        row = row @ params["W_y"] * slopes[-1 - q]
        size = np.abs(row).max()
        row, scale = row / size, scale + np.log2(size)
    # six hundred rounded steps of 2 x 2 products
    assert log2 < -1100 and abs(log2 - scale) < 1e-10


@pytest.mark.parametrize("name", ["lstm1997", "lstm", "conventional"])
def test_one_hot_inputs_are_their_vectors(name, rng):
    cell = catalogue()[name]
    net, found = a_run(cell, rng), compile_loops(cell, interpreted=True)
    codes = rng.integers(0, INPUTS, (STEPS, 2))
    dense = np.eye(INPUTS)[codes]
    trajectory = net.trajectory.kernel.forward(net.params, dense, net.state0)
    run = found.forward(net.params, codes, net.state0)
    assert_same({cell.output.name: run[cell.output.name]}, {cell.output.name: trajectory[cell.output.name]})
    assert_same(found.bptt(run, net.errors).params, bptt(trajectory, net.errors).params)
    assert_same(found.truncated_1997(net.params, codes, net.errors, net.state0).params, truncated_1997(trajectory, net.errors).params)
    with pytest.raises(ShapeError, match="0 to 2"):
        found.forward(net.params, codes + 1)


def test_carried_derivatives_cross_chunks_and_rest_where_no_error_enters(rng, monkeypatch):
    monkeypatch.setattr(loops, "STEPS", 3)
    for name in ("lstm1997", "gru", "lstm_peephole"):
        cell = catalogue()[name]
        net = a_run(cell, rng, steps=11)
        net.errors[:9] = 0.0
        expected = truncated_1997(net.trajectory, net.errors).params
        found = compile_loops(cell, interpreted=True).truncated_1997(net.params, net.x, net.errors, net.state0).params
        assert_same(found, expected)


def test_a_single_array_of_inputs_or_errors_is_read_where_it_is(rng):
    x = rng.normal(size=(3, 2, 4))
    assert loops._side_by_side([x]) is x
    np.testing.assert_array_equal(loops._side_by_side([x, 2 * x])[..., 4:], 2 * x)


@pytest.mark.parametrize("hot", [False, True], ids=["vectors", "one-hot"])
def test_more_sources_than_a_block_of_tiles_has_rows(hot, rng):
    cell, inputs = catalogue()["lstm"], tile.BLOCK + 7
    kernel = compile_cell(cell)
    params = kernel.random_params(9, inputs, rng)
    x = rng.integers(0, inputs, (2, 1)) if hot else rng.normal(size=(2, 1, inputs))
    run = kernel.forward(params, np.eye(inputs)[x] if hot else x)
    errors = rng.normal(size=run["y"].shape)
    found = compile_loops(cell, interpreted=True).truncated_1997(params, x, errors).params
    assert_same(found, truncated_1997(run, errors).params)


# Mistakes planted in what the loops are printed from.


def a_slope_with_the_wrong_sign(patch):
    right = symbolic.partials
    patch.setattr(symbolic, "partials", lambda unit: {s: -d if s.name.startswith("net") else d for s, d in right(unit).items()})


def a_slope_where_its_function_belongs(patch):
    patch.setattr(routines, "__file__", routines.__file__)
    text = modules._routines()
    patch.setattr(modules, "_routines", lambda: text.replace("return e / ((1.0 + e) * (1.0 + e))", "return 1.0 / (1.0 + e)"))


def a_state_read_at_the_wrong_step(patch):
    right = Storage.array
    patch.setattr(Storage, "array", lambda self, name: ("now", right(self, name)[1]) if right(self, name)[0] == "before"
                  else right(self, name))


def weights_the_wrong_way_round(patch):
    right = Storage.pack
    patch.setattr(Storage, "pack", lambda self, params: right(self, params)[::-1])


def a_gate_swapped_for_its_neighbour(patch):
    right = Storage.unpack
    patch.setattr(Storage, "unpack", lambda self, w: (lambda p: p | {"W_in_y": p["W_out_y"]})(right(self, w)))


def a_shorter_exponential(patch):
    text = modules._routines()
    patch.setattr(modules, "_routines", lambda: text.replace("2.7557319223985893e-06", "0.0"))


@pytest.mark.parametrize("plant", [
    a_slope_with_the_wrong_sign, a_slope_where_its_function_belongs, a_state_read_at_the_wrong_step, weights_the_wrong_way_round,
    a_gate_swapped_for_its_neighbour, a_shorter_exponential], ids=lambda plant: plant.__name__)
def test_a_planted_mistake_shows(plant, rng, monkeypatch, a_fresh_cache):
    cell = catalogue()["lstm"]
    net = a_run(cell, rng)
    plant(monkeypatch)
    with pytest.raises(AssertionError):
        assert_agrees(cell, net)


@pytest.mark.parametrize("right, wrong", [
    (r"(l = .*) \+ after.*", r"\1"), (r"( f = )after.*", r"\g<1>1.0"), (r"\+= m\[i\]", "+= 0.0 * m[i]"), (r"\*= f\[i\]", "*= 1.0"),
    ("c\\[t, panels", "c[steps - 1 - t, panels"),
], ids=["errors stay in their step", "no decay within a chunk", "no error to an earlier chunk", "no decay over a chunk", "time reversed"])
def test_a_mistake_planted_in_the_products_over_a_chunk_shows(right, wrong, rng, monkeypatch, a_fresh_cache):
    monkeypatch.setattr(loops, "STEPS", 3)
    cell = catalogue()["lstm"]
    net, load = a_run(cell, rng, steps=9, batch=1), loops.load

    def planted(title, text, *others):
        changed = re.sub(right, wrong, text)
        assert changed != text
        return load(title, changed, *others)

    monkeypatch.setattr(loops, "load", planted)
    with pytest.raises(AssertionError, match="Not equal"):
        assert_truncated(compile_loops(cell, interpreted=True), net, net.errors)


# What is measured along a compiled run.


def test_what_is_measured_along_a_compiled_run_is_numpys(cell, rng):
    assert_measured_alike(cell, rng, ())


def test_products_that_are_kept_are_numpys(rng):
    net = a_run(catalogue()["lstm"], rng, batch=1)
    run = compile_loops(catalogue()["lstm"], interpreted=True).forward(net.params, net.x, net.state0)
    ours, numpys = (flows.path_flows(t, 3, end=4) for t in (run, net.trajectory))
    for path, flow in numpys.items():
        np.testing.assert_allclose(ours[path].log10_norm, flow.log10_norm, rtol=0, atol=1e-11)


def test_norms_of_steps_that_leave_the_range_of_squares_are_numpys():
    cell = catalogue()["tanh"]
    params = {"W_x": np.zeros((5, 1)), "W_y": 1e-200 * np.eye(5), "b": np.zeros(5)}
    run = compile_loops(cell, interpreted=True).forward(params, np.zeros((20, 1, 1)))
    np.testing.assert_allclose(flows.state_flow(run, 20).log10_norm[0], np.log10(5) / 2 - 200 * np.arange(1, 21), rtol=1e-14)


def test_what_is_measured_truncated_is_numpys(rng):
    assert_measured_alike(catalogue()["lstm1997"], rng, True)


def assert_measured_alike(cell, rng, cut):
    net = a_run(cell, rng, batch=1)
    run = compile_loops(cell, interpreted=True).forward(net.params, net.x, net.state0)
    ours, numpys = (flows.state_flow(t, 5, cut=cut) for t in (run, net.trajectory))
    known = numpys.log10_norm > numpys.log10_floor
    for part in ("log10_norm", "log10_entry"):
        np.testing.assert_allclose(getattr(ours, part)[known], getattr(numpys, part)[known], rtol=0, atol=1e-11)
    ours, numpys = (probe_flow(t, 5, count=2, cut=cut) for t in (run, net.trajectory))
    np.testing.assert_allclose(ours.log10_norm, numpys.log10_norm, rtol=0, atol=1e-11)
    np.testing.assert_allclose(ours.log10_floor, numpys.log10_floor, rtol=0, atol=1e-9)
    assert_same(bptt(run, net.errors, cut).params, bptt(net.trajectory, net.errors, cut).params)
    receivers = [*(s.name for s in cell.inputs), *(n.out.name for n in cell.nets)]
    ours, numpys = (flows.error_flows(t, cell.output.name, receivers, 5, cut=cut) for t in (run, net.trajectory))
    for name, flow in numpys.items():
        known = flow.log10_norm > flow.log10_floor
        np.testing.assert_allclose(ours[name].log10_norm[known], flow.log10_norm[known], rtol=0, atol=1e-11)
        assert np.all(ours[name].log10_norm[~known] <= np.maximum(ours[name].log10_floor, flow.log10_floor)[~known])
        assert ours[name].log10_norm0 == pytest.approx(flow.log10_norm0, abs=1e-12)


def test_error_flows_over_several_chunks_keep_numbers_and_floor(rng, interpreted):
    layer = fresh(catalogue()["lstm"], 5, 3, 0).layers[0]
    layer.params.update({k: 0.1 * v for k, v in layer.params.items() if k.endswith("_y")})
    x = rng.normal(size=(120, 1, 3))
    ours, numpys = (flows.error_flow(t, "y", "net_c", 110) for t in (run_layer(layer, x), layer.run(x)))
    np.testing.assert_allclose(ours.log10_norm, numpys.log10_norm, rtol=0, atol=1e-11)
    np.testing.assert_allclose(ours.log10_floor[0, 1:], numpys.log10_floor[0, 1:], rtol=0, atol=0.5)
    assert numpys.log10_norm[0, -1] < -20, "beyond 64 bits, where the scale changes"


def test_state_flows_rescaled_on_the_way_keep_numbers_and_floor(rng):
    cell, x = catalogue()["tanh"], rng.normal(size=(60, 1, 3))
    net = a_run(cell, rng, steps=60, batch=1)
    params = net.params | {"W_y": 0.01 * net.params["W_y"]}
    run, trajectory = compile_loops(cell, interpreted=True).forward(params, x), compile_cell(cell).forward(params, x)
    ours, numpys = (flows.state_flow(t, 58) for t in (run, trajectory))
    for part in ("log10_norm", "log10_entry", "log10_floor"):
        np.testing.assert_allclose(getattr(ours, part), getattr(numpys, part), rtol=0, atol=1e-11)
    assert numpys.log10_norm[0, -1] < -80, "beyond 2^-64 more than once"


@pytest.mark.parametrize("loop, array, name", [
    ("advance", "values", "lstm"), ("advance", "weights", "lstm"), ("advance", "given", "lstm_projected"), ("back", "slopes", "lstm")])
def test_a_planted_mistake_in_the_products_shows(loop, array, name, rng, monkeypatch):
    net = a_run(catalogue()[name], rng, steps=12, batch=1)
    run = compile_loops(catalogue()[name], interpreted=True).forward(net.params, net.x, net.state0)
    right = flows.state_flow(run, 10).log10_norm, probe_flow(run, 10).log10_norm
    loops = run.loops.products.loops
    whole, scaled = loops[loop], list(inspect.signature(loops[loop]).parameters).index(array)

    def wrong(*arrays):
        whole(*(1.001 * a if k == scaled else a for k, a in enumerate(arrays)))

    monkeypatch.setitem(loops, loop, wrong)
    assert any(np.abs(a - b).max() > 1e-4 for a, b in zip(right, (
        flows.state_flow(run, 10).log10_norm, probe_flow(run, 10).log10_norm), strict=True))


@pytest.mark.parametrize("name", ["lstm", "tanh"])
@pytest.mark.parametrize("part", ["log10_norm", "log10_floor"])
def test_a_planted_mistake_in_the_slopes_shows(part, name, rng, monkeypatch):
    net = a_run(catalogue()[name], rng, steps=12, batch=1)
    run = compile_loops(catalogue()[name], interpreted=True).forward(net.params, net.x, net.state0)
    evaluated = type(run).evaluated

    def wrong(run, b, formulas):
        values, largest = evaluated(run, b, formulas)
        return (1.001 * values, largest) if part == "log10_norm" else (values, 1.001 * largest)

    monkeypatch.setattr(type(run), "evaluated", wrong)
    ours, numpys = (getattr(probe_flow(t, 10), part) for t in (run, net.trajectory))
    assert np.abs(ours - numpys).max() > 1e-5


def test_the_command_compiles_small_layers_only(interpreted, monkeypatch, capsys):
    found = []
    for options in ([], ["--fast"]):
        with pytest.raises(SystemExit) as stop:
            main(["measure", "cell:gru", "--units", "4", "--lags", "8", "--probes", "2", "--format", "json", *options])
        assert stop.value.code == 0
        found.append(json.loads(capsys.readouterr().out))
        assert set(interpreted) == ({"gru"} if options else set())
    for a, b in zip(*(f["flows"] for f in found), strict=True):
        np.testing.assert_allclose(b["log10_norm"], a["log10_norm"], rtol=0, atol=1e-10)
    large, x = fresh(catalogue()["tanh"], 65, 2, 0).layers[0], np.random.default_rng(0).normal(size=(4, 1, 2))
    right = products.products
    monkeypatch.setattr(products, "products", lambda: right(interpreted=True))
    run = run_layer(large, x)
    assert run.loops is None and run.products is not None, "a step is NumPy's, products of steps are not"
    np.testing.assert_allclose(flows.state_flow(run, 3).log10_norm, flows.state_flow(large.run(x), 3).log10_norm, rtol=0, atol=1e-12)
    assert run_layer(fresh(catalogue()["indrnn"], 513, 2, 0).layers[0], x).products is None
    turned = replace(fresh(catalogue()["tanh"], 4, 2, 0).layers[0], reverse=True)
    x = np.random.default_rng(0).normal(size=(5, 1, 2))
    assert_same({"y": run_layer(turned, x)["y"]}, {"y": turned.run(x)["y"]})


@pytest.mark.parametrize("options", [["--device", "cpu"], ["cell:gru"]], ids=["device", "several"])
def test_fast_with_what_it_is_not_for_is_refused(options, capsys):
    with pytest.raises(SystemExit) as stop:
        main(["measure", "cell:tanh", "--fast", *options])
    error = capsys.readouterr().err
    assert stop.value.code == 2 and "--fast" in error and error.count("\n") == 1


# Squashing functions.


@pytest.mark.parametrize("name", routines.ROUTINES)
def test_squashing_functions_are_accurate_to_rounding(name):
    f = squashing_functions()[name.removesuffix("_prime")]
    points = np.concatenate([np.random.default_rng(0).normal(size=40) * scale for scale in (1e-9, 1e-3, 0.5, 5.0, 50.0)] + [[0.0, 1e-300]])
    symbol = sympy.Symbol("z")
    formula = f.as_exp(symbol).diff(symbol) if name.endswith("_prime") else f.as_exp(symbol)
    reference = sympy.lambdify(symbol, formula, modules="mpmath")
    with mpmath.workdps(400):
        for x in points:
            expected, got = reference(mpmath.mpf(float(x))), getattr(routines, name)(np.float64(x))
            # half an eps each of two divisions and of one product, one eps of the exponential
            assert abs(got - expected) <= 4 * np.finfo(float).eps * abs(expected), (x, got, float(expected))
            beside = getattr(routines, f"{name.removesuffix('_prime')}_with_slope")(np.float64(x))[name.endswith("_prime")]
            assert abs(beside - expected) <= 4 * np.finfo(float).eps * abs(expected), (x, beside, float(expected))


def test_squashing_functions_at_the_ends_of_the_scale():
    with np.errstate(over="raise", invalid="raise", divide="raise"):
        for x, s, t in ((800.0, 1.0, 1.0), (-800.0, 0.0, -1.0), (np.inf, 1.0, 1.0), (-np.inf, 0.0, -1.0)):
            x = np.float64(x)
            assert (routines.sigma(x), routines.tanh(x), routines.sigma_prime(x), routines.tanh_prime(x)) == (s, t, 0.0, 0.0)
            assert (*routines.sigma_with_slope(x), *routines.tanh_with_slope(x)) == (s, 0.0, t, 0.0)
    assert 0.0 < routines.sigma(np.float64(-745.0)) < 1e-320
    assert all(np.isnan(getattr(routines, name)(np.float64(np.nan))) for name in routines.ROUTINES)


# Refusals.


def changed(cell, **changes):
    """A cell of the catalogue with one net changed after it was checked, as a newer kind of cell would be."""
    other = replace(cell)
    first = other.nets[0]
    net = Net(first.out, *first.sources, **{"bias": first.bias, "size": first.size, **changes})
    object.__setattr__(other, "equations", (net, *other.equations[1:]))
    vars(other).pop("nets", None)  # found once
    return other


def test_a_kind_of_net_that_cannot_be_printed_is_refused_in_one_line():
    kernel = compile_cell(catalogue()["tanh"])
    params = kernel.random_params(UNITS, INPUTS, np.random.default_rng(0))
    strange = SimpleNamespace(cell=changed(kernel.cell, kind="convolution"), weights=kernel.weights, states=kernel.states)
    with pytest.raises(EquationError, match="tanh, net: .*'convolution'.*dense, diagonal, vector, shared, pooled.*NumPy") as refused:
        Storage(strange, kernel.lengths(params))
    assert "\n" not in str(refused.value)


def test_a_function_that_cannot_be_printed_is_refused_in_one_line(rng, monkeypatch):
    from flowcheck.compiled import formula, printer

    monkeypatch.setattr(formula, "ROUTINES", ("sigma",))
    cell = catalogue()["tanh"]
    kernel = compile_cell(cell)
    storage = Storage(kernel, kernel.lengths(kernel.random_params(UNITS, INPUTS, rng)))
    with pytest.raises(EquationError, match="tanh: the function tanh cannot be compiled") as refused:
        printer.Printer(storage).step()
    assert "\n" not in str(refused.value)


def test_without_numba_one_line_says_what_to_install(rng, monkeypatch, a_fresh_cache):
    monkeypatch.setitem(sys.modules, "numba", None)
    cell = catalogue()["tanh"]
    net = a_run(cell, rng)
    with pytest.raises(EquationError, match=r"Numba.*pip install 'flowcheck-rnn\[fast\]'") as refused:
        compile_loops(cell).forward(net.params, net.x)
    assert "\n" not in str(refused.value)


def test_wrong_shapes_are_refused(rng):
    cell = catalogue()["lstm"]
    net, found = a_run(cell, rng), compile_loops(cell, interpreted=True)
    run = found.forward(net.params, net.x)
    for attempt in (lambda: found.bptt(run, net.errors[:-1]), lambda: found.truncated_1997(net.params, net.x, net.errors[:-1]),
                    lambda: found.forward(net.params, net.x[..., :2]), lambda: found.send_back(run, "y", np.ones(UNITS + 1), 2)):
        with pytest.raises(ShapeError):
            attempt()
    with pytest.raises(ValueError, match="9 lags back from step 5"):
        found.send_back(run, "y", np.ones(UNITS), 9)


# Compiled.

AGAIN = """
import numpy as np
from flowcheck import catalogue
from flowcheck.compiled import compile_loops
cell = catalogue()["conventional"]
found = compile_loops(cell)
params = found.kernel.random_params(6, 3, np.random.default_rng(0))
run = found.forward(params, np.ones((4, 1, 3)))
stats = run.program.forward.stats
print(sum(stats.cache_hits.values()), sum(stats.cache_misses.values()), repr(float(run["y"].sum())))
"""


def test_compiled_loops_give_numpys_numbers_and_are_kept_on_disk(rng, machine_code):
    """A small cell; `test_reproduce.py` compiles the trainer of a cell with gates and blocks."""
    cell = catalogue()["conventional"]
    found = compile_loops(cell)
    net = a_run(cell, rng, units=6, steps=40)
    run = found.forward(net.params, net.x, net.state0)
    assert_same({"y": run["y"]}, {"y": net.trajectory["y"]})
    assert_same(found.bptt(run, net.errors).params, bptt(net.trajectory, net.errors).params)
    assert_same(rtrl(run, net.errors).params, bptt(net.trajectory, net.errors).params)
    params = found.kernel.random_params(6, INPUTS, np.random.default_rng(0))
    here = float(found.forward(params, np.ones((4, 1, INPUTS)))["y"].sum())
    done = subprocess.run([sys.executable, "-c", AGAIN], capture_output=True, text=True, timeout=120, check=False,
                          env=os.environ | {"PYTHONPATH": os.pathsep.join(sys.path)})
    assert done.returncode == 0, done.stderr
    assert done.stdout.split() == ["1", "0", repr(here)]
    assert list(machine_code.glob("conventional_6_units_3_inputs_*.py"))


def test_tiles_as_machine_code_are_matrix_products(rng, machine_code, monkeypatch):
    """More rows than a block and more depth than a panel's part, in tiles for either width of vectors: the same sums in the same order.
    What lies beside the result stays."""
    rows, matrix, start = rng.normal(size=(90, 270)), rng.normal(size=(259, 32)), rng.normal(size=(90, 50))
    found = []
    for lanes, height, columns in ((4, 5, 8), (8, 6, 16)):
        for name, value in (("LANES", lanes), ("ROWS", height), ("COLUMNS", columns)):
            monkeypatch.setattr(tile, name, value)
        source = [tile.tile_source(), modules.driver_source(panels.add_matrix)]
        multiply = modules.load("tiles", "\n\n\n".join(source), ["add_matrix"])["add_matrix"]
        packed, out = matrix.reshape(259, -1, columns).swapaxes(0, 1).ravel(), start.copy()
        for add in (False, True):
            multiply(rows, 3, 259, packed, 0, 32, out, 9, add)
            np.testing.assert_allclose(out[:, 9:41], (1 + add) * rows[:, 3:262] @ matrix, rtol=0, atol=1e-12)
        found.append(out.copy())
        out[:, 9:41] = start[:, 9:41]
        np.testing.assert_array_equal(out, start)
    np.testing.assert_array_equal(*found)


def test_strips_as_machine_code_are_matrix_products(rng, machine_code):
    """Two strips and six columns more; what lies beside the result stays."""
    source = [tile.strip_source(), modules.driver_source(products.add_rest, products.add_product)]
    multiply = modules.load("strips", "\n\n\n".join(source), ["add_product"])["add_product"]
    rows, matrix, out = rng.normal(size=(3, 270)), rng.normal(size=(259, 70)), rng.normal(size=(3, 90))
    expected = out.copy()
    multiply(rows, 3, 259, np.concatenate([[np.nan], tile.in_strips(matrix)]), 1, out, 9, 70)
    expected[:, 9:79] += rows[:, 3:262] @ matrix
    np.testing.assert_allclose(out, expected, rtol=0, atol=1e-12)


def test_printed_files_are_written_whole_and_mended(tmp_path, monkeypatch):
    monkeypatch.setenv("FLOWCHECK_CACHE", str(tmp_path / "new"))
    path = modules._written("one.py", "text\n")
    with open(path, "w") as file:
        file.write("damaged")
    assert modules._written("one.py", "text\n") == path
    with open(path) as file:
        assert file.read() == "text\n"
    (tmp_path / "blocked").write_text("a file where the folder should be")
    monkeypatch.setenv("FLOWCHECK_CACHE", str(tmp_path / "blocked"))
    with open(modules._written("two.py", "other\n")) as file:
        assert file.read() == "other\n"
