"""Forward values: start states, precision, and the squashing functions against their definitions in mpmath."""

import ast
import os
import platform
import subprocess
import sys

import mpmath
import numpy as np
import pytest
import sympy

from flowcheck import catalogue, compile_cell, in_place
from flowcheck.in_place import calls
from flowcheck.kernels import Kernel
from flowcheck.memory import stacked
from flowcheck.notation import ROUTINES, squashing_functions
from flowcheck.oracles import STEP

UNITS, INPUTS, BATCH = 4, 3, 2


def test_the_state_is_zero_where_none_is_given(cell, rng):
    kernel = compile_cell(cell)
    params, x = kernel.random_params(UNITS, INPUTS, rng), rng.normal(size=(3, BATCH, INPUTS))
    lengths = kernel.lengths(params)
    zeros = {old: np.zeros((BATCH, lengths[cell.sizes[old]])) for old in kernel.states}
    given, default = kernel.forward(params, x, zeros), kernel.forward(params, x)
    assert np.array_equal(given[cell.output.name], default[cell.output.name])


def test_float32_in_float32_out(cell, rng):
    kernel = compile_cell(cell)
    params = {k: v.astype(np.float32) for k, v in kernel.random_params(UNITS, INPUTS, rng).items()}
    x = rng.normal(size=(3, BATCH, INPUTS)).astype(np.float32)
    single = kernel.forward(params, x)
    double = kernel.forward({k: v.astype(float) for k, v in params.items()}, x.astype(float))
    for equation in cell.equations:
        name = equation.out.name
        assert single[name].dtype == np.float32, name
        # three steps of sums of 15 terms in float32: within 200 roundings
        np.testing.assert_allclose(
            single[name], double[name], rtol=0, atol=200 * 6e-8 * max(1, np.abs(double[name]).max())
        )
    assert {np.asarray(v).dtype for v in single.partials.values() if not isinstance(v, float)} <= {np.dtype(np.float32)}


ARGUMENTS = np.concatenate([np.linspace(-800, 800, 161), np.linspace(-40, 40, 161), [1e-8, -1e-8, 0.3, -0.3, 1e-300]])
DEFINITIONS = {
    "sigma": lambda z: 1 / (1 + mpmath.exp(-z)),
    "h": lambda z: 2 / (1 + mpmath.exp(-z)) - 1,
    "g": lambda z: 4 / (1 + mpmath.exp(-z)) - 2,
    "tanh": lambda z: (mpmath.exp(2 * z) - 1) / (mpmath.exp(2 * z) + 1),
}
SLOPES = {
    "sigma": lambda z: mpmath.exp(-z) / (1 + mpmath.exp(-z)) ** 2,
    "h": lambda z: 2 * mpmath.exp(-z) / (1 + mpmath.exp(-z)) ** 2,
    "g": lambda z: 4 * mpmath.exp(-z) / (1 + mpmath.exp(-z)) ** 2,
    "tanh": lambda z: 4 * mpmath.exp(2 * z) / (mpmath.exp(2 * z) + 1) ** 2,
}
SMALLEST = float(np.finfo(float).tiny)


def exact(function, arguments):
    with mpmath.workdps(1100):  # 1 + exp(-1600) has 695 digits
        return np.array([float(function(mpmath.mpf(z))) for z in arguments])


def test_every_squashing_function_is_compared_with_its_definition():
    assert set(squashing_functions()) == set(DEFINITIONS) == set(SLOPES)


@pytest.mark.parametrize("name", DEFINITIONS)
def test_squashing_functions_are_accurate_at_every_argument(name):
    expected = exact(DEFINITIONS[name], ARGUMENTS)
    got = ROUTINES[name](ARGUMENTS)
    # exp and tanh within 2 ulp, one division, one sum; below the normal range only the absolute error is bounded
    assert np.all(np.abs(got - expected) <= 4 * np.finfo(float).eps * np.abs(expected) + SMALLEST)


@pytest.mark.parametrize("name", SLOPES)
def test_slopes_keep_full_relative_accuracy(name):
    expected = exact(SLOPES[name], ARGUMENTS)
    got = ROUTINES[f"{name}_prime"](ARGUMENTS)
    # exp within 2 ulp, one sum, one square, one division
    assert np.all(np.abs(got - expected) <= 6 * np.finfo(float).eps * expected + SMALLEST)
    assert np.any((expected > 0) & (expected < 1e-300))


def test_the_polynomial_slope_would_not_do():
    z = np.array([40.0])
    naive = ROUTINES["sigma"](z) * (1 - ROUTINES["sigma"](z))
    assert abs(naive[0] / exact(SLOPES["sigma"], z)[0] - 1) > 0.5


@pytest.mark.parametrize("name", DEFINITIONS)
def test_the_complex_step_of_a_squashing_function_is_its_slope(name):
    moved = ROUTINES[name](ARGUMENTS + 1j * STEP)
    expected = exact(SLOPES[name], ARGUMENTS)
    measurable = expected * STEP > SMALLEST / np.finfo(float).eps
    assert measurable.sum() > 150
    # complex exp, division and tanh within a few ulp each
    error = np.abs(moved.imag / STEP - expected)[measurable] / expected[measurable]
    assert error.max() < 16 * np.finfo(float).eps
    assert np.all(np.abs(moved.imag / STEP - expected)[~measurable] <= SMALLEST / STEP)
    assert np.all(np.abs(moved.real - ROUTINES[name](ARGUMENTS)) <= 4 * np.finfo(float).eps)


@pytest.mark.parametrize("name", ROUTINES)
def test_squashing_functions_raise_no_floating_point_error_but_underflow(name):
    with np.errstate(over="raise", divide="raise", invalid="raise"):
        real = ROUTINES[name](ARGUMENTS)
        lifted = ROUTINES[name](ARGUMENTS + 1j * STEP)
    assert np.isfinite(real).all() and np.isfinite(lifted).all()


@pytest.mark.parametrize("order", ["C", "F"])
def test_stacked_weights_start_on_a_cache_line(order, rng):
    matrices = [rng.normal(size=(k, 5)).astype(dtype) for k, dtype in ((3, np.float32), (1, float), (7, float))]
    for _ in range(5):
        found = stacked(matrices, order)
        assert found.__array_interface__["data"][0] % 64 == 0 and found.flags[f"{order}_CONTIGUOUS"]
        assert np.array_equal(found, np.concatenate(matrices)) and found.dtype == float


def changed_in_place(kernel, rng):
    """Vectors of which a run has other bits where formulas write in place."""
    params, x = kernel.random_params(UNITS, INPUTS, rng), rng.normal(size=(5, BATCH, INPUTS))
    found = kernel.forward(params, x)
    for unit in kernel.units.values():
        vars(unit)["calls"] = None
    expected = kernel.forward(params, x)
    return {e.out.name for e in kernel.cell.equations if not np.array_equal(found[e.out.name], expected[e.out.name])}


def test_formulas_in_place_give_the_same_bits(cell, rng):
    assert changed_in_place(Kernel(cell), rng) == set()


def test_a_mistake_in_place_is_seen(rng, monkeypatch):
    monkeypatch.setitem(in_place._UFUNCS, ast.Mult, np.add)
    assert {"s", "y"} <= changed_in_place(Kernel(catalogue()["lstm"]), rng)


PAGES_OF_A_RUN = """
import resource
import numpy as np
from flowcheck import catalogue, kernels
from flowcheck.kernels import compile_cell
{plant}
kernel = compile_cell(catalogue()["lstm"])
params, x = kernel.random_params(16, 3, np.random.default_rng(0)), np.ones((4000, 1, 3))
for _ in range(4):
    before = resource.getrusage(resource.RUSAGE_SELF).ru_minflt
    kernel.forward(params, x)
    pages = resource.getrusage(resource.RUSAGE_SELF).ru_minflt - before
print(pages)
"""


@pytest.mark.skipif(platform.libc_ver()[0] != "glibc" or any(name.startswith("MALLOC_") for name in os.environ),
                    reason="how the allocator keeps pages is glibc's own")
@pytest.mark.parametrize(("plant", "few"), [("", True), ("kernels.keep_freed = lambda: None", False)], ids=["kept", "given back"])
def test_runs_use_the_pages_of_runs_before_them(plant, few):
    found = subprocess.run([sys.executable, "-c", PAGES_OF_A_RUN.format(plant=plant)], capture_output=True, text=True, check=True)
    assert (int(found.stdout) < 500) == few, f"{found.stdout} pages of 4 KiB fetched for 8 MB"


def test_calls_of_a_formula():
    a, b = sympy.symbols("a b")

    def of(formula):
        found = calls(sympy.lambdify([a, b], formula, modules=["numpy"], cse=True))
        return found and [f"{c.into} = {c.ufunc.__name__}({', '.join(c.operands)})" for c in found[1]]

    assert of((1 - a) / b) == ["<out> = subtract(1, a)", "<out> = divide(<out>, b)"]
    assert of(sympy.tanh(a) + b**2) == ["<out> = square(b)", "<0> = tanh(a)", "<out> = add(<out>, <0>)"]
    assert of(-a) == ["<out> = negative(a)"] and of(a) == ["<out> = positive(a)"]
    assert of(sympy.exp((a + b) ** 2) * (a + b)) == [
        "<0> = add(a, b)", "<1> = square(<0>)", "<1> = exp(<1>)", "<out> = multiply(<0>, <1>)"], "what is read twice is kept"
    assert of(a**3) is None and of(sympy.Max(a, b)) is None, "left to the formula itself"
    assert calls(eval("lambda a: a")) is None, "a text that is not known"  # noqa: S307
