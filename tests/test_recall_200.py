"""An untrained net for a task of 200 steps: who calls its gradients healthy overlooks that none reaches the first input."""

import numpy as np
import pytest

torch = pytest.importorskip("torch", reason="the nets and the brute-force gradients are torch's")

import flowcheck  # noqa: E402

STEPS, UNITS, LAGS = 200, 64, 198


@pytest.fixture(scope="module", params=["RNN", "LSTM", "GRU"])
def case(request):
    """(module in float64, inputs (200, 2, 1) with the sign to be recalled at step 0, its diagnosis)"""
    torch.manual_seed(0)
    module = getattr(torch.nn, request.param)(1, UNITS).double()
    x = 0.3 * torch.randn(STEPS, 2, 1, dtype=torch.float64)
    x[0, :, 0] = torch.tensor([1.0, -1.0])
    return module, x, flowcheck.diagnose(module, x, lags=LAGS, needs_lag=LAGS)


def test_the_lag_at_which_error_is_lost_is_named(case):
    _, _, diagnosis = case
    (finding,) = [f for f in diagnosis.findings if f.rule == "vanishing-flow"]
    assert finding.severity == "error" and 10 < finding.evidence["horizon"] < 60
    assert f"error flow is lost beyond lag {finding.evidence['horizon']}, the task needs lag {LAGS}" in finding.words


def brute_force(module, x):
    """(lags,) log10 of the Frobenius norm of d state(T)/d state(T-q), by torch.autograd through the unrolled cell, one sequence."""
    cell = {"RNN": torch.nn.RNNCell, "LSTM": torch.nn.LSTMCell, "GRU": torch.nn.GRUCell}[type(module).__name__](1, UNITS).double()
    cell.load_state_dict({k.removesuffix("_l0"): v for k, v in module.state_dict().items()})
    parts = 2 if isinstance(module, torch.nn.LSTM) else 1
    state, entering = [torch.zeros(1, UNITS, dtype=torch.float64) for _ in range(parts)], []
    for t in range(STEPS):
        state = [part.clone().requires_grad_() for part in state]  # nodes of their own: s and y of one step do not pass through each other
        entering.append(state)
        state = cell(x[t], tuple(state) if parts == 2 else state[0])
        state = [*state] if parts == 2 else [state]
    wanted = [part for q in range(1, LAGS + 1) for part in entering[STEPS - q]]
    squares = np.zeros(LAGS)
    for out in state:
        grads = torch.autograd.grad(out, wanted, torch.eye(UNITS, dtype=torch.float64)[:, None], retain_graph=True, is_grads_batched=True,
                                    allow_unused=True)
        squares += [sum(float(g.square().sum()) for g in grads[k:k + parts] if g is not None) for k in range(0, len(grads), parts)]
    return np.log10(squares) / 2


def test_the_flow_is_that_of_autograd_at_every_lag(case):
    """1e-10 relative, in float64, down to flows of 1e-40: a norm off by 1e-10 moves its log10 by 4.3e-11."""
    module, x, diagnosis = case
    flow = diagnosis.contexts[0].state_flow.flow
    assert flow.lags[-1] == LAGS
    for b in range(2):
        expected = brute_force(module, x[:, b:b + 1])
        assert np.abs(flow.log10_norm[b] - expected).max() < 1e-10 * np.log10(np.e)
    assert expected[-1] < -30


def test_default_initialisation_of_an_lstm_forgets_as_fast_as_a_plain_net(case):
    module, _, diagnosis = case
    per_step = diagnosis.contexts[0].state_flow.rate.per_step
    assert -0.45 < per_step < -0.15, f"{type(module).__name__}: {per_step}"
