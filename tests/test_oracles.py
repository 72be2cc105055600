"""The oracles on functions whose derivative is known, and on functions that they must refuse."""

import math

import mpmath
import numpy as np
import pytest

from flowcheck import complex_step, high_precision
from flowcheck.oracles import NotTrusted, is_complex_safe

EPS = np.finfo(float).eps
X = np.array([0.3, -1.2, 2.5])
V = np.array([1.0, 0.5, -0.25])


ANALYTIC = {  # f, f'
    "sin": (np.sin, np.cos),
    "exp": (np.exp, np.exp),
    "cube": (lambda z: z**3, lambda z: 3 * z**2),
    "tanh": (np.tanh, lambda z: 1 / np.cosh(z) ** 2),
    "quotient": (lambda z: 1 / (1 + z**2), lambda z: -2 * z / (1 + z**2) ** 2),
}


@pytest.mark.parametrize("size", [1.0, 1e-40, 1e-120, 1e40])
@pytest.mark.parametrize("name", ANALYTIC)
def test_complex_step_has_fourteen_digits_at_any_size_of_the_derivative(name, size):
    f, slope = ANALYTIC[name]
    got = complex_step(lambda z: size * f(z), X, V)
    np.testing.assert_allclose(got, size * slope(X) * V, rtol=16 * EPS, atol=0)


@pytest.mark.parametrize("tiny", [1e-40, 1e-100])
def test_complex_step_sees_a_tiny_derivative_beside_a_large_value(tiny):
    got = complex_step(lambda z: 1.0 + tiny * np.sin(z), X, V)
    np.testing.assert_allclose(got, tiny * np.cos(X) * V, rtol=16 * EPS, atol=0)
    differences = (1.0 + tiny * np.sin(X + 1e-6 * V) - (1.0 + tiny * np.sin(X - 1e-6 * V))) / 2e-6
    assert np.all(differences == 0)


def test_complex_step_takes_and_gives_dicts():
    got = complex_step(
        lambda d: {"product": d["a"] * d["b"], "sum": d["a"] + d["b"]}, {"a": 3.0, "b": 5.0}, {"a": 1.0, "b": 10.0}
    )
    assert got == {"product": pytest.approx(35.0, rel=4 * EPS), "sum": pytest.approx(11.0, rel=4 * EPS)}


def test_complex_step_of_a_hundred_contracting_steps():
    def f(z):
        for _ in range(100):
            z = 0.25 * np.sin(z)
        return z

    slope, z = 1.0, 0.7
    for _ in range(100):
        slope, z = slope * 0.25 * np.cos(z), 0.25 * np.sin(z)
    assert slope < 1e-60
    assert complex_step(f, 0.7, 1.0) == pytest.approx(slope, rel=400 * EPS, abs=0)


def chaotic(steps):
    def f(z):
        for _ in range(steps):
            z = 4 * z * (1 - z)
        return z
    return f


def only_real(z):
    if np.iscomplexobj(z):
        raise TypeError("real numbers only")
    return z**2


def casts(z):
    return np.asarray(z, dtype=np.float32) if not np.iscomplexobj(z) else np.float64(np.real(z)).astype(float) ** 2


SAFE = {
    "polynomial": lambda z: z**3 - z,
    "tanh": np.tanh,
    "constant": lambda z: np.zeros(3) + 0 * z,
    "stiff": lambda z: np.exp(10 * z),
    "small": lambda z: 1e-40 * np.sin(z),
    "scalar": lambda z: np.sum(z**2),
    "dict": lambda z: {"a": z**2, "b": np.cos(z)},
    "branch": lambda z: np.where(np.real(z) > 0, z, np.expm1(z)),
    "matrix": lambda z: np.outer(z, z) @ np.ones(3),
}
UNSAFE = {
    "abs": (np.abs, "imaginary part"),
    "real": (lambda z: np.real(z) ** 2, "imaginary part"),
    "conjugate": (lambda z: np.conj(z) * 2, "imaginary part"),
    "norm": (lambda z: np.sqrt(np.sum(np.abs(z) ** 2)), "imaginary part"),
    "half-dropped": (lambda z: z * np.real(z), "imaginary part"),
    "conjugate-product": (lambda z: z * np.conj(z), "imaginary part"),
    "abs-by-maximum": (lambda z: np.maximum(np.real(z), -np.real(z)), "imaginary part"),
    "clip": (lambda z: np.clip(np.real(z), -2, 5) + 0 * z.imag, "imaginary part"),
    "small-abs": (lambda z: z + 1e-3 * np.abs(z), "imaginary part"),
    "vdot": (lambda z: np.vdot(z, z), "imaginary part"),
    "type-error": (only_real, "TypeError"),
    "math": (lambda z: np.array([math.sin(v) for v in z.tolist()]), "TypeError"),
    "arctan2": (lambda z: np.arctan2(z, 1.0), "TypeError"),
    "conditional-value": (lambda z: z**2 + (1.0 if np.iscomplexobj(z) else 0.0), "real part"),
    "float32": (casts, "real part"),
}


@pytest.mark.parametrize("name", SAFE)
def test_analytic_functions_are_safe(name):
    assert is_complex_safe(SAFE[name], X, V) is None


@pytest.mark.parametrize("start", [0.1234, 0.3, 0.77])
@pytest.mark.parametrize("steps", [8, 16, 30, 45])
def test_a_chaotic_analytic_function_is_safe(start, steps):
    f, x = chaotic(steps), np.array([start])
    assert abs(complex_step(f, x, np.ones(1))[0]) > 1.2**steps
    assert is_complex_safe(f, x, np.ones(1)) is None


@pytest.mark.parametrize("steps", [8, 16])
def test_a_chaotic_function_with_a_modulus_inside_is_not(steps):
    f = chaotic(steps)
    assert is_complex_safe(lambda z: f(np.abs(z)), np.array([0.3]), np.ones(1)) is not None


@pytest.mark.parametrize("name", UNSAFE)
def test_functions_that_the_complex_step_cannot_judge_are_refused_in_words(name):
    f, word = UNSAFE[name]
    reason = is_complex_safe(f, X, V)
    assert reason is not None and word in reason and "\n" not in reason


def test_the_refusal_names_the_output():
    reason = is_complex_safe(lambda d: {"fine": d["a"] ** 2, "bent": np.abs(d["a"])}, {"a": X}, {"a": V})
    assert "bent" in reason and "fine" not in reason


HIGH = {  # f in mpmath, derivative along V by its formula
    "exp": (np.frompyfunc(mpmath.exp, 1, 1), lambda x, v: mpmath.exp(x) * v),
    "sin": (np.frompyfunc(mpmath.sin, 1, 1), lambda x, v: mpmath.cos(x) * v),
    "cube": (lambda x: x**3, lambda x, v: 3 * x**2 * v),
    "tiny": (lambda x: np.array([1 + mpmath.mpf(10) ** -40 * mpmath.sin(a) for a in x], object),
             lambda x, v: mpmath.mpf(10) ** -40 * mpmath.cos(x) * v),
}


@pytest.mark.parametrize("digits", [15, 25])
@pytest.mark.parametrize("name", HIGH)
def test_high_precision_has_the_digits_asked_for_and_its_error_bounds_them(name, digits):
    f, slope = HIGH[name]
    value, error = high_precision(f, X, V, digits=digits)
    with mpmath.workdps(100):
        expected = [slope(mpmath.mpf(x), mpmath.mpf(v)) for x, v in zip(X, V, strict=True)]
        largest = max(abs(e) for e in expected)
        off = max(abs(a - b) for a, b in zip(value, expected, strict=True))
    assert off <= largest * mpmath.mpf(10) ** -digits
    assert off <= error <= largest * mpmath.mpf(10) ** -digits


def test_high_precision_agrees_with_the_complex_step():
    def through_mpmath(x):
        y = x
        for _ in range(20):
            y = np.frompyfunc(mpmath.tanh, 1, 1)(
                np.array([[0.5, -1.0, 0.25], [1.5, 0.5, -0.5], [0.1, 0.2, 0.3]]).astype(object) @ y
            )
        return y

    def through_numpy(x):
        for _ in range(20):
            x = np.tanh(np.array([[0.5, -1.0, 0.25], [1.5, 0.5, -0.5], [0.1, 0.2, 0.3]]) @ x)
        return x

    value, _ = high_precision(through_mpmath, X, V)
    expected = np.array([float(v) for v in value])
    np.testing.assert_allclose(complex_step(through_numpy, X, V), expected, rtol=0, atol=1e-12 * np.abs(expected).max())


NOT_TRUSTED = {
    "jump-in-precision": lambda x: x * mpmath.mp.dps,
    "root": lambda x: np.array(
        [mpmath.sign(a - mpmath.mpf(b)) * mpmath.sqrt(abs(a - mpmath.mpf(b))) for a, b in zip(x, X, strict=True)],
        object,
    ),
}


@pytest.mark.parametrize("name", NOT_TRUSTED)
def test_high_precision_refuses_to_vouch_for_what_does_not_settle(name):
    with pytest.raises(NotTrusted) as refused:
        high_precision(NOT_TRUSTED[name], X, V, digits=15, max_dps=160)
    assert refused.value.estimate is not None and np.shape(refused.value.estimate) == X.shape
    assert "15 digits" in str(refused.value) and "\n" not in str(refused.value)


def test_high_precision_in_too_few_digits_is_not_trusted():
    with pytest.raises(NotTrusted) as refused:
        high_precision(lambda x: x**3, X, V, digits=20, max_dps=60)
    np.testing.assert_allclose(np.array(refused.value.estimate, float), 3 * X**2 * V, rtol=1e-10)
