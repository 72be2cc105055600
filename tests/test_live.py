"""Live torch modules: the diagnosis of the net as it runs is that of the net as it is saved; the module is left as it was."""

import jsonschema
import numpy as np
import pytest

torch = pytest.importorskip("torch", reason="live nets are torch modules")

import flowcheck  # noqa: E402
from flowcheck import catalogue  # noqa: E402
from flowcheck.detectors import diagnose as diagnose_network  # noqa: E402
from flowcheck.detectors.losses import layer_errors  # noqa: E402
from flowcheck.formats import InputSet, load  # noqa: E402
from flowcheck.live.capture import captured  # noqa: E402
from flowcheck.live.stacks import stacks  # noqa: E402
from flowcheck.report import documents  # noqa: E402

LAGS = 12


class Classifier(torch.nn.Module):
    """A recurrent layer, dropout, a linear map of its last step."""

    def __init__(self, rnn):
        super().__init__()
        self.rnn, self.drop, self.head = rnn, torch.nn.Dropout(0.5), torch.nn.Linear(2 * 6 if rnn.bidirectional else 6, 2)

    def forward(self, x, lengths=None):
        if lengths is not None:
            x = torch.nn.utils.rnn.pack_padded_sequence(x, lengths, enforce_sorted=False)
        y = self.rnn(x)[0]
        y = y if lengths is None else torch.nn.utils.rnn.pad_packed_sequence(y)[0]
        return self.head(self.drop(y[-1]))


class Loop(torch.nn.Module):
    """A cell in the user's own loop over time."""

    def __init__(self, cell):
        super().__init__()
        self.cell = cell

    def forward(self, x):
        state, found = None, []
        for step in x:
            state = self.cell(step, state)
            found.append(state[0] if isinstance(state, tuple) else state)
        return torch.stack(found)


@pytest.fixture(autouse=True)
def seeded():
    torch.manual_seed(0)


def x(steps=40, batch=2, inputs=3, seed=1):
    return torch.randn(steps, batch, inputs, generator=torch.Generator().manual_seed(seed))


def stack_of(module, inputs):
    (stack,) = stacks(module, captured(module, inputs), catalogue())
    return stack


def numbers(diagnosis):
    return ([(f.rule, f.layer, f.unit, f.severity, f.words) for f in diagnosis.findings],
            [(m.flow.layer, m.flow.quantity, m.flow.pooled.tolist()) for m in diagnosis.measured])


@pytest.mark.parametrize("kind, options", [
    ("RNN", {}), ("LSTM", {"num_layers": 2, "dropout": 0.4}), ("GRU", {"bidirectional": True}),
], ids=["rnn", "lstm of two levels with dropout", "gru in both directions"])
def test_the_live_net_is_diagnosed_as_the_saved_one(kind, options, tmp_path):
    module = Classifier(getattr(torch.nn, kind)(3, 6, **options))
    torch.save(module.state_dict(), tmp_path / "net.pt")
    network = load(tmp_path / "net.pt", catalogue())
    saved = diagnose_network(network, [InputSet("inputs", network.layers[0].name, x().double().numpy())], lags=LAGS)
    assert numbers(flowcheck.diagnose(module, x(), lags=LAGS)) == numbers(saved)


@pytest.mark.parametrize("make", [
    lambda: (torch.nn.LSTM(3, 6), x()), lambda: (torch.nn.LSTM(3, 6, batch_first=True), x().transpose(0, 1)),
    lambda: (torch.nn.LSTM(3, 6, proj_size=4, bias=False), x()), lambda: (torch.nn.RNN(3, 6, nonlinearity="relu"), x()),
    lambda: (torch.nn.GRU(3, 6, 2, bidirectional=True), x()), lambda: (torch.nn.GRU(3, 6), x()[:, 0]),
    lambda: (torch.nn.LSTM(3, 6, 2), (x(), (torch.randn(2, 2, 6), torch.randn(2, 2, 6)))),
    lambda: (torch.nn.GRU(3, 6), {"input": x(), "hx": torch.randn(1, 2, 6)}),
    lambda: (Loop(torch.nn.LSTMCell(3, 6)), x()), lambda: (Loop(torch.nn.GRUCell(3, 6)), x()),
    lambda: (Loop(torch.nn.RNNCell(3, 6, nonlinearity="relu")), x()),
    lambda: (torch.nn.LSTM(3, 6).double(), x().double()), lambda: (torch.nn.GRU(3, 6).bfloat16(), x().bfloat16()),
], ids=["lstm", "batch first", "projected, no bias", "rectified", "both directions, two levels", "one sequence without batch",
        "lstm from given states", "gru from a given state", "lstm cell", "gru cell", "rectified cell", "float64", "bfloat16"])
def test_the_replay_meets_the_modules_outputs(make):
    """The capture itself refuses a replay that does not; here each kind of module passes."""
    module, inputs = make()
    stack = stack_of(module, inputs)
    assert sum(s.x.size for s in stack.sets) > 0


def test_a_wrong_start_would_be_refused(monkeypatch):
    module = torch.nn.LSTM(3, 6)
    calls = captured(module, (x(), (3 * torch.ones(1, 2, 6), 3 * torch.ones(1, 2, 6))))
    calls[0].calls[0].states = None
    with pytest.raises(ValueError, match="is off its own outputs by"):
        stacks(module, calls, catalogue())


def test_a_layer_with_another_forward_pass_is_refused():
    class Doubled(torch.nn.GRU):
        def forward(self, x):
            return super().forward(2 * x)

    with pytest.raises(ValueError, match="forward pass is not torch.nn.Doubled's"):
        flowcheck.diagnose(Doubled(3, 6), x())


@pytest.mark.parametrize("batch_first", [False, True])
def test_inputs_that_are_not_finite_are_named(batch_first):
    """The replay of such inputs would be off, through no fault of the module."""
    given = x()
    given[7, 1, 2] = float("nan")
    with pytest.raises(ValueError, match=r"x of the layer has 1 numbers that are not finite, the first at \[1, 7, 2\] as \(batch"):
        flowcheck.diagnose(torch.nn.LSTM(3, 6, batch_first=batch_first), given.transpose(0, 1) if batch_first else given)


def test_packed_sequences_are_taken_by_length():
    stack = stack_of(Classifier(torch.nn.LSTM(3, 6)), (x(batch=3), torch.tensor([40, 25, 40])))
    assert {s.label: s.x.shape for s in stack.sets} == {"inputs, 40 steps": (40, 2, 3), "inputs, 25 steps": (25, 1, 3)}
    np.testing.assert_array_equal(stack.sets[1].x[:, 0], x(batch=3)[:25, 1].double().numpy())


@pytest.mark.parametrize("pack", [lambda x: x, lambda x: (x,), lambda x: {"input": x}], ids=["alone", "tuple", "dict"])
def test_arrays_are_taken_as_tensors(pack):
    module, array = torch.nn.GRU(3, 6), x().double().numpy()
    assert numbers(flowcheck.diagnose(module, pack(array), lags=LAGS)) == numbers(flowcheck.diagnose(module, x(), lags=LAGS))


def test_a_given_state_is_where_the_replay_starts():
    h, c = torch.full((1, 2, 6), 0.5), torch.full((1, 2, 6), 2.0)
    diagnosis = flowcheck.diagnose(torch.nn.LSTM(3, 6), (x(), (h, c)), lags=LAGS)
    start = diagnosis.contexts[0].runs[0].trajectory.state0
    assert (start["y_prev"] == 0.5).all() and (start["s_prev"] == 2.0).all()


def test_compiled_modules_are_seen():
    module = Classifier(torch.nn.LSTM(3, 6))
    assert numbers(flowcheck.diagnose(torch.compile(module, backend="eager"), x(), lags=LAGS)) == numbers(
        flowcheck.diagnose(module, x(), lags=LAGS))


def test_modules_that_feed_each_other_are_one_stack_and_others_are_not():
    class Two(torch.nn.Module):
        def __init__(self, between):
            super().__init__()
            self.below, self.above, self.between = torch.nn.GRU(3, 6), torch.nn.GRU(6, 4), between

        def forward(self, x):
            return self.above(self.between(self.below(x)[0]))[0]

    assert [[layer.level for layer in stack_of(Two(torch.nn.Identity()), x()).network.layers]] == [[0, 1]]
    apart = Two(torch.nn.ReLU())
    assert len(stacks(apart, captured(apart, x()), catalogue())) == 2
    assert {c.layer.name for c in flowcheck.diagnose(apart, x(), lags=LAGS).contexts} == {"below", "above"}


def test_a_parametrised_weight_is_taken_as_the_module_uses_it():
    module = torch.nn.GRU(3, 6)
    torch.nn.utils.parametrizations.weight_norm(module, "weight_hh_l0")
    with torch.no_grad():
        module.parametrizations.weight_hh_l0.original0 *= 1.5
    stack_of(module, x())


@pytest.mark.parametrize("parametrise", [torch.nn.utils.parametrizations.weight_norm, torch.nn.utils.parametrizations.orthogonal,
                                         torch.nn.utils.weight_norm, torch.nn.utils.parametrizations.spectral_norm],
                         ids=["weight norm", "orthogonal", "weight norm of old", "spectral norm"])
@pytest.mark.filterwarnings("ignore:.*weight_norm.* is deprecated")
def test_what_a_recurrent_weight_is_computed_from_is_no_read_out(parametrise):
    module = Classifier(torch.nn.GRU(3, 6))
    parametrise(module.rnn, "weight_hh_l0")
    assert stack_of(module, x()).network.readout.name == "head"
    alone = parametrise(torch.nn.GRU(3, 6), "weight_hh_l0")
    assert stack_of(alone, x()).network.readout is None and not stack_of(alone, x()).network.notes


def test_the_module_is_left_as_it_was():
    module = Classifier(torch.nn.LSTM(3, 6, 2, dropout=0.5)).train()
    module.drop.eval()
    before = {k: v.clone() for k, v in module.state_dict().items()}
    flowcheck.diagnose(module, x(), lags=LAGS)
    assert module.training and module.rnn.training and not module.drop.training
    assert all(torch.equal(v, before[k]) for k, v in module.state_dict().items())
    assert not any(part._forward_hooks for part in module.modules())


@pytest.mark.parametrize("module, error, words", [
    (torch.nn.Linear(3, 2), ValueError, "no recurrent layer"), ("net.pt", TypeError, "expected a torch.nn.Module, got str"),
], ids=["no recurrent layer", "no module"])
def test_what_cannot_be_diagnosed_says_so(module, error, words):
    with pytest.raises(error, match=words):
        flowcheck.diagnose(module, x())


@pytest.mark.parametrize("make", [
    lambda: (Classifier(torch.nn.LSTM(3, 6, 2)), x(batch=3)),
    lambda: (Classifier(torch.nn.GRU(3, 6, bidirectional=True)), (x(batch=3), torch.tensor([40, 25, 40]))),
], ids=["two levels", "both directions, packed"])
def test_the_errors_of_a_loss_are_those_of_training(make):
    """Sent on to the inputs of the layer by the replay, they are autograd's dE/dx; no gradient is left in the weights."""
    module, inputs = make()
    given = inputs[0] if isinstance(inputs, tuple) else inputs
    target = torch.randn(3, 2)

    def loss(answer):
        return torch.nn.functional.mse_loss(answer, target)

    (stack,) = stacks(module, captured(module, inputs, loss), catalogue())
    assert all(p.grad is None for p in module.parameters())
    sets = {}
    for s in stack.sets:
        sets.setdefault(s.layer, {})[s.label] = s.x
    found = layer_errors(stack.network, sets, stack.errors)
    leaf = given.clone().requires_grad_()
    module.eval()
    energy = loss(module(leaf, *inputs[1:]) if isinstance(inputs, tuple) else module(leaf))
    expected = torch.autograd.grad(energy, leaf)[0].double().numpy()
    total = {label: 0.0 for label in stack.errors}
    for layer, runs in stack.network.run_layers(sets):
        if layer.level == 0:
            for label, run in runs.items():
                back = flowcheck.bptt(run, found[layer.name][label]).inputs["x"]
                total[label] = total[label] + (back[::-1] if layer.reverse else back)
    by_length = {array.shape[0]: array for array in total.values()}
    ours = np.zeros(expected.shape)
    lengths = np.array([40, 25, 40] if isinstance(inputs, tuple) else [40] * 3)
    for n, array in by_length.items():
        ours[:n, lengths == n] = array
    np.testing.assert_allclose(ours, expected, rtol=1e-3, atol=1e-6 * np.abs(expected).max())


class Levels(torch.nn.Module):
    """Two levels of Cells in one loop; the upper one reads the lower one, and the loss reads both."""

    def __init__(self, kind):
        super().__init__()
        self.low, self.high = getattr(torch.nn, f"{kind}Cell")(3, 6), getattr(torch.nn, f"{kind}Cell")(6, 5)

    def forward(self, x):
        low = high = None
        found = []
        for step in x:
            low = self.low(step, low)
            high = self.high(low[0] if isinstance(low, tuple) else low, hx=high)
            found.append(torch.cat([part[0] if isinstance(part, tuple) else part for part in (low, high)], -1))
        return torch.stack(found)


@pytest.mark.parametrize("kind", ["LSTM", "GRU"])
def test_the_errors_at_cells_are_those_at_layers_that_run_over_time(kind):
    """What a step sends to the next one of its own layer is no error at its output; what it sends through the other layer is."""
    cells, given = Levels(kind), x(batch=3)
    low, high = getattr(torch.nn, kind)(3, 6), getattr(torch.nn, kind)(6, 5)
    for one, cell in ((low, cells.low), (high, cells.high)):
        one.load_state_dict({f"{k}_l0": v for k, v in cell.state_dict().items()})
    weights = torch.randn(40, 3, 11)
    found = {used.name: used for used in captured(cells, given, lambda y: (weights * y**2).sum())}
    y_low = low(given)[0]
    y_high = high(y_low)[0]
    energy = (weights * torch.cat([y_low, y_high], -1) ** 2).sum()
    for name, expected in zip(("low", "high"), torch.autograd.grad(energy, [y_low, y_high]), strict=True):
        ours = torch.stack([call.error for call in found[name].calls])
        np.testing.assert_allclose(ours, expected, rtol=1e-4, atol=1e-5 * float(expected.abs().max()))
    diagnosis = flowcheck.diagnose(cells, given, loss=lambda y: (weights * y**2).sum(), lags=LAGS)
    assert {c.layer.name for c in diagnosis.contexts if c.errors} == {"low", "high"}


def test_errors_pass_through_a_state_that_was_changed_between_the_steps():
    """A Cell whose state is halved after each step starts anew at each: what reaches the next one is read like any other output."""
    module, given = torch.nn.GRUCell(3, 6), x(steps=2)

    class Halved(torch.nn.Module):
        def __init__(self):
            super().__init__()
            self.cell = module

        def forward(self, x):
            return self.cell(x[1], self.cell(x[0]) / 2)

    (used,) = captured(Halved(), given, lambda y: y.sum())
    first = module(given[0])
    expected = torch.autograd.grad(module(given[1], first / 2).sum(), first)[0]
    np.testing.assert_allclose(used.calls[0].error, expected, rtol=1e-5)


def test_with_a_loss_the_horizon_is_that_of_its_errors():
    diagnosis = flowcheck.diagnose(Classifier(torch.nn.LSTM(3, 6)), x(steps=80), loss=lambda y: (y**2).sum(), lags=70, needs_lag=60)
    (finding,) = [f for f in diagnosis.findings if f.rule == "vanishing-flow"]
    assert finding.evidence["horizon_of_the_loss"] is not None and "the errors of the loss are lost beyond" in finding.words


@pytest.mark.parametrize("module, loss, words", [
    (torch.nn.LSTM(3, 6), lambda y: y[0], "expected one number from the loss"),
    (torch.nn.LSTM(3, 6), lambda y: y[0].detach().sum(), "does not depend on the weights"),
    (Loop(torch.nn.GRUCell(3, 6)), lambda y: y.detach().sum(), "does not depend on the weights"),
], ids=["no number", "detached", "detached from cells"])
def test_a_loss_that_cannot_be_followed_says_so(module, loss, words):
    with pytest.raises(ValueError, match=words):
        flowcheck.diagnose(module, x(), loss=loss)


def test_layers_that_never_ran_are_named():
    class Idle(torch.nn.Module):
        def __init__(self):
            super().__init__()
            self.memory = torch.nn.GRU(3, 6)

        def forward(self, x):
            return x

    with pytest.raises(ValueError, match=r"recurrent layers \(memory\), but none was called"):
        flowcheck.diagnose(Idle(), x())


def test_a_diagnosis_shows_itself_as_the_command_does(tmp_path):
    found = flowcheck.diagnose(Classifier(torch.nn.LSTM(3, 6)), x(), lags=LAGS)
    text = str(found)
    assert text.startswith("Classifier") and "2 sequences of 40 steps" in text and max(map(len, text.splitlines())) <= 80
    assert all(f.rule in text for f in found.findings)
    document = found.json()
    jsonschema.validate(document, documents.schema("flowcheck.diagnosis/1"))
    assert [f["rule"] for f in document["findings"]] == [f.rule for f in found.findings]
    found.write_page(tmp_path / "page.html")
    assert "Error flow in Classifier" in (tmp_path / "page.html").read_text()
    assert len(repr(found)) < 200 and len(repr(found.measured)) < 1000 * len(found.measured)


@pytest.mark.parametrize("make, words", [
    (lambda: (torch.nn.LSTM(3, 6, batch_first=True), x(50, 64).transpose(0, 1)), "8 of 64 sequences of 50 steps"),
    (lambda: (torch.nn.LSTM(3, 6, bidirectional=True), x(40, 6)), "6 sequences of 40 steps"),
    (lambda: (torch.nn.LSTM(3, 6), x(6, 50)), "8 of 50 sequences of 6 steps (axes: time, batch, features)"),
    (lambda: (torch.nn.LSTM(3, 6, batch_first=True), x(6, 50).transpose(0, 1)),
     "8 of 50 sequences of 6 steps (axes: batch, time, features)"),
    (lambda: (Loop(torch.nn.GRUCell(3, 6)), x(6, 50)), "8 of 50 sequences of 6 steps"),
], ids=["many sequences", "both directions", "time first", "batch first", "a loop that only its writer knows"])
def test_it_is_said_how_many_sequences_were_given_and_how_they_were_read(make, words):
    found = flowcheck.diagnose(*make(), lags=LAGS)
    assert found.inputs == f"the module's inputs: {words}"
