"""A mistake planted in the lines of a derivation is refused by its proof: sign, factor, index, time, a step left out."""

import pytest
from claims_of_paper import planted

from flowcheck.claims import ProofError

PLANTED = [  # claim that must fail, as its file stands, with a mistake; the file that is changed where it is another
    ("1", "Sum(w(i, j) * vartheta(i, m - 1), (i, 1, n))", "Sum(w(j, i) * vartheta(i, m - 1), (i, 1, n))"),
    ("1", "slope(j, m) * Sum(w(i, j)", "slope(j, m - 1) * Sum(w(i, j)"),
    ("2", "slope(b, m) * w(a, b)), u", "slope(b, m) * w(b, a)), u"),
    ("2", "slope(b, m) * w(a, b)), u", "slope(a, m) * w(a, b)), u"),
    ("3.1 matrix form", "(m, 2, q - 1)))", "(m, 2, q)))"),
    ("3.1 largest factor", "w_star, coth(z / 2) / y", "w_star, coth(z) / y"),
    ("3.1 bound by row and column", "norm ** (q - 2)", "norm ** (q - 1)"),
    ("3.1 bound", "n * (f_max * norm) ** q", "(f_max * norm) ** q / n"),
    ("3.1 tau", "4 * tau, (in_matrix", "2 * tau, (in_matrix"),
    ("3.2 condition", "slope(m) * w * vartheta(m - 1),", "slope(m) * w * vartheta(m - 1) * 2,"),
    ("3.2 activation", "f(w * y), y + constant", "f(w * y), w * y + constant"),
    ("3.2 integration", "f(x), x / w + constant, forall", "f(x), x / w, forall"),
    ("30 first line", "s(k + 1) + y(in_j, k) * g(net(c_j, k))", "s(k + 1) - y(in_j, k) * g(net(c_j, k))"),
    ("30 two steps", "gain(c_j) * h(s(1))", "gain(c_j)"),
    ("32", "sigma.slope(net(out_j, k)) * h(s(k)) * theta_j(k), (at_out", "sigma.slope(net(out_j, k)) * theta_j(k), (at_out"),
    ("37", "at_y_in, of_s, *gates_inside, *truncation", "at_y_in, of_s, *gates_inside"),
    ("41", "entry * g.slope(net(c_j, q)) * y(in_j, q)", "entry * g.slope(net(c_j, q)) * y(in_j, 0)"),
    ("41", "entry * g(net(c_j, q)) * sigma.slope(net(in_j, q))", "entry * g.slope(net(c_j, q)) * sigma.slope(net(in_j, q))"),
    ("4 sum of inputs", "inputs = Sum(y_in(tau) * g(net_c(tau))", "inputs = Sum(y_in(tau - 1) * g(net_c(tau))"),
    ("4 output from above", '> 0", y_c(t), y_out(t), in_exp', '> 0", y_c(t), y_out(t) / 2, in_exp'),
    ("4 tail of h'", "2 * exp(-x), squashed", "exp(-x), squashed"),
    ("4 drift", "t * delta, s(t), ()", "(t + 1) * delta, s(t), ()"),
    ("4 drift closes the entry", 'out", 2 * exp(-t * delta)', 'out", exp(-t * delta)'),
    ("10 cell", "case_of_10(c, w(output(k), c) * by(y(c, t - 1), (c, m)))", "case_of_10(c, w(output(k), c) * by(y(c, t), (c, m)))"),
    ("10 ordinary units", "slope_k(k, t) * Sum(w(output(k), hidden(i)) * by(y(hidden(i), t - 1), (hidden(p), m))",
     "slope_k(k, t) * Sum(-w(output(k), hidden(i)) * by(y(hidden(i), t - 1), (hidden(p), m))"),
    ("11", "slope(hidden(i), t) * y(m, t - 1),", "slope(hidden(i), t) * y(m, t),"),
    ("14", '"(14)", ds, (d_in + d_c) * by(s', '"(14)", ds, d_in * d_c * by(s'),
    ("14 every step", "d_c * Sum(by_cell(tau), (tau, 1, t))", "d_c * Sum(by_cell(tau), (tau, 1, t - 1))"),
    ("15", "+ (d_in + d_c) * h.slope(s(j, v, t)) * ds", "+ d_in * h.slope(s(j, v, t)) * ds"),
    ("19", "2 * slope_k(p, t) * (target", "slope_k(p, t) * (target"),
    ("21", "Sum(h(s(j, v, t)) * from_outputs(c)", "Sum(h.slope(s(j, v, t)) * from_outputs(c)"),
    ("22", "alpha * e(out_j, t) * y(m, t - 1)", "alpha * e(out_j, t) * y(m, t)"),
    ("23", "sigma(net(out_j, t)) * h.slope(s(j, v, t)) * from", "sigma(net(out_j, t)) * h.slope(s(j, v, t - 1)) * from"),
    ("24 cells", "-by(E(t), (c, m)), e_s(j, v, t)", "-by(E(t), (c, m)), e_s(j, v, t - 1)"),
    ("25", "lambda t: g(net(c, t)) * sigma.slope(", "lambda t: g.slope(net(c, t)) * sigma.slope("),
    ("27", "g.slope(net(c, t)) * sigma(net(in_j, t)) * y(m", "g.slope(net(c, t)) * sigma.slope(net(in_j, t)) * y(m"),
    ("29", "all_steps, 4 * W,", "all_steps, 3 * W,"),
    ("23 times of A.1", "(def_e_s, *to_outputs, *earlier)", "(def_e_s, *to_outputs)"),
    ("23 reading B", "sigma(net(out_j, t - 1)) * h.slope(s(j, v, t - 1))", "sigma(net(out_j, t - 1)) * h.slope(s(j, v, t))"),
    ("24 cells, v distinct", "Sum(e_s(j, p, t) * by(s(j, p, t), (c, m))", "Sum(e_s(j, p, t) * by(s(j, v, t), (c, m))"),
    ("10", "Sum((d_in + d_out) * Sum(w(output(k), c)", "Sum((d_in * d_out) * Sum(w(output(k), c)"),
    ("10 truncation list", "(c, m)) + through_ordinary)", "(c, m)) - through_ordinary)"),
    ("9 truncation of c_j", "Integer(0), (cell_by_unit, cut)", "Integer(0), (cell_by_unit,)"),
    ("9 c_j by a unit", "y(out_j, t) * h.slope(s(j, v, t)) * (\n", "y(out_j, t) * h(s(j, v, t)) * (\n"),
    ("11 first line", "slope(hidden(i), t) * by(net(hidden(i), t)), (of_i,)", "slope(hidden(i), t) * by(net(hidden(i), t - 1)), (of_i,)"),
    ("14 second line", "d_in * by(y(in_j, t)) * g(net(c, t))\n", "d_c * by(y(in_j, t)) * g(net(c, t))\n"),
    ("3.1 row sum", "4 * tau, (in_matrix, tau_is), \"<=\", (i,))", "4 * tau / n, (in_matrix, tau_is), \"<=\", (i,))"),
    ("3.1 tau below 1", "w_max, 4 / n, relation=\"<\"", "w_max, 8 / n, relation=\"<\""),
    ("14 product of deltas", "d_in * d_c, Integer(0)", "d_in * d_in, Integer(0)"),
    ("4 tanh", "2 / (1 + e_half ** -2) - 1)", "2 / (1 + e_half ** -1) - 1)"),
    ("3 slope", "slope_of(sigma, eq_3, lambda f: f * (1 - f))", "slope_of(sigma, eq_3, lambda f: f * (1 - f) / 2)"),
    ("29 storage", "2 * Sum(1, (m, 1, I), (v, 1, S), (j, 1, C))", "Sum(1, (m, 1, I), (v, 1, S), (j, 1, C))"),
    ("3.1 error", "w(i, j) * slope(j, m),", "w(j, i) * slope(j, m),"),
    ("3.1 weight update", "alpha * vartheta(j, m) * y(l, m + 1),", "alpha * vartheta(j, m) * y(l, m),"),
    ("3.1 number of terms", "count, n ** (q - 1), q,", "count, n ** q, q,"),
    ("3.1 tau over n", 'below("by induction", tau ** q / n, by_w_max)', 'below("by induction", tau ** q / n ** 2, by_w_max)'),
    ("3.1 global error flow", 'below("each vanishes", K * tau', 'below("each vanishes", tau'),
    ("3.1 one connection", "largest, where_largest = Rational(2238716024,", "largest, where_largest = Rational(2238716020,"),
    ("3.1 norm of slopes", "size_Fe, size_F * size_e, relation", "size_Fe, 2 * size_F * size_e, relation"),
    ("3.1 bound in any norm", "size_W * f_max * size_x(m - 1)", "n * size_W * f_max * size_x(m - 1)"),
    ("3.1 singular values, (7)", "slopes_norm(m), gamma, forall", "slopes_norm(m), 2 * gamma, forall"),
    ("3.1 singular values, nilpotent", "[[8, 8], [-8, -8]])", "[[8, 8], [-8, -7]])"),
    ("3.2 error", "w * KroneckerDelta(i, j)", "2 * w * KroneckerDelta(i, j)"),
    ("3.2 conflict over a lag", "vartheta(m), vartheta(0), forall", "vartheta(m), vartheta(m + 1), forall"),
    ("5 task 2c, length", "length, q + further + 4)", "length, q + further + 5)"),
    ("5 Table 8, MSE", "Rational(706, 10**5)", "Rational(700, 10**5)"),
    ("30 second line", "1 + held_in[0].rhs * g(net(c_j, k))", "1 - held_in[0].rhs * g(net(c_j, k))"),
    ("31 truncated", "Sum(w(i, c_j) * theta_o(i, k - 1), (i, 1, N)),", "Sum(w(i, c_j) * theta_o(i, k), (i, 1, N)),"),
    ("41 blocks, input gate", "h.slope(s(p, 0)) * g(net(c(p), q))", "h.slope(s(p, 0)) * g(net(c(p), 0))"),
    ("40 blocks", "entry = KroneckerDelta(v, p) * y(out_j, 0)", "entry = y(out_j, 0)"),
    ("5 Reber strings", "2: (3, 5)", "2: (3, 3)"),
    ("5 Experiment 1, lag", "lag_1, (embedded - 1) - 2", "lag_1, embedded - 2"),
    ("29 steps of (22)", "22: K * (H + C * S)", "22: K * (H + C)"),
    ("29 steps", "23: Sum(1, (v, 1, S), (j, 1, C), (k, 1, K)),", "23: Sum(1, (j, 1, C), (k, 1, K)),"),
]


@pytest.mark.parametrize("row", PLANTED, ids=[f"{row[0]}-{k}" for k, row in enumerate(PLANTED)])
def test_planted_mistake_is_refused(tmp_path, row):
    claim = planted(tmp_path, *row)
    with pytest.raises(ProofError, match="^claim "):
        claim.verify()


def test_sixty_claims_have_a_mistake_of_their_own():
    assert len({row[0] for row in PLANTED}) >= 60
