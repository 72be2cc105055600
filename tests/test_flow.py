"""Error flow per lag: laws of composition, bounds of section 3.1, the complex step at every lag, the rounding floor."""

import tracemalloc

import mpmath
import numpy as np
import pytest

from flowcheck import bounds, catalogue, compile_cell, error_flow, rate, state_flow
from flowcheck.equations import axes_of
from flowcheck.flow import cell_flows, error, flow_matrices, one_pass, product, quantities, state_matrices
from flowcheck.flow.scaled import frobenius
from flowcheck.symbolic import one_step_paths

STEP = 2.0**-300
UNITS, INPUTS = 6, 3
RANDOM_NETS = 200
LAGS = 100


def a_run(cell, rng, *, steps=25, gain=1.2, units=UNITS, zero_recurrent=False):
    kernel = compile_cell(cell)
    lengths = {name: 2 for name in cell.lengths}
    params = kernel.random_params(units, INPUTS, rng, 2 if "blocks" in cell.sizes.values() else 1, lengths)
    params = {k: gain * rng.normal(size=v.shape) / np.sqrt(v.shape[-1]) for k, v in params.items()}
    if zero_recurrent:
        params |= {k: 0 * params[k] for k, edge in kernel.parameters.items() if edge in cell.recurrent_edges}
    lengths = kernel.lengths(params)
    state0 = {old: rng.normal(size=(1, lengths[cell.sizes[old]])) for old in kernel.states}
    return kernel.forward(params, rng.normal(size=(steps, 1, INPUTS)), state0)


def joint(matrices, states):
    return np.block([[matrices[a, c] for c in states] for a in states])


def joint_flow(trajectory, lags, **keywords):
    """[(matrix of the joint state, exponent, floor)] for lags 1 ... ."""
    states = list(trajectory.kernel.states.values())
    return [
        (joint(m, states), exponent, floor) for _, m, exponent, floor in state_matrices(trajectory, lags, **keywords)
    ]


def assert_close_to(got, expected, tolerance):
    """Relative to the largest entry, as flows are compared."""
    np.testing.assert_allclose(got, expected, rtol=0, atol=tolerance * np.abs(expected).max())


@pytest.mark.parametrize("cut", [(), True], ids=["full", "truncated"])
def test_flow_over_a_plus_b_is_the_product_of_the_flows(cell, cut, rng):
    trajectory, end = a_run(cell, rng), 20
    for a, b in ((1, 1), (3, 5), (7, 2)):
        whole, exponent, _ = joint_flow(trajectory, a + b, end=end, cut=cut)[-1]
        late, late_exponent, _ = joint_flow(trajectory, a, end=end, cut=cut)[-1]
        early, early_exponent, _ = joint_flow(trajectory, b, end=end - a, cut=cut)[-1]
        product = np.ldexp(late @ early, late_exponent + early_exponent - exponent)
        # eight products of 18 x 18 matrices in another order
        np.testing.assert_allclose(product, whole, rtol=0, atol=1e-13 * np.linalg.norm(late) * np.linalg.norm(early))


def test_flow_over_lag_0_is_the_identity(cell, rng):
    trajectory = a_run(cell, rng)
    for equation in cell.equations:
        name = equation.out.name
        (q, matrices, exponent, _), = flow_matrices(trajectory, name, [name], 0)
        assert (q, exponent) == (0, 0)
        assert np.array_equal(matrices[name], np.eye(trajectory[name].shape[-1]))


def test_nothing_cut_is_full_and_something_cut_is_truncated(cell, rng):
    trajectory = a_run(cell, rng)
    full, nothing = state_flow(trajectory, 20), state_flow(trajectory, 20, cut=[])
    assert full.gradient == nothing.gradient == "full"
    assert np.array_equal(full.log10_norm, nothing.log10_norm)
    if cell.recurrent_edges:
        truncated = state_flow(trajectory, 20, cut=True)
        assert truncated.gradient == "truncated"
        assert not np.allclose(truncated.log10_norm, full.log10_norm, atol=1e-3)


def test_without_recurrent_weights_full_flow_is_truncated_flow(cell, rng):
    trajectory = a_run(cell, rng, zero_recurrent=True)
    for (full, e, _), (cut, f, _) in zip(joint_flow(trajectory, 20), joint_flow(trajectory, 20, cut=True), strict=True):
        np.testing.assert_allclose(np.ldexp(full, e - f), cut, rtol=1e-13, atol=0)


def test_without_recurrent_weights_nothing_flows_unless_a_state_is_carried_over(cell, rng):
    flow, carried = state_flow(a_run(cell, rng, zero_recurrent=True), 20), bool(one_step_paths(cell, cell.recurrent_edges))
    assert np.isneginf(flow.log10_norm[0, 0]) == np.isneginf(flow.log10_entry[0, 0]) == (not carried)
    assert carried or np.all(np.isneginf(flow.log10_norm))


def permuted(trajectory, order):
    """The same net with its blocks in another order, and the order of its units."""
    kernel, cell = trajectory.kernel, trajectory.kernel.cell
    size = kernel.lengths(trajectory.params)["units"] // len(order)
    units = (np.asarray(order)[:, None] * size + np.arange(size)).ravel()
    orders = {name: np.arange(n) for name, n in kernel.lengths(trajectory.params).items()} | {"units": units, "blocks": np.asarray(order)}
    for name in orders:
        if "*" in name:
            axes = [orders[axis] for axis in axes_of(name)]
            orders[name] = np.ravel_multi_index(np.ix_(*axes), [len(axis) for axis in axes]).ravel()
    params = {}
    for name in kernel.parameters:
        weight = trajectory.params[name]
        for k, size in enumerate(kernel.axes[name]):
            weight = np.take(weight, orders[size], axis=k)
        params[name] = weight
    state0 = {old: v[:, orders[cell.sizes[old]]] for old, v in trajectory.state0.items()}
    return kernel.forward(params, trajectory.inputs["x"], state0), orders


def test_permuting_units_permutes_the_flow(cell, rng):
    trajectory = a_run(cell, rng)
    blocks = trajectory.kernel.lengths(trajectory.params)["blocks"]
    other, orders = permuted(trajectory, rng.permutation(blocks))
    for (_, a, e, _), (_, b, f, _) in zip(state_matrices(trajectory, 20), state_matrices(other, 20), strict=True):
        size = np.sqrt(sum(np.sum(m**2) for m in a.values()))
        for (to, source), matrix in a.items():
            moved = matrix[np.ix_(orders[cell.sizes[to]], orders[cell.sizes[source]])]
            np.testing.assert_allclose(np.ldexp(b[to, source], f - e), moved, rtol=0, atol=1e-12 * size)


def test_state_flow_is_the_norm_of_the_state_matrices(cell, rng):
    trajectory = a_run(cell, rng)
    matrices = [np.ldexp(m, e) for m, e, _ in joint_flow(trajectory, 20)]
    flow = state_flow(trajectory, 20)
    np.testing.assert_allclose(10 ** flow.log10_norm[0], [np.linalg.norm(m) for m in matrices], rtol=1e-13)
    np.testing.assert_allclose(10 ** flow.log10_entry[0], [np.abs(m).max() for m in matrices], rtol=1e-13)
    assert flow.log10_norm0 == pytest.approx(np.log10(len(matrices[0])) / 2, rel=1e-15)


def test_flow_between_vectors_goes_through_the_states(cell, rng):
    """d a(t)/d b(t-q) = sum over states c of d a(t)/d c(t-q) as a node of its own, times d c(t-q)/d b(t-q)."""
    trajectory, end, lag = a_run(cell, rng), 20, 6
    states = list(trajectory.kernel.states.values())
    receivers = [*states, *(n.out.name for n in cell.nets), "x"]
    *_, (_, nodes, exponent, _) = state_matrices(trajectory, lag, end=end)
    within = {}
    for c in states:
        (_, within[c], _, _), = flow_matrices(trajectory, c, receivers, 0, end=end - lag)
    for sender in states:
        *_, (q, found, e, _) = flow_matrices(trajectory, sender, receivers, lag, end=end)
        assert q == lag
        for receiver in receivers:
            expected = sum(nodes[sender, c] @ within[c][receiver] for c in states)
            np.testing.assert_allclose(np.ldexp(found[receiver], e - exponent), expected, rtol=0,
                                       atol=1e-13 * (1 + np.abs(expected).max()))


@pytest.mark.parametrize("cut", [(), True], ids=["full", "truncated"])
def test_state_flow_is_the_complex_step_through_the_forward_pass(cell, cut, rng):
    trajectory, end = a_run(cell, rng, steps=12), 11
    kernel, x, states = trajectory.kernel, trajectory.inputs["x"], trajectory.kernel.states
    sizes = [trajectory[new].shape[-1] for new in states.values()]
    edges = np.cumsum([0, *sizes])
    for lag, (got, exponent, _) in enumerate(joint_flow(trajectory, 10, end=end, cut=cut), 1):
        first, n = end - lag + 1, edges[-1]
        lanes = {old: np.repeat(trajectory.at(old, first), n, axis=0).astype(complex) for old in states}
        for k, old in enumerate(states):
            lanes[old] += 1j * STEP * np.eye(n)[:, edges[k]:edges[k + 1]]
        frozen = trajectory.window(first, end + 1) if cut else None
        run = kernel.forward(
            trajectory.params, np.repeat(x[first : end + 1], n, axis=1), lanes, cut=cell.cut(cut), frozen=frozen
        )
        expected = np.concatenate([run[new][-1].imag.T for new in states.values()]) / STEP
        assert_close_to(np.ldexp(got, exponent), expected, 1e-11)  # ten products of 18 x 18, entries within 100


def test_flow_to_the_inputs_is_the_complex_step_through_the_forward_pass(cell, rng):
    trajectory, steps = a_run(cell, rng, steps=12), 12
    kernel, output = trajectory.kernel, cell.output.name
    lanes = (
        np.repeat(trajectory.inputs["x"], steps * INPUTS, axis=1).astype(complex).reshape(steps, steps, INPUTS, INPUTS)
    )
    for t in range(steps):
        lanes[t, t] += 1j * STEP * np.eye(INPUTS)
    state0 = {old: np.repeat(v, steps * INPUTS, axis=0) for old, v in trajectory.state0.items()}
    moved = kernel.forward(trajectory.params, lanes.reshape(steps, -1, INPUTS), state0)[output][-1].imag / STEP
    expected = moved.reshape(steps, INPUTS, -1).transpose(0, 2, 1)
    lags = 0
    for q, matrices, exponent, _ in flow_matrices(trajectory, output, ["x"], steps - 1):
        assert_close_to(np.ldexp(matrices["x"], exponent), expected[steps - 1 - q], 1e-11)
        lags += 1
    assert lags == steps


def logs(rows):
    """(lags, 2): log2 of norm and largest entry, of (norm, largest entry, floor, exponent) per lag."""
    norm, entry, _, exponent = np.array(rows, float).T
    with np.errstate(divide="ignore"):
        return np.log2([norm, entry]).T + exponent[:, None]


def two_ways(run, sender, cut=()):
    """{receiver: logs} of lags 0 to 8 from the product of step Jacobians, None where that is not possible; and step by step."""
    receivers = [*(n.out.name for n in run.kernel.cell.nets), *run.inputs]
    fast = one_pass.flows_in_one_pass(run, [(sender, r) for r in receivers], 8, end=24, cut=cut)
    slow = error._measured_one_by_one(run, sender, receivers, 8, 0, 24, cut)
    return fast and {r: logs(fast[sender, r]) for r in receivers}, {r: logs(slow[r]) for r in receivers}


@pytest.mark.parametrize("cut", [(), True], ids=["full", "truncated"])
def test_many_lags_together_are_those_step_by_step(cell, cut, rng):
    run, together = a_run(cell, rng), 0
    for sender in run.kernel.states.values():
        fast, slow = two_ways(run, sender, cut)
        for r in fast or ():
            np.testing.assert_allclose(fast[r], slow[r], rtol=0, atol=1e-9)
            together += 1
    assert together or cell.name not in ("conventional", "tanh", "lstm", "gru", "lstm_peephole")


def test_slopes_of_another_step_would_show(rng, monkeypatch):
    run = a_run(catalogue()["lstm"], rng)
    monkeypatch.setattr(one_pass, "_backwards", lambda slope, times: slope[times][:, None])
    fast, slow = two_ways(run, "y")
    assert min(np.abs(fast[r] - slow[r]).max() for r in ("net_in", "net_out", "x")) > 1e-2


def cell_flow_logs(run, cut=()):
    """{quantity: (lags 0 to 8, 2)} log10 of norm and largest entry: as `cell_flows` takes them, and of matrices sent back step by step."""
    states, lags = list(run.kernel.states.values()), 8
    fast = {name: np.stack([np.append(flow.log10_norm0, flow.log10_norm[0]), np.append(0.0, flow.log10_entry[0])], axis=1)[1:]
            for name, flow in cell_flows(run, lags, cut=cut).items()}
    slow = {name: logs(error._measured_one_by_one(run, sender, [receiver], lags, 0, 24, cut)[receiver])[1:] * np.log10(2.0)
            for name, (sender, receiver) in quantities(run.kernel.cell).items() if sender is not one_pass.JOINT}
    flows = [(joint(m, states), exponent) for _, m, exponent, _ in state_matrices(run, lags, cut=cut)]
    slow["state-to-state"] = logs([(np.linalg.norm(m), np.abs(m).max(), 0.0, exponent) for m, exponent in flows]) * np.log10(2.0)
    return fast, slow


@pytest.mark.parametrize("cut", [(), True], ids=["full", "truncated"])
def test_all_flows_of_a_cell_are_those_step_by_step(cell, cut, rng):
    run = a_run(cell, rng)
    fast, slow = cell_flow_logs(run, cut)
    assert fast.keys() == slow.keys() == quantities(cell).keys()
    for name in fast:
        np.testing.assert_allclose(fast[name], slow[name], rtol=0, atol=1e-9)
    pairs, output = quantities(cell).values(), cell.output.name
    taken = one_pass.flows_in_one_pass(run, pairs, 8, end=24, cut=cut)
    assert taken or cell.name not in ("conventional", "tanh", "lstm", "gru", "lstm_peephole", "indrnn")
    for sender, receiver in pairs if taken else ():
        expected = error._measured_one_by_one(run, sender, [receiver], 0, 0, 24, cut)[receiver] if sender else [
            (np.sqrt(sum(run[new].shape[-1] for new in run.kernel.states.values())), 1.0, 0.0, 0)]
        np.testing.assert_allclose(taken[sender, receiver][0][:2], expected[0][:2], rtol=1e-12, err_msg=f"lag 0, {output}")


@pytest.mark.parametrize(("mistake", "name", "cut"), [
    ("one step late", "tanh", ()), ("slopes of the last step left out", "tanh", ()),
    ("another state's rows", "lstm", ()), ("another state's rows", "lstm", True), ("units taken to be apart", "gru", ()),
    ("inputs summed over the units", "lstm", True)])
def test_a_mistake_in_one_pass_would_show(mistake, name, cut, rng, monkeypatch):
    run, real = a_run(catalogue()[name], rng), one_pass._start

    def start(step, slopes, senders, end):
        rows, earlier, found = real(step, slopes, senders, end)
        for sender in found.values():
            if mistake == "one step late":
                earlier = 0
            elif mistake == "slopes of the last step left out":
                sender.slope = None
            elif mistake == "another state's rows" and sender.rows != slice(None):
                n = sender.rows.stop - sender.rows.start
                sender.rows = slice(sender.rows.start - n, sender.rows.start) if sender.rows.start else slice(n, 2 * n)
        return rows, earlier, found

    monkeypatch.setattr(one_pass, "_start", start)
    if mistake == "units taken to be apart":
        for module in (one_pass, product):
            monkeypatch.setattr(module, "units_apart", lambda step: True)
    if mistake == "inputs summed over the units":
        monkeypatch.setattr(one_pass._Receivers, "_through", lambda self, m, net, r, apart: m @ self.step.live[net][r])
    fast, slow = cell_flow_logs(run, cut)
    with np.errstate(invalid="ignore"):  # zero in both
        assert max(np.nan_to_num(np.abs(fast[k] - slow[k]), nan=0.0).max() for k in fast) > 1e-2


@pytest.mark.parametrize("name", ["tanh", "gru", "lstm"])
def test_rows_left_out_of_one_pass_do_not_show(name, rng):
    """Of an LSTM's joint state they would: what is left out is orthogonal in all rows together, not in those of y alone."""
    run, lags = a_run(catalogue()[name], rng, steps=320, units=64, gain=0.8), 300
    pairs = quantities(run.kernel.cell)
    found = cell_flows(run, lags)
    whole = one_pass.flows_in_one_pass(run, pairs.values(), lags, end=319, tail=0)
    assert (one_pass.flows_in_one_pass(run, pairs.values(), lags, end=319) is None) == (name == "lstm")
    assert one_pass.flows_in_one_pass(run, pairs.values(), 100, end=319), "all rows, where that is soon done"
    for quantity, pair in pairs.items():
        np.testing.assert_allclose(found[quantity].log10_norm[0], logs(whole[pair])[1:, 0] * np.log10(2.0), rtol=0, atol=1e-12)
    assert np.isnan(found["state-to-state"].log10_entry[0, -1]) == (name != "tanh")
    if name == "tanh":
        flow = found["net-to-net"]
        assert all((flow.log10_entry[0] <= bound).all() for bound in flow.bounds.values())


@pytest.mark.parametrize("scale", [2.0**-700, 2.0**-530])
def test_weights_far_from_one_lose_nothing_in_one_pass(scale, rng):
    run = a_run(catalogue()["tanh"], rng)
    run.params["W_y"][:] *= scale
    expected = state_flow(run, 10).log10_norm
    assert np.isfinite(expected).all() and expected[0, 1] < -308
    np.testing.assert_allclose(cell_flows(run, 10)["state-to-state"].log10_norm, expected, rtol=1e-13)


def test_lags_beyond_the_first_input_are_refused(cell, rng):
    run = a_run(cell, rng, steps=5)
    assert len(cell_flows(run, 4)["state-to-state"].lags) == 4
    with pytest.raises(ValueError, match="5 lags back from step 4 need an input before step 0"):
        cell_flows(run, 5)
    for lags, end in ((0, None), (-1, None), (3, 0)):
        with pytest.raises(ValueError, match="lag"):
            error_flow(run, cell.output.name, cell.inputs[0].name, lags, end=end)


def test_flow_of_units_apart_takes_no_matrix_of_them(rng):
    run = a_run(catalogue()["indrnn"], rng, units=1500)
    truncated = a_run(catalogue()["lstm"], rng, steps=12, units=1000)
    for taken, square in ((lambda: state_flow(run, 20), 1500**2), (lambda: cell_flows(truncated, 10, cut=True), 2000**2)):
        taken()
        tracemalloc.start()
        taken()
        peak = tracemalloc.get_traced_memory()[1]
        tracemalloc.stop()
        assert peak < 8 * square / 4


def test_flow_of_one_sequence_knows_nothing_of_the_others(cell, rng):
    one, two = a_run(cell, rng), a_run(cell, rng)
    x = np.concatenate([one.inputs["x"], two.inputs["x"]], axis=1)
    state0 = {old: np.concatenate([one.state0[old], two.state0[old]]) for old in one.state0}
    both, alone = (one.kernel.forward(one.params, *a) for a in ((x, state0), (two.inputs["x"], two.state0)))
    np.testing.assert_allclose(
        state_flow(both, 20, b=1).log10_norm, state_flow(alone, 20).log10_norm, rtol=0, atol=1e-11
    )


@pytest.mark.parametrize(("lags", "end"), [(0, None), (26, None), (12, 10), (3, 25), (3, -1)])
def test_lags_that_the_sequence_does_not_have_are_refused(lags, end, rng):
    trajectory = a_run(catalogue()["tanh"], rng)
    with pytest.raises(ValueError) as refused:
        state_flow(trajectory, lags, end=end)
    assert "\n" not in str(refused.value) and (str(lags) in str(refused.value) or str(end) in str(refused.value))


def test_unknown_vectors_are_refused_by_name(rng):
    with pytest.raises(ValueError, match="'net_q'.*net"):
        error_flow(a_run(catalogue()["tanh"], rng), "net", "net_q", 3)


SQUASH = {"conventional": lambda z: 1 / (1 + np.exp(-z)), "tanh": np.tanh}


def random_net(seed):
    """Net number `seed`: 2 to 8 units, gain 0.2 to 5, logistic and tanh in turn, over 101 steps of noise."""
    rng = np.random.default_rng([1997, seed])
    name, n = ("conventional", "tanh")[seed % 2], int(rng.integers(2, 9))
    gain = np.exp(rng.uniform(np.log(0.2), np.log(5.0)))
    params = {"W_x": rng.normal(size=(n, INPUTS)) / 8, "W_y": gain * rng.normal(size=(n, n)) / np.sqrt(n),
              "b": rng.normal(size=n) / 8}
    trajectory = compile_cell(catalogue()[name]).forward(params, rng.normal(size=(LAGS + 1, 1, INPUTS)))
    return name, params, trajectory


def net_flow_by_complex_step(name, params, trajectory):
    """(matrices, exponents): d net(T)/d net(T-q) = matrix 2**exponent, q = 0 ... LAGS, [to, from].

    Lanes of changed nets, linearised along the stored net inputs. A lane carries its imaginary part only, scaled
    exactly to size 1; its real part is the stored one, since a second run of a chaotic net is another trajectory.
    """
    nets, W, n = trajectory["net"][:, 0], params["W_y"], len(params["b"])
    lanes, exponents = np.tile(np.eye(n), (LAGS + 1, 1, 1)), np.zeros(LAGS + 1, int)
    for t in range(LAGS):
        begun = lanes[:t + 1]
        begun[...] = (SQUASH[name](nets[t] + 1j * STEP * begun).imag / STEP) @ W.T
        if t % 4 == 3 or t == LAGS - 1:
            shift = np.frexp(np.abs(begun).max(axis=(1, 2)))[1]
            begun[...], exponents[:t + 1] = np.ldexp(begun, -shift[:, None, None]), exponents[:t + 1] + shift
    return lanes[::-1].transpose(0, 2, 1), exponents[::-1]


def relative_error(got, got_exponent, expected, exponent):
    return np.linalg.norm(np.ldexp(got, got_exponent - exponent) - expected) / np.linalg.norm(expected)


@pytest.fixture(scope="module")
def random_flows():
    """For each random net, per lag: bounds, log10 of the largest entry, relative disagreement with the complex step."""
    found = []
    for seed in range(RANDOM_NETS):
        name, params, trajectory = random_net(seed)
        reference, exponents = net_flow_by_complex_step(name, params, trajectory)
        flows = [(m["net"], e) for _, m, e, _ in flow_matrices(trajectory, "net", ["net"], LAGS)]
        error = [relative_error(*flow, r, e) for flow, r, e in zip(flows, reference, exponents, strict=True)][1:]
        norm = np.log10(np.linalg.norm(reference, axis=(1, 2))) + exponents * np.log10(2.0)
        found.append({"seed": seed, "n": len(params["b"]), "bounds": bounds(trajectory, LAGS), "error": np.array(error),
                      "entry": np.array([np.log10(np.abs(m).max()) + e * np.log10(2.0) for m, e in flows[1:]]),
                      "log10_norm": norm[1:]})
    return found


ROUNDING = 1e-11  # of a log10 after 100 products


def excess(random_flows, which):
    """Largest log10 of entry over bound, over all nets and lags, and where."""
    return max((float(np.max(f["entry"] - f["bounds"][which])), f["seed"]) for f in random_flows)


@pytest.mark.parametrize("which", ["with n", "without n"])
def test_two_hundred_random_nets_keep_the_bound(random_flows, which):
    largest, seed = excess(random_flows, which)
    assert len(random_flows) == RANDOM_NETS and all(
        len(f["entry"]) == LAGS == len(f["bounds"][which]) for f in random_flows
    )
    assert largest <= ROUNDING, f"net {seed}"


@pytest.mark.parametrize("which", ["with n", "without n"])
def test_a_tenth_of_the_bound_is_violated(random_flows, which):
    assert excess(random_flows, which)[0] > -1.0


def test_bounds_are_those_of_section_3_1(random_flows):
    for seed in (0, 1, 50, 51):
        name, params, trajectory = random_net(seed)
        y = trajectory["y"][::-1, 0][1:]
        slopes = np.abs(y * (1 - y) if name == "conventional" else 1 - y**2).max(axis=1)
        norm = np.abs(params["W_y"]).sum(axis=1).max()
        q = np.arange(1, LAGS + 1)
        expected = q * np.log10(np.maximum.accumulate(slopes) * norm)
        found = bounds(trajectory, LAGS)
        np.testing.assert_allclose(found["without n"], expected, rtol=0, atol=1e-9)
        np.testing.assert_allclose(found["with n"] - found["without n"], np.log10(len(params["b"])), rtol=0, atol=1e-12)


def test_two_hundred_random_nets_agree_with_the_complex_step_at_every_lag(random_flows):
    errors = np.array([f["error"] for f in random_flows])
    assert errors.shape == (RANDOM_NETS, LAGS) and np.isfinite(errors).all()
    # a hundred products of at most 8 x 8, of which generic ones cancel little: 1e-13, with room for the unlucky
    assert errors.max() < 1e-10, f"net {errors.max(axis=1).argmax()}, lag {errors.max(axis=0).argmax() + 1}"


def test_the_agreement_covers_flows_below_1e_30_and_growing_ones(random_flows):
    norms = np.array([f["log10_norm"] for f in random_flows])
    assert np.isfinite(norms).all()
    assert (norms < -30).sum() > 1000 and (norms < -60).sum() > 300
    assert (norms[:, -1] > 0).sum() >= 4 and norms.max() > 5


def test_the_agreement_would_show_a_matrix_transposed_at_one_lag():
    name, params, trajectory = random_net(3)
    reference, exponents = net_flow_by_complex_step(name, params, trajectory)
    *_, (_, found, e, _) = flow_matrices(trajectory, "net", ["net"], 30)
    assert relative_error(found["net"], e, reference[30], exponents[30]) < 1e-10
    assert relative_error(found["net"].T, e, reference[30], exponents[30]) > 1e-3


def w_max_net(n, w):
    """All weights w > 0 and every net input exactly 0, so that every slope is 1/4: the flow is (n w / 4)^q / n."""
    params = {"W_x": np.zeros((n, INPUTS)), "W_y": np.full((n, n), w), "b": np.full(n, -w * n / 2)}
    return compile_cell(catalogue()["conventional"]).forward(
        params, np.zeros((LAGS + 1, 1, INPUTS)), {"y_prev": np.full((1, n), 0.5)}
    )


@pytest.mark.parametrize("n", [2, 4, 8])
def test_weights_below_4_over_n_vanish_as_n_tau_to_the_q(n):
    w = 3.9 / n
    entry = error_flow(w_max_net(n, w), "net", "net", LAGS).log10_entry[0]
    q, tau = np.arange(1, LAGS + 1), n * w / 4
    np.testing.assert_allclose(entry, q * np.log10(tau) - np.log10(n), rtol=0, atol=1e-9)
    assert tau < 1 and np.all(entry <= np.log10(n) + q * np.log10(tau))
    assert np.all(np.diff(entry) < 0)


@pytest.mark.parametrize("n", [2, 4, 8])
def test_a_tau_two_percent_and_a_half_too_small_is_violated(n):
    entry = error_flow(w_max_net(n, 4.0 / n), "net", "net", LAGS).log10_entry[0]
    too_small = 3.9 / 4.0
    assert np.any(entry > np.arange(1, LAGS + 1) * np.log10(too_small))


def test_bounds_from_an_earlier_end_use_the_slopes_before_it(rng):
    trajectory = a_run(catalogue()["conventional"], rng)
    short = trajectory.window(0, 16)
    for which, values in bounds(trajectory, 15, end=15).items():
        np.testing.assert_allclose(values, bounds(short, 15)[which], rtol=0, atol=1e-13)


@pytest.mark.parametrize("name", ["lstm", "gru", "carousel"])
def test_bounds_are_refused_for_cells_that_the_paper_bounds_not(name, rng):
    with pytest.raises(ValueError, match=name) as refused:
        bounds(a_run(catalogue()[name], rng), 5)
    assert "\n" not in str(refused.value)


def long_run(name, steps, rng, units=5, gain=1.0):
    cell = catalogue()[name]
    kernel = compile_cell(cell)
    params = kernel.random_params(units, INPUTS, rng)
    params = {k: gain * v for k, v in params.items()}
    return kernel.forward(params, rng.normal(size=(steps, 1, INPUTS)))


def test_ten_thousand_lags_of_decay_do_not_underflow(rng):
    trajectory = long_run("conventional", 10_001, rng)
    flow = state_flow(trajectory, 10_000)
    assert np.isfinite(flow.log10_norm).all() and np.isfinite(flow.log10_floor).all()
    assert flow.log10_norm[0, -1] < -400 and flow.above_floor == 10_000
    assert rate(flow).verdict == "vanishing"


def test_ten_thousand_lags_of_growth_do_not_overflow():
    params = {"W_x": np.zeros((2, 1)), "W_y": np.array([[1.5, 0.5], [-0.25, 1.25]]), "b": np.zeros(2)}
    trajectory = compile_cell(catalogue()["tanh"]).forward(params, np.zeros((10_000, 1, 1)))
    flow = state_flow(trajectory, 10_000)
    radius = max(abs(np.linalg.eigvals(params["W_y"])))
    assert flow.log10_norm[0, -1] == pytest.approx(10_000 * np.log10(radius), abs=1.0)
    assert rate(flow).verdict == "exploding" and rate(flow).horizon is None


@pytest.mark.parametrize(("name", "cut", "state"), [("carousel", (), None), ("lstm1997", True, "s")])
def test_the_carousel_keeps_error_at_every_lag(name, cut, state, rng):
    flow = state_flow(long_run(name, 2_001, rng), 2_000, cut=cut, state=state)
    found = rate(flow)
    assert (
        abs(found.per_step) <= 1e-12
        and found.verdict == "sustained"
        and found.half_life is None
        and found.horizon is None
    )
    np.testing.assert_allclose(flow.log10_norm[0], np.log10(5) / 2, rtol=0, atol=1e-12)
    assert flow.gradient == ("truncated" if cut else "full")


def test_without_truncation_lstm1997_is_no_exact_carousel(rng):
    flow = state_flow(long_run("lstm1997", 301, rng, gain=2.0), 300, state="s")
    assert np.ptp(flow.log10_norm) > 1e-3


def flow_in_fifty_digits(params, xs, lags):
    """log10 Frobenius norm of d y(T)/d y(T-q), q = 1 ... lags, in plain loops; runs forward anew from y = 0."""
    with mpmath.workdps(50):
        n, steps = len(params["b"]), len(xs)
        W_x, W_y, b = (
            [[mpmath.mpf(v) for v in row] for row in np.atleast_2d(params[k]).tolist()] for k in ("W_x", "W_y", "b")
        )
        y, slopes = [mpmath.mpf(0)] * n, []
        for x in xs.tolist():
            net = [
                b[0][i] + sum(W_x[i][j] * x[j] for j in range(len(x))) + sum(W_y[i][j] * y[j] for j in range(n))
                for i in range(n)
            ]
            y = [1 / (1 + mpmath.exp(-z)) for z in net]
            slopes.append([v * (1 - v) for v in y])
        product = [[mpmath.mpf(i == j) for j in range(n)] for i in range(n)]
        found = []
        for q in range(1, lags + 1):
            f = slopes[steps - q]
            scaled = [[row[k] * f[k] for k in range(n)] for row in product]
            product = [[sum(row[k] * W_y[k][j] for k in range(n)) for j in range(n)] for row in scaled]
            found.append(float(mpmath.log10(mpmath.sqrt(sum(v**2 for row in product for v in row)))))
        return np.array(found)


def test_norms_and_rate_agree_with_fifty_digits(rng):
    n, lags = 8, 300
    params = {
        "W_x": rng.normal(size=(n, INPUTS)),
        "W_y": 2 * rng.normal(size=(n, n)) / np.sqrt(n),
        "b": rng.normal(size=n) / 2,
    }
    x = rng.normal(size=(lags, 1, INPUTS))
    flow = state_flow(compile_cell(catalogue()["conventional"]).forward(params, x), lags)
    expected = flow_in_fifty_digits(params, x[:, 0], lags)
    np.testing.assert_allclose(flow.log10_norm[0], expected, rtol=0, atol=1e-10)
    found = rate(flow)
    first, last = found.fitted
    slope = (expected[last - 1] - expected[first - 1]) / (last - first)
    assert found.interval[0] <= slope <= found.interval[1] and slope < 0
    assert found.per_step == pytest.approx(slope, abs=1e-12)
    assert last == lags and expected[-1] < -60


def nilpotent(order, rng):
    """A matrix whose power `order` is zero but for the rounding of its entries: a shift, turned."""
    turn, _ = np.linalg.qr(rng.normal(size=(5, 5)))
    shift = np.diag(np.where(np.arange(4) < order - 1, 3.0, 0.0), k=1)
    return turn @ shift @ turn.T


def resting(W, steps):
    """A tanh net at rest: every slope is exactly 1 and every step Jacobian exactly W."""
    params = {"W_x": np.zeros((len(W), 1)), "W_y": W, "b": np.zeros(len(W))}
    return compile_cell(catalogue()["tanh"]).forward(params, np.zeros((steps, 1, 1)))


def relative_error_in_fifty_digits(W, lag):
    """How far the package's d y(t)/d y(t-lag) of the resting net is from W to that power, in 50 digits."""
    with mpmath.workdps(50):
        power = mpmath.matrix(W.tolist()) ** lag
        expected = np.array(power.tolist(), dtype=float)
    *_, (_, found, exponent, _) = state_matrices(resting(W, lag), lag)
    return relative_error(found["y", "y"], exponent, expected, 0)


@pytest.mark.parametrize("seed", range(6))
@pytest.mark.parametrize("order", [2, 3, 4, 5])
def test_what_rounding_leaves_of_a_nilpotent_step_is_below_the_floor(order, seed):
    W = nilpotent(order, np.random.default_rng(seed))
    flow = state_flow(resting(W, 60), 60)
    assert relative_error_in_fifty_digits(W, order) > 1e-2
    assert flow.above_floor == order - 1
    found = rate(flow)
    assert found.fitted is None or found.fitted[1] < order


def test_an_exactly_nilpotent_step_is_zero_and_below_the_floor():
    flow = state_flow(resting(np.array([[8.0, 8.0], [-8.0, -8.0]]), 30), 30)
    assert np.isfinite(flow.log10_norm[0, 0]) and np.all(np.isneginf(flow.log10_norm[0, 1:]))
    assert flow.above_floor == 1
    found = rate(flow)
    assert (found.per_step, found.interval, found.fitted, found.horizon) == (None, None, None, 1)


def test_rank_one_steps_that_cancel_in_a_running_net_are_below_the_floor(rng):
    """W = u v^T with v^T F'(t) u = 0 in exact arithmetic: pairs of units with opposite net inputs share their slope."""
    v = rng.normal(size=3)
    W = np.outer(np.repeat(rng.normal(size=3), 2) * np.tile([1, 1], 3), np.stack([v, -v], axis=1).ravel())
    W_x = np.repeat(rng.normal(size=(3, 1)), 2, axis=0)
    trajectory = compile_cell(catalogue()["tanh"]).forward(
        {"W_x": W_x, "W_y": W * np.pi, "b": np.zeros(6)}, rng.normal(size=(40, 1, 1)))
    flow = state_flow(trajectory, 40)
    assert flow.above_floor == 1 and rate(flow).per_step is None


def test_a_generic_net_stays_above_the_floor_however_far_it_decays(random_flows):
    below = [seed for seed in range(0, 40) if error_flow(random_net(seed)[2], "net", "net", LAGS).above_floor < LAGS]
    assert below == []


@pytest.mark.parametrize("size", [1e-250, 1e-160, 1.0, 1e160, 1e250])
def test_norms_keep_their_digits_at_both_ends_of_the_range(size, rng):
    matrix = rng.normal(size=(5, 3))
    assert frobenius(size * matrix) / size == pytest.approx(np.linalg.norm(matrix), rel=1e-14)
    assert frobenius(np.zeros((2, 3))) == 0.0
