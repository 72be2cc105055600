"""Keras files of every form agree with Keras's own states; what they leave open is asked, what they leave unsaid is assumed aloud."""

import json

import numpy as np
import pytest

from flowcheck.cells import catalogue
from flowcheck.formats import FormatError, hdf5, load

h5py = pytest.importorskip("h5py", reason="writes and reads HDF5")
CELLS = catalogue()
UNITS, INPUTS = 5, 3


@pytest.fixture
def rng():
    return np.random.default_rng(7)


@pytest.fixture(scope="module")
def keras():
    """Keras with the torch backend, whichever of the two a machine has."""
    pytest.importorskip("torch", reason="Keras runs on it here")
    with pytest.MonkeyPatch.context() as patch:
        patch.setenv("KERAS_BACKEND", "torch")
        yield pytest.importorskip("keras", reason="Keras writes the files that these tests read")


def outputs(network, x):
    runs = network.run(x)
    last = [runs[one.name][one.cell.output.name][::-1 if one.reverse else 1] for one in network.levels[-1]]
    return np.concatenate(last, -1)


def refused(path, *words, **options):
    with pytest.raises(FormatError) as raised:
        load(path, CELLS, **options)
    line = str(raised.value)
    assert line.isprintable() and len(line) <= 600, line
    for word in words:
        assert word in line, line


def models(keras):
    """{name: (layers between input and read-out, cells that are read)}"""
    L = keras.layers
    many = {"return_sequences": True}
    return {
        "lstm": ([L.LSTM(UNITS, **many)], ["lstm"]),
        "gru": ([L.GRU(UNITS, **many)], ["gru"]),
        "gru reset before": ([L.GRU(UNITS, reset_after=False, **many)], ["gru_reset_before"]),
        "rnn relu": ([L.SimpleRNN(UNITS, activation="relu", **many)], ["tanh[g=relu]"]),
        "hard": ([L.LSTM(UNITS, recurrent_activation="hard_sigmoid", activation="softsign", **many)],
                 ["lstm[f=hard_sigmoid(0.16666666666666666, 0.5); g=softsign; h=softsign]"]),
        "two directions": ([L.Bidirectional(L.LSTM(4, **many)), L.Dropout(0.2), L.Bidirectional(L.GRU(UNITS, use_bias=False, **many))],
                           ["lstm", "lstm", "gru", "gru"]),
        "cells": ([L.RNN([L.LSTMCell(4), L.GRUCell(UNITS)], **many)], ["lstm", "gru"]),
        "model in model": ([keras.Sequential([L.LSTM(4, **many), L.LSTM(UNITS, activation="relu", **many)])],
                           ["lstm", "lstm[g=relu; h=relu]"]),
        "backwards": ([L.GRU(UNITS, go_backwards=True, **many)], ["gru"]),
    }


def built(keras, layers, sequential):
    """(model with random weights, model of the states before the read-out)."""
    inputs = keras.Input((None, INPUTS))
    states = inputs
    for layer in layers:
        states = layer(states)
    head = keras.layers.Dense(2, name="head")
    model = keras.Sequential([inputs, *layers, head]) if sequential else keras.Model(inputs, head(states))
    rng = np.random.default_rng(3)
    model.set_weights([rng.uniform(-0.5, 0.5, w.shape) for w in model.get_weights()])
    return model, keras.Model(inputs, states)


@pytest.mark.filterwarnings("ignore")
@pytest.mark.parametrize("name", [
    "lstm", "gru", "gru reset before", "rnn relu", "hard", "two directions", "cells", "model in model", "backwards"])
def test_states_agree_with_keras(keras, tmp_path, rng, name):
    for form, sequential in ((".keras", True), (".h5", False)):  # both interfaces, both files
        layers, cells = models(keras)[name]
        model, states = built(keras, layers, sequential)
        model.save(tmp_path / f"net{form}")
        network = load(tmp_path / f"net{form}", CELLS)
        assert [one.cell.name for one in network.layers] == cells and network.readout.name == "head"
        x = rng.standard_normal((7, 2, INPUTS)).astype("f4")
        expected = np.asarray(keras.ops.convert_to_numpy(states(x.transpose(1, 0, 2)))).transpose(1, 0, 2)
        expected = expected[::-1] if name == "backwards" else expected  # Keras gives its states in the order in which it ran
        np.testing.assert_allclose(outputs(network, x), expected, rtol=0, atol=1e-6)
        assert any("written by Keras 3" in note and "config read" in note for note in network.notes)
        assert any("x/6 + 0.5, as Keras 3 computes it" in note for note in network.notes) == (name == "hard")


@pytest.mark.filterwarnings("ignore")
def test_weights_alone(keras, tmp_path, rng):
    x = rng.standard_normal((7, 2, INPUTS)).astype("f4")
    layers = [models(keras)[name][0] for name in ("lstm", "gru", "gru reset before")]
    for given in (*layers, [keras.layers.Bidirectional(keras.layers.LSTM(4, return_sequences=True))]):
        model, states = built(keras, given, sequential=True)
        model.save_weights(tmp_path / "net.weights.h5")
        network = load(tmp_path / "net.weights.h5", CELLS)
        expected = np.asarray(keras.ops.convert_to_numpy(states(x.transpose(1, 0, 2)))).transpose(1, 0, 2)
        np.testing.assert_allclose(outputs(network, x), expected, rtol=0, atol=1e-6)
        for words in ("weights only", "sigmoid gates and tanh assumed"):
            assert any(words in note for note in network.notes)
    model, states = built(keras, [keras.layers.GRU(UNITS, use_bias=False, return_sequences=True, name="top")], sequential=True)
    model.save_weights(tmp_path / "net.weights.h5")
    refused(tmp_path / "net.weights.h5", "--layer top=gru:zrh", "--layer top=gru_reset_before:zrh")
    expected = np.asarray(keras.ops.convert_to_numpy(states(x.transpose(1, 0, 2)))).transpose(1, 0, 2)
    told = load(tmp_path / "net.weights.h5", CELLS, "top=gru:zrh")
    np.testing.assert_allclose(outputs(told, x), expected, rtol=0, atol=1e-6)


# Files as older versions wrote them, made by hand

def arrays(rng, gates=4, bias=None):
    shapes = {"kernel": (INPUTS, gates * UNITS), "recurrent_kernel": (UNITS, gates * UNITS), "bias": bias or (gates * UNITS,)}
    return {name: rng.uniform(-0.5, 0.5, shape) for name, shape in shapes.items()}


def legacy(path, layers, version="2.1.5", config=None):
    """A Keras 2 file: {layer: {array name: array}}, with the config of a whole model or weights only."""
    with h5py.File(path, "w") as file:
        root = file if config is None else file.create_group("model_weights")
        root.attrs["layer_names"] = np.array([name.encode() for name in layers])
        for name, given in layers.items():
            for part, array in given.items():
                root[f"{name}/{name}/{part}:0"] = array
        if version:
            file.attrs["keras_version"] = version.encode()
        if config is not None:
            file.attrs["model_config"] = json.dumps({"class_name": "Sequential", "config": config})
    return path


def test_hard_sigmoid_of_keras_2_is_steeper(tmp_path, rng):
    """0.2 x + 0.5 up to version 2, by the publication's equations in plain NumPy."""
    given, x = arrays(rng), rng.standard_normal((6, 2, INPUTS))
    config = [{"class_name": "LSTM", "config": {"name": "rnn", "recurrent_activation": "hard_sigmoid", "activation": "tanh"}}]
    network = load(legacy(tmp_path / "net.h5", {"rnn": given}, "2.2.4", config), CELLS)
    assert "rnn: hard_sigmoid taken as 0.2 x + 0.5, as Keras 2 computes it" in network.notes
    hard, y, s, expected = lambda z: np.clip(0.2 * z + 0.5, 0, 1), np.zeros((2, UNITS)), np.zeros((2, UNITS)), []
    for step in x:
        i, f, c, o = np.split(step @ given["kernel"] + y @ given["recurrent_kernel"] + given["bias"], 4, -1)
        s = hard(f) * s + hard(i) * np.tanh(c)
        y = hard(o) * np.tanh(s)
        expected.append(y)
    np.testing.assert_allclose(outputs(network, x), expected, rtol=0, atol=1e-12)
    assert load(legacy(tmp_path / "old.h5", {"rnn": given}), CELLS).layers[0].cell == network.layers[0].cell, "the default of 2.1.5"
    refused(legacy(tmp_path / "net.h5", {"rnn": given}, "", config), "the file does not say its version", "--layer NAME=CELL[f=")


@pytest.mark.parametrize("version, cell", [
    ("2.1.5", "lstm[f=hard_sigmoid(0.2, 0.5)]"), ("2.2.4", "lstm[f=hard_sigmoid(0.2, 0.5)]"),
    ("2.1.6-tf", "lstm[f=hard_sigmoid(0.2, 0.5)]"), ("2.3.1", "lstm"), ("2.4.0", "lstm"), ("2.3.0-tf", "lstm"), ("3.1.0", "lstm"),
])
def test_what_weights_alone_leave_unsaid_is_the_default_of_their_version(tmp_path, rng, version, cell):
    network = load(legacy(tmp_path / "net.h5", {"rnn": arrays(rng)}, version), CELLS)
    assert network.layers[0].cell.name == cell and any(note.startswith("rnn: ") and "assumed" in note for note in network.notes)


def test_a_version_of_two_defaults_is_asked(tmp_path, rng):
    path = legacy(tmp_path / "net.h5", {"rnn": arrays(rng)}, "2.2.4-tf")
    refused(path, "--layer rnn=lstm:ifco", "rnn=lstm[f=hard_sigmoid(0.2, 0.5)]:ifco")
    assert load(path, CELLS, "rnn=lstm:ifco").layers[0].cell.name == "lstm"
    assert load(path, CELLS, "rnn=lstm[f=hard_sigmoid(0.2, 0.5)]:ifco").layers[0].cell.name == "lstm[f=hard_sigmoid(0.2, 0.5)]"


@pytest.mark.parametrize("gates, letters, cell", [(4, "ifco", "lstm"), (3, "zrh", "gru")])
def test_cudnn_layout(tmp_path, rng, gates, letters, cell):
    """CuDNN keeps each gate's matrix transposed and two biases: the plain file of the same net gives the same states."""
    plain, x = arrays(rng, gates, (2, gates * UNITS) if gates == 3 else None), rng.standard_normal((6, 2, INPUTS))
    kernel = [k.T.reshape(INPUTS, UNITS) for k in np.split(plain["kernel"], gates, 1)]
    recurrent = [k.T for k in np.split(plain["recurrent_kernel"], gates, 1)]
    halves = rng.uniform(-0.5, 0.5, gates * UNITS)
    bias = plain["bias"].ravel() if gates == 3 else np.concatenate([halves, plain["bias"] - halves])
    packed = {"kernel": np.hstack(kernel), "recurrent_kernel": np.hstack(recurrent), "bias": bias}
    one = load(legacy(tmp_path / "plain.h5", {"rnn": plain}, "2.4.0"), CELLS)
    other = load(legacy(tmp_path / "packed.h5", {"rnn": packed}), CELLS)
    assert other.layers[0].cell.name == cell and any("CuDNN layout" in note for note in other.notes)
    np.testing.assert_allclose(outputs(other, x), outputs(one, x), rtol=0, atol=1e-12)


def test_files_and_configs_that_do_not_meet(tmp_path, rng):
    path = tmp_path / "net.h5"
    lstm = {"class_name": "LSTM", "config": {"name": "rnn"}}
    refused(legacy(path, {"other": arrays(rng)}, config=[lstm]), "rnn is in the config, but its weights are not in the file")
    refused(legacy(path, {"rnn": arrays(rng, 3)}, config=[lstm]), "are not those of LSTM")
    gru = {"class_name": "GRU", "config": {"name": "rnn", "reset_after": True, "recurrent_activation": "sigmoid"}}
    refused(legacy(path, {"rnn": arrays(rng, 3)}, config=[gru]), "config says reset_after=True, but the bias has shape (15,)")
    own = {"class_name": "MyLSTM", "config": {"name": "rnn"}}
    refused(legacy(path, {"rnn": arrays(rng)}, config=[own]), "the config does not call it LSTM", "--layer rnn=lstm:ifco")
    assert load(path, CELLS, "rnn=lstm:ifco").layers[0].cell.name == "lstm"
    odd = {"class_name": "LSTM", "config": {"name": "rnn", "activation": "softmax"}}
    refused(legacy(path, {"rnn": arrays(rng)}, config=[odd]), "activation 'softmax' is not known here")
    dense = {"class_name": "Dense", "config": {"name": "d"}}
    second = arrays(rng) | {"kernel": rng.standard_normal((UNITS, 4 * UNITS))}
    two = {"rnn": arrays(rng), "top": second}
    top = {"class_name": "LSTM", "config": {"name": "top"}}
    refused(legacy(path, two, config=[lstm, dense, top]), "rnn, top do not feed each other", "--layer")
    assert [one.level for one in load(legacy(path, two, config=[lstm, top]), CELLS).layers] == [0, 1]
    refused(legacy(path, {"d": {"kernel": np.ones((3, 2))}}), "expected recurrent layers", "d/d/kernel:0")


# The process that reads HDF5

def test_a_library_that_hangs_or_crashes_costs_one_line(tmp_path, rng, monkeypatch):
    """The worker is stopped dead, as by a loop in the library, and killed, as by a crash: one line each, and the next file is read."""
    path = legacy(tmp_path / "net.h5", {"rnn": arrays(rng)}, "2.4.0")
    assert load(path, CELLS).layers[0].units == UNITS
    monkeypatch.setattr(hdf5, "SECONDS", 0.5)
    import signal
    if hasattr(signal, "SIGSTOP"):
        hdf5._worker.process.send_signal(signal.SIGSTOP)
        refused(path, "the header of the HDF5 file is damaged (the HDF5 library came to no end in")
    monkeypatch.undo()
    assert load(path, CELLS).layers[0].units == UNITS
    program = tmp_path / "crash.py"
    program.write_text("import os, sys\nsys.stdin.buffer.readline()\nos.abort()\n")
    hdf5._worker.stop()
    elsewhere = type("Elsewhere", (), {"with_name": lambda self, name: program, "absolute": lambda self: path})
    monkeypatch.setattr(hdf5, "Path", lambda given: elsewhere())
    refused(path, "the HDF5 library crashed on it")
    monkeypatch.undo()
    assert load(path, CELLS).layers[0].units == UNITS


def test_a_file_that_changed_is_read_anew(tmp_path, rng):
    path = legacy(tmp_path / "net.h5", {"rnn": arrays(rng)}, "2.4.0")
    first = load(path, CELLS).layers[0]
    second = load(legacy(path, {"rnn": arrays(rng)}, "2.4.0"), CELLS).layers[0]
    assert not np.array_equal(first.params["W_in_x"], second.params["W_in_x"])
