"""Squashing functions of one number, printed into every compiled module: accurate to a few units in the last place.

    exp(x) = 2^k (1 + p(r)),   k = round(x / ln 2),   r = x - k ln 2,   p(r) = expm1(r) as a polynomial of degree 13

in arithmetic that a compiler turns into vector instructions (a call of the C library's exp would stop it). Only x <= 0 is needed,
so nothing overflows; 2^k is made in two halves, so that results may be subnormal. Plain Python runs it as it stands.
"""

import math

import numpy as np

__all__ = ["ROUTINES"]

LOG2E, LN2_HIGH, LN2_LOW = 1.4426950408889634, 6.93147180369123816490e-01, 1.90821492927058770002e-10
SHIFT = 6755399441055744.0  # 1.5 * 2^52: adding it rounds to an integer, which then stands in the last bits
UNDERFLOW = -746.0  # below it exp(x) rounds to 0


def power_of_two(k):
    """2^k for a whole number k, -1022 <= k <= 1023, from the bits of k + 1.5 * 2^52."""
    return np.int64((np.float64(k + (SHIFT + 1023.0)).view(np.int64)) << 52).view(np.float64)


def expm1_reduced(r):
    """exp(r) - 1 for |r| <= ln(2) / 2: Taylor's polynomial, remainder below 1e-17 of r; in pairs, so that few products wait for others."""
    r2 = r * r
    r4 = r2 * r2
    low = (0.5 + 0.16666666666666666 * r) + (0.041666666666666664 + 0.008333333333333333 * r) * r2
    middle = (0.001388888888888889 + 0.0001984126984126984 * r) + (2.48015873015873e-05 + 2.7557319223985893e-06 * r) * r2
    high = (2.755731922398589e-07 + 2.505210838544172e-08 * r) + (2.08767569878681e-09 + 1.6059043836821613e-10 * r) * r2
    return (low + (middle + high * r4) * r4) * r2 + r


def decaying_exp(x):
    """exp(x) for x <= 0."""
    x = UNDERFLOW if x < UNDERFLOW else x
    k = (x * LOG2E + SHIFT) - SHIFT
    r = (x - k * LN2_HIGH) - k * LN2_LOW
    half = (k * 0.5 + SHIFT) - SHIFT
    return power_of_two(half) * (power_of_two(k - half) * (1.0 + expm1_reduced(r)))


def decaying_expm1(x):
    """exp(x) - 1 for x <= 0, accurate near 0; -1 + 2^-54 and below are -1."""
    x = -50.0 if x < -50.0 else x
    k = (x * LOG2E + SHIFT) - SHIFT
    r = (x - k * LN2_HIGH) - k * LN2_LOW
    scale = power_of_two(k)
    return scale * expm1_reduced(r) + (scale - 1.0)


def sigma(z):
    e = decaying_exp(-abs(z))
    return (1.0 if z >= 0.0 else e) / (1.0 + e)


def sigma_prime(z):
    e = decaying_exp(-abs(z))
    return e / ((1.0 + e) * (1.0 + e))


def tanh(z):
    a = decaying_expm1(-2.0 * abs(z))
    t = a / (2.0 + a)
    return -t if z >= 0.0 else t


def tanh_prime(z):
    return 4.0 * sigma_prime(2.0 * z)


def h(z):
    return tanh(0.5 * z)


def h_prime(z):
    return 2.0 * sigma_prime(z)


def g(z):
    return 2.0 * tanh(0.5 * z)


def g_prime(z):
    return 4.0 * sigma_prime(z)


def sigma_with_slope(z):
    """(sigma(z), sigma'(z)) of one exponential and one division."""
    e = decaying_exp(-abs(z))
    u = 1.0 / (1.0 + e)
    return (1.0 if z >= 0.0 else e) * u, e * u * u


def tanh_with_slope(z):
    """(tanh(z), tanh'(z)), likewise: of exp(x) and exp(x) - 1 at x = -2 |z|, both from expm1 of the rest of x."""
    x = -2.0 * abs(z)
    x = UNDERFLOW if x < UNDERFLOW else x
    k = (x * LOG2E + SHIFT) - SHIFT
    r = (x - k * LN2_HIGH) - k * LN2_LOW
    half = (k * 0.5 + SHIFT) - SHIFT
    high, low, rest = power_of_two(half), power_of_two(k - half), expm1_reduced(r)
    scale = high * low
    a = scale * rest + (scale - 1.0)
    u = 1.0 / (2.0 + a)
    return (-a if z >= 0.0 else a) * u, 4.0 * (high * (low * (1.0 + rest))) * u * u


def h_with_slope(z):
    value, slope = tanh_with_slope(0.5 * z)
    return value, 0.5 * slope


def g_with_slope(z):
    value, slope = tanh_with_slope(0.5 * z)
    return 2.0 * value, slope


def softplus(z):
    return (z if z >= 0.0 else 0.0) + math.log1p(decaying_exp(-abs(z)))


def sign(z):
    return 1.0 if z > 0.0 else (-1.0 if z < 0.0 else 0.0)


def heaviside(z):
    return 1.0 if z > 0.0 else (0.5 if z == 0.0 else 0.0)


ROUTINES = ("sigma", "sigma_prime", "tanh", "tanh_prime", "h", "h_prime", "g", "g_prime")
