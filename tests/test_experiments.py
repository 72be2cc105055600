"""Tasks of 1997: distributions, targets and lengths; the compiled trainer against `gradients`; weight counts of Table 10."""

import numpy as np
import pytest

from flowcheck import EquationError, bptt, catalogue, compile_cell, truncated_bptt
from flowcheck.compiled.named import with_named_values
from flowcheck.compiled.online import Online
from flowcheck.experiments import adding, long_lag, reber, temporal_order, two_sequence
from flowcheck.experiments.nets import fully_recurrent_outputs, initial, with_outputs, without_output_gate
from flowcheck.experiments.sequences import Sequences, join

MANY = 4000


def assert_share(found, expected, count):
    """A share of `count` draws within five standard deviations: less than one false alarm in a million."""
    assert abs(found - expected) < 5 * np.sqrt(expected * (1 - expected) / count), (found, expected)


def test_sequences_keep_their_targets_at_the_end(rng):
    s = join([3, 2], np.arange(5), [[1.0], [2.0]])
    assert s.starts.tolist() == [0, 3, 5] and s.has_target.tolist() == [False, False, True, False, True]
    assert s.final.tolist() == [[1.0], [2.0]] and len(s) == 2 and s.one(1)[0].tolist() == [3, 4]


# Experiment 1.


ARROWS = "0T1 0P5 1S1 1X2 2S3 2X5 5T5 5V4 4P2 4V3"
"""The Reber automaton as the paper's figure draws it; node 3 ends with E."""


def test_reber_strings_are_legal_and_branch_evenly(rng):
    strings = [reber.embedded(rng) for _ in range(MANY)]
    assert all(reber.legal(s) for s in strings) and min(map(len, strings)) == 9
    assert_share(np.mean([s[1] == "T" for s in strings]), 0.5, MANY)
    arrows, taken = {a[0] + a[1]: a[2] for a in ARROWS.split()}, {}
    for s in strings:
        assert s[0] == s[2] == "B" and s[1] == s[-2] and s[-3] == s[-1] == "E"
        node = "0"
        for symbol in s[3:-3]:
            taken[node + symbol] = taken.get(node + symbol, 0) + 1
            node = arrows[node + symbol]
        assert node == "3"
    assert taken.keys() == arrows.keys()
    for node in "01254":
        counts = [n for arrow, n in taken.items() if arrow[0] == node]
        assert_share(counts[0] / sum(counts), 0.5, sum(counts))


@pytest.mark.parametrize(("string", "k"), [
    ("BTBTXSETE", None), ("BPBPVVEPE", None), ("BTBTXSEPE", 7), ("BTBTTSETE", 4), ("TBTXSETE", 0), ("BTBTXSET", 8), ("BTBTXSETEE", 9),
    ("BXBTXSETE", 1), ("BPBPVPXVVEPE", None), ("BTBTSSXXTVVETE", None)])
def test_the_automaton_of_the_reber_grammar(string, k):
    if k is None:
        allowed = reber.next_symbols(string)
        assert len(allowed) == len(string) - 1
        assert all(c in a for c, a in zip(string[1:], allowed, strict=True))
        assert allowed[-1] == {"E"} and allowed[-2] == {string[1]} and allowed[0] == {"T", "P"}
    else:
        with pytest.raises(ValueError, match="no embedded Reber string"):
            reber.next_symbols(string)
        assert not reber.legal(string)


def test_reber_sets_have_different_strings_and_their_targets_are_the_next_symbols(rng):
    train, test = reber.two_sets(rng, 50)
    assert len(set(train) | set(test)) == 100
    s = reber.as_sequences(train)
    assert s.has_target.all() and len(s) == 50
    x, target, _ = s.one(7)
    text = "".join(reber.SYMBOLS[k] for k in x) + reber.SYMBOLS[target[-1].argmax()]
    assert text == train[7] and (target.argmax(axis=1)[:-1] == x[1:]).all()


# Experiment 2.


def test_drawn_reber_sets_repeat_short_strings_and_test_others(rng):
    train, test = reber.two_sets(rng, 200, drawn=True)
    assert len(train) == len(test) == 200 and len(set(train)) < 150 and not set(train) & set(test)
    short = [s for s in train if len(s) == 9]
    # BTXSE is drawn with probability 1/8, BPVVE as well
    assert_share(len(short) / 200, 0.25, 200)
    assert np.mean([len(s) for s in test]) > np.mean([len(s) for s in train])


def test_without_regularities_the_only_target_may_be_the_last(rng):
    s = long_lag.random_middle(rng, 20, 6, at_end=True)
    assert np.array_equal(np.flatnonzero(s.has_target), s.starts[1:] - 1)
    assert np.array_equal(s.final.argmax(axis=1), s.x[s.starts[:-1]]) and set(s.lengths) == {6}


@pytest.mark.parametrize("task", [long_lag.local_code, long_lag.random_middle], ids=["2a", "2b"])
def test_the_first_symbol_comes_back(task, rng):
    p = 6
    s = task(rng, MANY, p)
    x, last = s.x.reshape(MANY, p), s.final.argmax(axis=1)
    assert s.x.max() == p and s.target.shape == (MANY * p, p + 1) and s.has_target.all()
    assert (last == x[:, 0]).all() and set(x[:, 0]) == {p - 1, p}
    assert_share((x[:, 0] == p).mean(), 0.5, MANY)
    if task is long_lag.local_code:
        assert (x[:, 1:] == np.arange(p - 1)).all()
    else:
        assert set(x[:, 1:].ravel()) == set(range(p - 1)) and (s.target.argmax(axis=1).reshape(MANY, p)[:, :-1] == x[:, 1:]).all()


def test_very_long_lags_are_as_long_as_corrected(rng):
    q, p = 20, 7
    s = long_lag.very_long(rng, MANY, q, p)
    k = s.lengths - (q + 3)
    assert k.min() == 0
    # k is geometric, P(k) = (9/10)^k / 10: mean 9, variance 90; with the final symbol q + 4 + 9 = q + 13, not q + 14
    assert abs(s.lengths.mean() + 1 - (q + 13)) < 5 * np.sqrt(90 / MANY) and abs(s.lengths.mean() + 1 - (q + 14)) > 0.2
    assert_share((k == 0).mean(), 0.1, MANY)
    assert_share((k >= 10).mean(), 0.9**10, MANY)
    for n in range(50):
        x, target, has = s.one(n)
        assert (x[0], x[-1]) == (p + 1, p) and x[1] in (p + 2, p + 3) and x[2:-1].max() < p
        assert has.tolist() == [False] * (len(x) - 1) + [True] and target[-1].argmax() == x[1] - (p + 2)
    assert_share(s.final[:, 0].mean(), 0.5, MANY)
    counts = np.bincount(s.x, minlength=p + 4)[:p]
    assert abs(counts.mean() / MANY - (q + 9) / p) < 0.2 and counts.std() < 5 * np.sqrt(counts.mean())


# Experiments 3 to 6.


@pytest.mark.parametrize("noisy", ["3a", "3b", "3c"])
def test_two_sequence_problem(noisy, rng):
    s, clean = two_sequence.two_sequence(rng, MANY, 100, 3, noisy_signal=noisy == "3b", noisy_targets=noisy == "3c")
    assert (s.lengths.min(), s.lengths.max()) == (100, 110)
    begin = s.x[s.starts[:-1, None] + np.arange(3), 0]
    sign = np.where(clean == (0.2 if noisy == "3c" else 1.0), 1.0, -1.0)
    assert_share((sign > 0).mean(), 0.5, MANY)
    if noisy == "3b":
        assert abs((begin - sign[:, None]).var() - 0.2) < 5 * 0.2 * np.sqrt(2 / begin.size)
    else:
        assert (begin == sign[:, None]).all()
    rest = np.delete(s.x[:, 0], (s.starts[:-1, None] + np.arange(3)).ravel())
    assert abs(rest.var() - 0.2) < 5 * 0.2 * np.sqrt(2 / rest.size) and abs(rest.mean()) < 5 * np.sqrt(0.2 / rest.size)
    off = s.final[:, 0] - clean
    assert abs(off.var() - 0.1) < 5 * 0.1 * np.sqrt(2 / MANY) if noisy == "3c" else (off == 0).all()


@pytest.mark.parametrize("task", [adding.adding, adding.multiplication], ids=["adding", "multiplication"])
def test_adding_and_multiplication(task, rng):
    T = 40
    s = task(rng, MANY, T)
    assert (s.lengths.min(), s.lengths.max()) == (T, T + T // 10)
    low, places = (-1.0 if task is adding.adding else 0.0), []
    assert low <= s.x[:, 0].min() < low + 0.01 and 0.99 < s.x[:, 0].max() <= 1
    for n in range(MANY):
        x, target, _ = s.one(n)
        marked = np.flatnonzero(x[:, 1] == 1.0).tolist()
        assert x[0, 1] == x[-1, 1] == -1.0 and (np.delete(x[1:-1, 1], [m - 1 for m in marked]) == 0).all() and len(marked) in (1, 2)
        assert min(marked) < 10 or len(marked) == 1
        assert max(marked) <= T // 2 - 1
        values = [x[m, 0] for m in marked] + [0.0 if task is adding.adding else 1.0] * (2 - len(marked))
        expected = 0.5 + sum(values) / 4 if task is adding.adding else np.prod(values)
        assert target[-1, 0] == pytest.approx(expected, abs=1e-15)
        places.append(marked)
    # the first pair is the first mark in 1 of 10, or the second mark otherwise in 1 of T/2 - 1
    assert_share(np.mean([len(m) == 1 for m in places]), 0.1 + 0.9 / (T // 2 - 1), MANY)


@pytest.mark.parametrize("task", ["6a", "6b"])
def test_temporal_order(task, rng):
    s, windows = temporal_order.temporal_order(rng, MANY, task), temporal_order.WINDOWS[task]
    assert (s.lengths.min(), s.lengths.max()) == (100, 110) and s.final.sum() == MANY
    seen = [set() for _ in windows]
    for n in range(MANY):
        x, target, _ = s.one(n)
        at = np.flatnonzero(x >= 6)
        assert (x[0], x[-1]) == (0, 1) and x[1:-1].min() >= 2 and len(at) == len(windows)
        assert target[-1].argmax() == int("".join("XY"[k - 6] for k in x[at]).replace("X", "0").replace("Y", "1"), 2)
        for k, place in enumerate(at):
            seen[k].add(int(place))
    assert seen == [set(range(low, high + 1)) for low, high in windows]
    for share in s.final.mean(axis=0):
        assert_share(share, 2.0 ** -len(windows), MANY)


# Nets and trainer.

EVERY = ("b_in", "b_out", "b_c", "b_k")


@pytest.mark.parametrize(("lengths", "blocks", "biases", "weights"), [
    ((4, 7, 7), 4, ("b_in", "b_out"), 264), ((6, 7, 7), 3, ("b_in", "b_out"), 276),
    ((2, 54, 2), 2, (), 364), ((2, 1004, 2), 2, (), 6064), ((3, 1, 1), 3, EVERY[:3], 102),
    ((4, 2, 1), 2, EVERY, 93), ((4, 8, 4), 2, EVERY, 156), ((6, 8, 8), 3, EVERY, 308),
], ids=["1-1", "1-2", "2c q=50", "2c q=1000", "3", "4", "6a", "6b"])
def test_nets_have_the_weights_of_table_10(lengths, blocks, biases, weights, rng):
    sizes = dict(zip(("units", "inputs", "outputs"), lengths, strict=True))
    cell = with_outputs(catalogue()["lstm1997"])
    params, frozen = initial(cell, sizes, rng, 0.1, blocks=blocks, biases=biases, fixed={"b_in": -np.arange(1.0, blocks + 1)})
    held = sum(np.broadcast_to(mask, params[name].shape).sum() for name, mask in frozen.items())
    assert sum(v.size for v in params.values()) - held == weights
    net = Online(cell, params, one_hot=lengths[1] > 2, frozen=frozen, interpreted=True)
    assert len(net.free_w) == weights and all(np.array_equal(net.params[k], v) for k, v in params.items())


def test_named_values_change_no_number(cell, rng):
    kernel, named = compile_cell(cell), compile_cell(with_named_values(cell))
    params = kernel.random_params(4, 3, rng, 2 if "blocks" in cell.sizes.values() else 1)
    x = rng.normal(size=(5, 1, 3))
    got, expected = named.forward(params, x)[cell.output.name], kernel.forward(params, x)[cell.output.name]
    np.testing.assert_allclose(got, expected, rtol=0, atol=1e-15)


BOTH = {
    "input gate only": without_output_gate, "direct inputs": lambda: with_outputs(catalogue()["conventional"], inputs=True),
    "fully recurrent": fully_recurrent_outputs,
}
"""Nets whose outputs see the inputs, too."""


def a_net(name, rng, one_hot=False, units=4):
    """(cell, weights, Sequences, per sequence: NumPy trajectory and errors)."""
    cell = BOTH[name]() if name in BOTH else with_outputs(catalogue()[name])
    params, _ = initial(cell, {"units": units, "inputs": 3, "outputs": 2}, rng, 0.7, blocks=2 if "blocks" in cell.sizes.values() else None,
                        biases=("b_in", "b_c", "b_k", "b"))
    lengths = rng.integers(4, 8, 2)
    x = rng.integers(0, 3, lengths.sum()) if one_hot else rng.normal(size=(lengths.sum(), 3))
    s = join(lengths, x, rng.uniform(size=(2, 2)))
    s.has_target[s.starts[0] + 2] = True
    runs, kernel = [], compile_cell(cell)
    for n in range(2):
        x, target, has = s.one(n)
        run = kernel.forward(params, (np.eye(3)[x] if one_hot else x)[:, None])
        runs.append((run, np.where(has[:, None], run["y_k"][:, 0] - target, 0.0)[:, None]))
    return cell, params, s, runs


def one_sequence(s, n):
    return Sequences(np.array([0, s.lengths[n]]), *s.one(n))


def reference(cell, run, errors, method):
    if method == "1997":
        cut = [str(e) for e in cell.recurrent_edges if e.net != "net_k"]
        return bptt(run, errors, cut).params
    if method in ("bptt", "rtrl"):
        return bptt(run, errors).params
    window = 1 if method == "elman" else 3
    return truncated_bptt(run, errors, window, window).params


CASES = [("lstm1997", m, h) for m in ("1997", "bptt", "rtrl", "window") for h in (False, True)] + [
    ("lstm", "1997", True), ("gru", "1997", False), ("conventional", "elman", True), ("conventional", "rtrl", True),
    ("tanh", "1997", False), ("input gate only", "1997", True), ("input gate only", "bptt", False),
    ("direct inputs", "rtrl", True), ("direct inputs", "bptt", True), ("fully recurrent", "rtrl", True)]


@pytest.mark.parametrize(("name", "method", "one_hot"), CASES, ids=[f"{n}-{m}-{'one-hot' if h else 'dense'}" for n, m, h in CASES])
def test_a_change_of_weights_is_the_gradient(name, method, one_hot, rng):
    cell, params, s, runs = a_net(name, rng, one_hot)
    for n, (run, errors) in enumerate(runs):
        options = {"method": "bptt", "window": 3} if method == "window" else {"method": method}
        net = Online(cell, params, one_hot=one_hot, alpha=1.0, interpreted=True, **options)
        found = net.run(one_sequence(s, n))
        expected = reference(cell, run, errors, method)
        for key, value in net.params.items():
            # seven steps in another order, slopes from values: some eps of the largest weight and gradient
            atol = 1e-14 * max(1.0, np.abs(expected[key]).max())
            np.testing.assert_allclose(params[key] - value, expected[key], rtol=0, atol=atol, err_msg=key)
        expected = [np.abs(errors).max(), np.abs(errors).sum(), (errors**2).sum(), np.abs(errors[-1]).max()]
        np.testing.assert_allclose(found[0], expected, rtol=1e-12)


@pytest.mark.parametrize(("name", "method"), [
    ("lstm1997", "1997"), ("input gate only", "1997"), ("direct inputs", "rtrl"), ("fully recurrent", "rtrl")])
def test_changes_after_every_step_are_the_same_for_one_hot_and_dense_inputs(name, method, rng):
    """One-hot inputs change the weights of their one entry only; errors at every step."""
    cell, params, s, _ = a_net(name, rng, one_hot=True)
    s.has_target[:] = True
    dense = Sequences(s.starts, np.eye(3)[s.x], s.target, s.has_target)
    nets = [Online(cell, params, method=method, one_hot=x is s, alpha=0.5, every_step=True, interpreted=True) for x in (s, dense)]
    found = [net.run(x) for net, x in zip(nets, (s, dense), strict=True)]
    np.testing.assert_allclose(*found, rtol=1e-12)
    for key, value in nets[0].params.items():
        np.testing.assert_allclose(value, nets[1].params[key], rtol=0, atol=1e-14, err_msg=key)
        assert not np.array_equal(value, params[key])


def test_outputs_of_sequences_are_those_of_each_alone(rng):
    cell, params, s, runs = a_net("lstm1997", rng)
    found = Online(cell, params, interpreted=True).outputs(s)
    np.testing.assert_allclose(found, np.concatenate([run["y_k"][:, 0] for run, _ in runs]), rtol=1e-14)


def test_without_slope_errors_enter_at_the_nets_of_the_outputs(rng):
    cell, params, s, runs = a_net("lstm1997", rng)
    net = Online(cell, params, alpha=1.0, enter="net_k", interpreted=True)
    net.run(one_sequence(s, 0))
    run, errors = runs[0]
    cut = [str(e) for e in cell.recurrent_edges if e.net != "net_k"]
    for key, expected in bptt(run, {"net_k": errors}, cut).params.items():
        np.testing.assert_allclose(params[key] - net.params[key], expected, rtol=0, atol=1e-14 * max(1, np.abs(expected).max()))


def test_errors_enter_linear_outputs_as_they_are(rng):
    cell = with_outputs(catalogue()["lstm1997"], linear=True)
    params, s = a_net("lstm1997", rng)[1:3]
    one = one_sequence(s, 0)
    run = compile_cell(cell).forward(params, one.x[:, None])
    np.testing.assert_array_equal(run["y_k"], run["net_k"])
    errors = np.where(one.has_target[:, None], run["y_k"][:, 0] - one.target, 0.0)[:, None]
    net = Online(cell, params, alpha=1.0, interpreted=True)
    net.run(one)
    for key, expected in reference(cell, run, errors, "1997").items():
        np.testing.assert_allclose(params[key] - net.params[key], expected, rtol=0, atol=1e-14 * max(1, np.abs(expected).max()))


@pytest.mark.parametrize("method", ["1997", "bptt", "rtrl"])
def test_errors_that_are_no_numbers_are_wrong(method, rng):
    cell, params, s, _ = a_net("lstm1997", rng)
    params = params | {"W_k_y": np.full_like(params["W_k_y"], np.nan)}
    found = Online(cell, params, method=method, interpreted=True).run(s, learn=False)
    assert np.isinf(found).all() and not (found[:, 3] < 0.2).any()


def test_answers_alone_change_nothing_and_frozen_weights_stay(rng):
    cell, params, s, _ = a_net("lstm1997", rng)
    net = Online(cell, params, alpha=1.0, interpreted=True)
    net.run(s, learn=False)
    assert all(np.array_equal(net.params[k], v) for k, v in params.items())
    mask = np.zeros_like(params["W_c_x"], bool)
    mask[1] = True
    net.freeze({"W_c_x": mask, "b_in": True})
    net.run(s)
    moved = net.params["W_c_x"] != params["W_c_x"]
    assert np.array_equal(moved, ~mask) and np.array_equal(net.params["b_in"], params["b_in"])
    assert not np.array_equal(net.params["b_c"], params["b_c"])


@pytest.mark.parametrize("method", ["1997", "rtrl"])
def test_changes_after_every_step_are_those_of_shorter_and_shorter_rests(method, rng):
    cell, params, s, _ = a_net("lstm1997", rng)
    one = one_sequence(s, 0)
    one.has_target[2] = False
    at_end = Online(cell, params, method=method, alpha=0.1, interpreted=True)
    each = Online(cell, params, method=method, alpha=0.1, every_step=True, interpreted=True)
    at_end.run(one)
    each.run(one)
    for key, value in at_end.params.items():  # one target at the end: the same
        np.testing.assert_allclose(each.params[key], value, rtol=0, atol=1e-15)
    one.has_target[2] = True
    each = Online(cell, params, method=method, alpha=0.1, every_step=True, interpreted=True)
    each.run(one)
    first = Online(cell, params, method=method, alpha=0.1, interpreted=True)
    first.run(Sequences(np.array([0, 3]), one.x[:3], one.target[:3], one.has_target[:3]))
    difference = max(np.abs(each.params[k] - at_end.params[k] - (first.params[k] - params[k])).max() for k in params)
    assert 0 < difference < 0.02  # two steps of one size; the second one sees the weights that the first has changed


@pytest.mark.parametrize("plant", ["alpha", "target", "weights"])
def test_a_planted_mistake_in_training_shows(plant, rng):
    cell, params, s, runs = a_net("lstm1997", rng)
    one = one_sequence(s, 0)
    if plant == "target":
        one.target[-1] += 1e-6
    start = {k: v + (1e-6 if plant == "weights" else 0.0) for k, v in params.items()}
    net = Online(cell, start, alpha=1.0 + 1e-6 * (plant == "alpha"), interpreted=True)
    net.run(one)
    expected = reference(cell, *runs[0], "1997")
    worst = max(np.abs(start[k] - v - expected[k]).max() for k, v in net.params.items())
    assert worst > 1e-9


def test_methods_that_do_not_fit_are_refused_in_one_line(rng):
    cell, params, _, _ = a_net("lstm1997", rng)
    for options, words in (({"method": "adam"}, "no training method 'adam'"), ({"method": "bptt", "every_step": True}, "at the end")):
        with pytest.raises(EquationError, match=words) as refused:
            Online(cell, params, **options)
        assert "\n" not in str(refused.value)
