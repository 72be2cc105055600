"""The running product: chunks of lags, threads and exponents change nothing; memory does not grow with the lags."""

import tracemalloc

import numpy as np
import pytest

from flowcheck import catalogue, compile_cell, state_flow
from flowcheck.flow import one_by_one, path_flows, state_matrices, together
from flowcheck.flow.joint import JointJacobian
from flowcheck.flow.product import StateProduct
from flowcheck.jacobian import StepJacobian
from flowcheck.step import Step

INPUTS = 3


def a_run(cell, rng, *, steps=25, gain=1.2, units=6, batch=1):
    kernel = compile_cell(cell)
    params = kernel.random_params(units, INPUTS, rng, 2 if "blocks" in cell.sizes.values() else 1)
    return kernel.forward({k: gain * v for k, v in params.items()}, rng.normal(size=(steps, batch, INPUTS)))


def joint(blocks, step):
    """The dense joint Jacobian from `StepJacobian.at`, block by block."""
    states = step.kernel.states
    return np.block([[blocks[new, old].matrix((step.length(new), step.length(old))) if (new, old) in blocks
                      else np.zeros((step.length(new), step.length(old))) for old in states] for new in states.values()])


@pytest.mark.parametrize("cut", [(), True], ids=["full", "truncated"])
def test_the_joint_jacobian_is_its_blocks(cell, cut, rng):
    step = Step(a_run(cell, rng), cut)
    jacobian, blocks = JointJacobian(step, 0), StepJacobian(step)
    rows = rng.normal(size=(4, jacobian.size))
    back, forward = np.full_like(rows, np.nan), np.full_like(rows, np.nan)
    for t in (24, 7, 8):
        expected = joint(blocks.at(t), step)
        np.testing.assert_allclose(jacobian.matrix(t), expected, rtol=1e-14, atol=1e-15)
        jacobian.back(t, rows, back)
        jacobian.forward(t, rows, forward)
        np.testing.assert_allclose(back, rows @ expected, rtol=0, atol=1e-13)
        np.testing.assert_allclose(forward, rows @ expected.T, rtol=0, atol=1e-13)


def test_chunks_are_products_one_by_one(cell, rng, monkeypatch):
    monkeypatch.setattr(together, "_FEW_BYTES", 8 * 12 * 12 * 2)  # several times few lags in a chunk
    step = Step(a_run(cell, rng, steps=60))
    running, blocks = StateProduct(step, 0, 59, 58), StepJacobian(step)
    expected, seen, lengths = np.eye(running.start.shape[1]), 0, set()
    for chunk in running.chunks():
        lengths.add(len(chunk.matrices))
        for k, matrix in enumerate(chunk.matrices):
            expected, seen = expected @ joint(blocks.at(59 - seen), step), seen + 1
            assert chunk.first + k == seen
            np.testing.assert_allclose(np.ldexp(matrix, chunk.exponent), expected, rtol=0, atol=1e-12 * np.abs(expected).max())
            assert chunk.norms[k] == pytest.approx(np.linalg.norm(matrix), rel=1e-14)
            assert chunk.largest[k] == np.abs(matrix).max()
    assert seen == 58 and max(lengths) > 1


def logs(running):
    """(lags, 3): log2 of norm, largest entry and floor of every lag."""
    norm, largest, floor, exponent = np.concatenate([chunk.measured for chunk in running.chunks()]).T
    with np.errstate(divide="ignore"):
        return np.log2([norm, largest, floor]).T + exponent[:, None]


def one_by_one_product(step, lags):
    """A product whose lags are multiplied one by one, however small they are."""
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(one_by_one.OneByOne, "pays", staticmethod(lambda rows, size: True))
        return StateProduct(step, 0, step.trajectory.steps - 1, lags, kept=False)


@pytest.mark.parametrize("cut", [(), True], ids=["full", "truncated"])
def test_norms_alone_are_those_of_the_matrices(cell, cut, rng, monkeypatch):
    monkeypatch.setattr(one_by_one, "_BLOCK_BYTES", 8 * 12 * 4)  # several blocks of rows
    step = Step(a_run(cell, rng, steps=40), cut)
    norms, expected = logs(one_by_one_product(step, 38)), logs(StateProduct(step, 0, 39, 38))
    np.testing.assert_allclose(norms[:, :2], expected[:, :2], rtol=0, atol=1e-11)
    assert np.array_equal(np.isinf(norms), np.isinf(expected))
    finite = np.isfinite(expected[:, 2])
    assert np.all(abs(norms[finite, 2] - expected[finite, 2]) <= 1), "the floor of two factors: a bit higher at most, none lower"


def test_a_second_factor_is_left_where_it_lets_errors_grow(rng):
    cells = catalogue()
    factors = {name: len(one_by_one_product(Step(a_run(cells[name], rng)), 20).way.within) for name in ("lstm", "slstm", "gru")}
    assert factors == {"lstm": 1, "slstm": 0, "gru": 0}
    slstm = JointJacobian(Step(a_run(cells["slstm"], rng)), 0, factored=True)
    assert len(slstm.within) > 1


@pytest.mark.parametrize("mistake", ["fold", "slopes", "unreached", "last block"])
def test_a_mistake_in_the_norms_is_seen(mistake, rng, monkeypatch):
    """What the product in place has and the other has not: factors of their own, columns that are cleared, the random row apart."""
    cell = {"unreached": "lstm_fgr", "slopes": "tanh"}.get(mistake, "lstm")
    step = Step(a_run(catalogue()[cell], rng, steps=40), mistake == "unreached")
    running = one_by_one_product(step, 38)
    way = running.way
    if mistake == "fold":
        way.within = []
    elif mistake == "slopes":
        way.slopes = []
    elif mistake == "unreached":
        way.unreached = []
        for few in way.products:
            few.matrices[-1][...] = 1.0
    else:
        way.blocks.append(way.blocks.pop(0))
        way.products = [one_by_one._Product(few.matrices, way.blocks) for few in way.products]
        running.here = way.begin(running.start)
    assert np.abs(logs(running)[:, 0] - logs(StateProduct(step, 0, 39, 38))[:, 0]).max() > 1e-3


@pytest.mark.parametrize(("mistake", "cell"), [("factor", "lstm"), ("order", "gru"), ("slopes", "tanh"), ("zeros", "lstm_fgr")])
def test_a_mistake_in_lags_together_is_seen(mistake, cell, rng, monkeypatch):
    """What lags together have and one by one have not: a factor in matrices of its own, steps formed on the way, slopes of every row."""
    step = Step(a_run(catalogue()[cell], rng, steps=40), mistake == "zeros")
    expected, real = logs(one_by_one_product(step, 38))[:, 0], together.Together
    assert np.abs(logs(StateProduct(step, 0, 39, 38, kept=False))[:, 0] - expected).max() < 1e-11
    if mistake == "factor":
        monkeypatch.setattr(JointJacobian, "within", property(lambda self: [], lambda self, value: None), raising=False)
    elif mistake == "order":
        formed = real._formed
        monkeypatch.setattr(real, "_formed", lambda self, *key: reversed(list(map(np.copy, formed(self, *key)))))
    elif mistake == "slopes":
        slopes = real._slopes
        monkeypatch.setattr(real, "_slopes", lambda self, s, times: slopes(self, s, times)[::-1])
    else:
        monkeypatch.setattr(real, "_room", lambda self, rooms, turn, count: np.ones((count, *self.shape)))
    assert np.abs(logs(StateProduct(step, 0, 39, 38, kept=False))[:, 0] - expected).max() > 1e-3


def resting(W, steps):
    params = {"W_x": np.zeros((len(W), 1)), "W_y": W, "b": np.zeros(len(W))}
    return compile_cell(catalogue()["tanh"]).forward(params, np.zeros((steps, 1, 1)))


@pytest.fixture(params=["matrices", "matrices, few at a time", "norms"])
def way(request, monkeypatch):
    """Lags whose matrices are measured together, or one by one."""
    if request.param.endswith("few at a time"):
        monkeypatch.setattr(together, "_FEW_BYTES", 8 * 6 * 7 * 3)
    monkeypatch.setattr(one_by_one.OneByOne, "pays", staticmethod(lambda rows, size: request.param == "norms"))


@pytest.mark.parametrize("per_step", [1e-30, 1e-3, 1e25], ids=str)
def test_steps_that_change_by_many_decades_keep_their_digits(per_step, way, rng):
    W = per_step * np.linalg.qr(rng.normal(size=(5, 5)))[0]
    flow = state_flow(resting(W, 300), 300)
    np.testing.assert_allclose(flow.log10_norm[0], np.log10(5) / 2 + np.arange(1, 301) * np.log10(per_step), rtol=0, atol=1e-9)


def test_a_sudden_drop_within_a_chunk_is_taken_in_smaller_ones(way):
    """A hundred steps of size one teach long chunks; then every step loses forty decades."""
    drop = np.where(np.arange(300) < 200, 1e-40, 1.0)[:, None, None] * np.ones((1, 1, 1))
    run = resting(np.eye(1), 300)
    run.__dict__["partials"] = {("y", "net"): drop}
    flow = state_flow(run, 300)
    expected = np.concatenate([np.zeros(100), -40.0 * np.arange(1, 201)])
    np.testing.assert_allclose(flow.log10_norm[0], expected, rtol=1e-14, atol=1e-12)


@pytest.mark.parametrize("joint", [True, False], ids=["joint", "last state"])
def test_threads_share_the_rows_and_change_no_number(cell, joint, rng):
    run = a_run(cell, rng, steps=24)
    threads_change_no_number(run, 3, None if joint else [*run.kernel.states.values()][-1])


@pytest.mark.parametrize("threads", [2, 100])
def test_two_threads_or_more_than_rows(threads, way, rng):
    threads_change_no_number(a_run(catalogue()["gru"], rng, steps=24), threads, None)


def threads_change_no_number(run, threads, state):
    one, many = (state_flow(run, 23, state=state, threads=k) for k in (1, threads))
    np.testing.assert_allclose(many.log10_norm, one.log10_norm, rtol=0, atol=1e-12)
    np.testing.assert_allclose(many.log10_entry, one.log10_entry, rtol=0, atol=1e-12)
    assert many.above_floor == one.above_floor and many.log10_norm0 == one.log10_norm0


def test_path_flows_are_the_norms_of_the_blocks(cell, rng):
    run = a_run(cell, rng, steps=30)
    found = path_flows(run, 20)
    assert set(found) == {(to, source) for to in run.kernel.states.values() for source in run.kernel.states.values()}
    for q, matrices, exponent, _ in state_matrices(run, 20):
        for key, matrix in matrices.items():
            with np.errstate(divide="ignore"):
                expected = np.log10(np.linalg.norm(matrix)) + exponent * np.log10(2)
            assert found[key].log10_norm[0, q - 1] == pytest.approx(expected, abs=1e-12)
    joint_flow = state_flow(run, 20).log10_norm[0]
    squares = sum(10 ** (2 * f.log10_norm[0]) for f in found.values())
    with np.errstate(divide="ignore"):
        np.testing.assert_allclose(np.log10(squares) / 2, joint_flow, rtol=0, atol=1e-12)


def peak_bytes(function):
    tracemalloc.start()
    function()
    peak = tracemalloc.get_traced_memory()[1]
    tracemalloc.stop()
    return peak


def test_memory_of_the_profile_does_not_grow_with_the_lags(rng):
    run = a_run(catalogue()["lstm"], rng, steps=1201, units=32)
    _ = run.partials
    few, many = (peak_bytes(lambda lags=lags: state_flow(run, lags)) for lags in (150, 1200))
    numbers = 1050 * 4 * 200  # four floats a lag, as Python objects in a list
    assert many - few < numbers, (few, many)
    assert many < 1200 * 64 * 64 * 8 / 2, "as much as the matrices of half the lags"
