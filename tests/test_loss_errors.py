"""The errors of a loss: sent to every layer as autograd sends them; flow weighed by them; weights that they pull both ways."""

import json

import numpy as np
import pytest
from click.testing import CliRunner

from flowcheck import Layer, Network, catalogue
from flowcheck.cli import cli
from flowcheck.detectors import diagnose, errors_of_targets
from flowcheck.detectors.losses import layer_errors
from flowcheck.detectors.weight_conflict import _gate
from flowcheck.formats import InputSet, write_npz
from flowcheck.network import Readout, fresh


def stack(bidirectional=False, seed=0):
    """Two levels of GRUs, the lower one in both directions if asked, and a read-out of two."""
    rng, cell = np.random.default_rng(seed), catalogue()["gru"]
    below = [fresh(cell, 4, 3, 1).layers[0], fresh(cell, 4, 3, 2).layers[0]][:1 + bidirectional]
    lower = [Layer(f"below{k}", cell, one.params, 0, bool(k)) for k, one in enumerate(below)]
    upper = Layer("above", cell, fresh(cell, 5, 4 * len(below), 3).layers[0].params, 1)
    return Network("", (*lower, upper), readout=Readout("head", rng.normal(size=(2, 5)), rng.normal(size=2)))


@pytest.mark.parametrize("loss", ["squared", "cross-entropy"])
@pytest.mark.parametrize("bidirectional", [False, True], ids=["one direction", "both directions below"])
def test_errors_at_every_layer_are_the_derivatives_of_the_loss(rng, loss, bidirectional):
    """Moved by hand: E changes by dE/dy times what is added to one layer's output, all else following."""
    network, x = stack(bidirectional), rng.normal(size=(7, 2, 3))
    target = rng.dirichlet(np.ones(2), size=(7, 2)) if loss == "cross-entropy" else rng.normal(size=(7, 2, 2))
    target[2] = np.nan
    sets = {layer.name: {"a": x} for layer in network.levels[0]}
    found = layer_errors(network, sets, errors_of_targets(network, sets, {"a": target}, loss))

    def energy(moved, direction, size):
        inputs, runs = {"a": x}, {}
        for level in network.levels:
            parts = []
            for layer in level:
                y = layer.run(inputs["a"])["y"] + (size * direction if layer.name == moved else 0.0)
                runs[layer.name] = y
                parts.append(y[::-1] if layer.reverse else y)
            inputs = {"a": np.concatenate(parts, axis=-1)}
        answer = network.readout(inputs["a"])
        if loss == "squared":
            return np.nansum((answer - target) ** 2) / 2 / 12
        return -np.nansum(target * (answer - np.log(np.exp(answer).sum(axis=-1, keepdims=True)))) / 12

    for layer in network.layers:
        direction = rng.normal(size=found[layer.name]["a"].shape)
        # what is added to a layer's output here does not enter its own recurrence: only what reads it sees it
        slope = (energy(layer.name, direction, 1e-5) - energy(layer.name, direction, -1e-5)) / 2e-5
        assert slope == pytest.approx(float(np.sum(found[layer.name]["a"] * direction)), rel=1e-6)


def test_targets_that_do_not_fit_are_refused(rng):
    network, x = stack(), rng.normal(size=(7, 2, 3))
    sets = {"below0": {"a": x}}
    with pytest.raises(ValueError, match=r"targets of a have shape \(7, 2, 3\)"):
        errors_of_targets(network, sets, {"a": np.zeros((7, 2, 3))})
    with pytest.raises(ValueError, match="all NaN"):
        errors_of_targets(network, sets, {"a": np.full((7, 2, 2), np.nan)})
    with pytest.raises(ValueError, match="targets are of b, expected one of a"):
        errors_of_targets(network, sets, {"b": np.zeros((7, 2, 2))})


def test_class_labels_are_one_hot_targets(rng):
    network, x = stack(), rng.normal(size=(7, 2, 3))
    sets, labels = {"below0": {"a": x}}, rng.integers(2, size=(7, 2)).astype(float)
    shares = np.eye(2)[labels.astype(int)]
    labels[2], labels[3], shares[2:4] = np.nan, -100, np.nan
    found, expected = (errors_of_targets(network, sets, {"a": target}, "cross-entropy")["a"] for target in (labels, shares))
    np.testing.assert_array_equal(found, expected)
    assert not found[2:4].any() and found[4:].all()
    for wrong in (2, -1, 0.5):
        labels[5, 1] = wrong
        with pytest.raises(ValueError, match=f"class label {wrong}, expected whole numbers from 0 to 1"):
            errors_of_targets(network, sets, {"a": labels}, "cross-entropy")
    with pytest.raises(ValueError, match="class labels are for the loss cross-entropy"):
        errors_of_targets(network, sets, {"a": labels})


def plain(units=12, seed=0, gain=0.9):
    rng, layer = np.random.default_rng(seed), fresh(catalogue()["tanh"], units, 3, seed).layers[0]
    layer.params["W_y"][:] = gain * np.linalg.qr(rng.normal(size=(units, units)))[0]
    return Network("", (layer,), readout=Readout("head", rng.normal(size=(1, units)), np.zeros(1)))


def test_the_horizon_is_that_of_the_errors_that_occur(rng):
    """Errors at the last step only, through a read-out that sees one decaying unit; the joint state remembers for ever."""
    network, x = plain(gain=1.0), 0.01 * rng.normal(size=(120, 4, 3))
    layer = network.layers[0]
    layer.params["W_y"][0], layer.params["W_y"][:, 0] = 0.0, 0.0
    layer.params["W_y"][0, 0], layer.params["b"][:] = 0.3, 0.0
    network.readout.W[:] = np.eye(12)[:1]
    target = np.full((120, 4, 1), np.nan)
    target[-1] = 1.0
    sets = [InputSet("a", layer.name, x)]
    errors = errors_of_targets(network, {layer.name: {"a": x}}, {"a": target})
    assert [f for f in diagnose(network, sets, lags=60, needs_lag=50).findings if f.rule == "vanishing-flow"] == []
    (finding,) = [f for f in diagnose(network, sets, lags=60, needs_lag=50, errors=errors).findings if f.rule == "vanishing-flow"]
    assert finding.severity == "error" and finding.evidence["horizon_of_the_loss"] == int(np.log(2.0**-24) / np.log(0.3))
    both = [*sets, InputSet("short", layer.name, x[:5])]
    errors = errors_of_targets(network, {layer.name: {s.label: s.x for s in both}}, {"a": target, "short": target[-5:]})
    (beside,) = [f for f in diagnose(network, both, lags=60, needs_lag=50, errors=errors).findings if f.rule == "vanishing-flow"]
    assert beside.evidence == finding.evidence, "sequences too short for the lags have no say"
    target[:, :2] = np.nan
    errors = errors_of_targets(network, {layer.name: {"a": x}}, {"a": target})
    (some,) = [f for f in diagnose(network, sets, lags=60, needs_lag=50, errors=errors).findings if f.rule == "vanishing-flow"]
    assert some.evidence == finding.evidence, "nor have those without a target"


def conflicts(target_of, seed=0, sets=4):
    """Findings on a carousel that is shown one bit at step 0 and four more later; its answer is the mean of its four units."""
    rng, layer = np.random.default_rng(seed), fresh(catalogue()["carousel"], 4, 1, seed).layers[0]
    for name, array in layer.params.items():
        array[:] = 0.3 if name == "W_x" else 0.0
    network = Network("", (layer,), readout=Readout("head", np.full((1, 4), 0.25), np.zeros(1)))
    inputs, targets = {}, {}
    for label in map(str, range(sets)):
        inputs[label] = np.zeros((20, 8, 1))
        inputs[label][[0, 5, 6, 7, 8], :, 0] = rng.choice([-1.0, 1.0], (5, 8))
        targets[label] = np.full((20, 8, 1), np.nan)
        targets[label][-1, :, 0] = target_of(inputs[label][..., 0], rng)
    errors = errors_of_targets(network, {layer.name: inputs}, targets)
    found = diagnose(network, [InputSet(label, layer.name, x) for label, x in inputs.items()], lags=10, errors=errors).findings
    return [f for f in found if f.rule == "weight-conflict"]


def test_a_weight_that_must_store_one_step_and_keep_out_the_others_is_in_conflict():
    """The answer is the first bit: step 0 pulls the weights up, the distractors pull them down."""
    findings = conflicts(lambda x, rng: x[0])
    assert [(f.unit, f.evidence["kind"], f.severity) for f in findings] == [(k, "input", "warning") for k in range(4)]
    assert all(f.evidence["opposed_share"] >= 0.2 and "input gate" in f.remedy for f in findings)


@pytest.mark.parametrize("target_of", [lambda x, rng: x.sum(axis=0), lambda x, rng: rng.normal(size=8)], ids=["the sum of all", "chance"])
def test_weights_that_all_steps_pull_alike_or_at_random_are_not(target_of):
    assert [f for seed in range(8) for f in conflicts(target_of, seed, sets=2)] == []


@pytest.mark.parametrize("cell, gates", [("tanh", (None, None)), ("lstm", ("y_in", "y_out")), ("gru", ("z", None))])
def test_the_gate_that_can_resolve_it_is_named(cell, gates):
    assert (_gate(catalogue()[cell], "write"), _gate(catalogue()[cell], "read")) == gates


def test_without_a_loss_nothing_is_said_of_conflict(rng):
    layer = fresh(catalogue()["carousel"], 6, 3, 0).layers[0]
    result = diagnose(Network("", (layer,)), [InputSet("a", layer.name, rng.normal(size=(20, 8, 3)))], lags=10)
    assert [f for f in result.findings if f.rule == "weight-conflict"] == []


def test_the_command_takes_targets(tmp_path, rng):
    network, x = plain(gain=0.5), rng.normal(size=(4, 120, 3))
    write_npz(network, tmp_path / "net.npz")
    np.save(tmp_path / "x.npy", x)
    np.save(tmp_path / "t.npy", np.where(np.arange(120)[None, :, None] == 119, rng.normal(size=(4, 120, 1)), np.nan))
    arguments = ["diagnose", str(tmp_path / "net.npz"), "--inputs", str(tmp_path / "x.npy"), "--lags", "60", "--needs-lag", "40"]
    run = CliRunner().invoke(cli, [*arguments, "--targets", str(tmp_path / "t.npy"), "--format", "json"], standalone_mode=False)
    (finding,) = [f for f in json.loads(run.output)["findings"] if f["rule"] == "vanishing-flow"]
    assert isinstance(finding["evidence"]["horizon_of_the_loss"], int)
    np.save(tmp_path / "t.npy", np.zeros((4, 60, 1)))
    refused = CliRunner().invoke(cli, [*arguments, "--targets", str(tmp_path / "t.npy")], standalone_mode=False)
    assert "t.npy: x is an array of float64 of shape (4, 60, 1), expected numbers (batch 4, time 120, outputs)" in str(refused.exception)


def test_the_command_takes_class_labels(tmp_path, rng):
    network = stack()
    write_npz(network, tmp_path / "net.npz")
    np.save(tmp_path / "x.npy", rng.normal(size=(4, 40, 3)))
    labels = rng.integers(2, size=(4, 40))
    found = []
    for target in (labels, np.eye(2)[labels]):
        np.save(tmp_path / "t.npy", target)
        run = CliRunner().invoke(cli, ["diagnose", str(tmp_path / "net.npz"), "--inputs", str(tmp_path / "x.npy"), "--needs-lag", "30",
                                       "--targets", str(tmp_path / "t.npy"), "--loss", "cross-entropy"], standalone_mode=False)
        found.append(run.output)
    assert found[0] == found[1] and "the errors of the loss" in " ".join(found[0].split())
