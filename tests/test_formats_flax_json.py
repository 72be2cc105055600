"""Flax msgpack and JSON nets; the activations that a cell's name spells out; what the user answers with --layer."""

import json

import numpy as np
import pytest

from flowcheck.cells import catalogue
from flowcheck.formats import FormatError, load, write_npz
from flowcheck.formats.activations import ACTIVATIONS, cell_by_name, spec, with_activations
from flowcheck.network import Layer, Network

CELLS = catalogue()
UNITS, INPUTS = 5, 3


@pytest.fixture
def rng():
    return np.random.default_rng(7)


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


# Flax

@pytest.fixture(scope="module")
def flax():
    return pytest.importorskip("flax", reason="flax writes the files that these tests read")


def drawn(shapes, seed=0):
    """Random numbers in place of every shape of a tree."""
    import jax
    noise = np.random.default_rng(seed)
    return jax.tree.map(lambda one: noise.uniform(-0.5, 0.5, one.shape).astype("f4"), shapes)


def agree(network, x, states):
    np.testing.assert_allclose(outputs(network, x.transpose(1, 0, 2)), states.transpose(1, 0, 2), rtol=0, atol=1e-6)


@pytest.mark.parametrize("cells, kinds", [
    (["LSTMCell"], ["lstm"]), (["SimpleCell"], ["tanh"]), (["GRUCell", "GRUCell"], ["gru", "gru"]),
], ids=str)
def test_linen_states_agree(flax, tmp_path, rng, cells, kinds):
    import jax
    from flax import linen, serialization

    class Net(linen.Module):
        @linen.compact
        def __call__(self, x):
            for cell in cells:
                x = linen.RNN(getattr(linen, cell)(UNITS))(x)
            return x, linen.Dense(2)(x)

    x = rng.standard_normal((2, 7, INPUTS)).astype("f4")
    params = drawn(jax.eval_shape(Net().init, jax.random.PRNGKey(0), x))
    (tmp_path / "net.msgpack").write_bytes(serialization.to_bytes(params))
    network = load(tmp_path / "net.msgpack", CELLS)
    assert [one.cell.name for one in network.layers] == kinds and network.readout.name == "params/Dense_0"
    assert all("(named in the file)" in one.gate_order for one in network.layers)
    agree(network, x, np.asarray(Net().apply(params, x)[0]))


def nnx_cell(cell, seed=0):
    """A cell of nnx with random weights and biases, and its parameters as a plain dict."""
    from flax import nnx
    graph, state = nnx.split(nnx.eval_shape(lambda: getattr(nnx, cell)(in_features=INPUTS, hidden_features=UNITS, rngs=nnx.Rngs(0))))
    one = nnx.merge(graph, drawn(state, seed))
    return one, nnx.to_pure_dict(nnx.state(one, nnx.Param))


@pytest.mark.parametrize("cell, kind", [("LSTMCell", "lstm"), ("OptimizedLSTMCell", "lstm"), ("GRUCell", "gru"), ("SimpleCell", "tanh")])
def test_nnx_states_agree(flax, tmp_path, rng, cell, kind):
    from flax import nnx, serialization
    one, params = nnx_cell(cell)
    x, start = rng.standard_normal((2, 7, INPUTS)).astype("f4"), np.zeros((2, UNITS), "f4")
    (tmp_path / "net.msgpack").write_bytes(serialization.to_bytes({"model": params}))
    network = load(tmp_path / "net.msgpack", CELLS)
    assert [c.cell.name for c in network.layers] == [kind]
    agree(network, x, np.asarray(nnx.RNN(one)(x, initial_carry=(start, start) if kind == "lstm" else start)))


def test_nnx_directions_are_one_level(flax, tmp_path, rng):
    from flax import nnx, serialization
    (one, _), (other, _), start = nnx_cell("SimpleCell"), nnx_cell("SimpleCell", seed=1), np.zeros((2, UNITS), "f4")
    both = nnx.Bidirectional(nnx.RNN(one), nnx.RNN(other), rngs=nnx.Rngs(0))
    (tmp_path / "net.msgpack").write_bytes(serialization.to_bytes(nnx.to_pure_dict(nnx.state(both, nnx.Param))))
    network, x = load(tmp_path / "net.msgpack", CELLS), rng.standard_normal((2, 7, INPUTS)).astype("f4")
    assert [(c.name, c.reverse, c.level) for c in network.layers] == [("forward_rnn", False, 0), ("backward_rnn", True, 0)]
    agree(network, x, np.asarray(both(x, initial_carry=(start, start))))


def test_msgpack_that_is_no_net(tmp_path, rng):
    msgpack = pytest.importorskip("msgpack", reason="reads Flax's files")

    def array(a, dtype=None):
        return msgpack.ExtType(1, msgpack.packb((a.shape, dtype or a.dtype.name, a.tobytes())))

    def line(tree, *words):
        (tmp_path / "net.msgpack").write_bytes(msgpack.packb(tree))
        refused(tmp_path / "net.msgpack", *words)

    k = rng.standard_normal((INPUTS, 20)).astype("f4")
    line({"a": {"kernel": array(k)}}, "expected recurrent cells", "got a")
    line([1, 2], "a list instead of a dict")
    line({"a": array(k, "object")}, "not a whole msgpack of arrays")
    line({"dense_i": {"kernel": array(k)}, "dense_h": {"kernel": array(k[:2])}}, "blocks of rows")
    line({"dense_i": {"kernel": array(k)}, "dense_h": {"bias": array(k[:2])}}, "0 blocks")
    gates = {g: {"kernel": array(k)} for g in ("ii", "if", "ig", "io", "hi", "hf", "hg", "ho")}
    line(gates, "expected")
    line(gates | {"ii": {}}, "3 of its 4 gates")
    line(gates | {"ii": {"kernel": array(k * np.nan)}}, "not finite")


# JSON

def keras_weights(rng, gates, inputs=INPUTS, bias_rows=1):
    """[kernel, recurrent kernel, bias] as nested lists and as arrays, in Keras's shapes."""
    arrays = [rng.uniform(-0.5, 0.5, s) for s in ((inputs, gates * UNITS), (UNITS, gates * UNITS), (bias_rows, gates * UNITS))]
    return [arrays[0].tolist(), arrays[1].tolist(), (arrays[2] if bias_rows > 1 else arrays[2][0]).tolist()], arrays


def sigmoid(z):
    return 1 / (1 + np.exp(-z))


def keras_gru(arrays, x):
    """Cho et al. 2014 with the reset gate after the product, rows z r h as Keras stores them."""
    W, U, (b, c) = arrays
    y, states = np.zeros((x.shape[1], UNITS)), []
    for step in x:
        (xz, xr, xh), (hz, hr, hh) = (np.split(m, 3, -1) for m in (step @ W + b, y @ U + c))
        z, r = sigmoid(xz + hz), sigmoid(xr + hr)
        y = z * y + (1 - z) * np.tanh(xh + r * hh)
        states.append(y)
    return np.array(states)


def keras_lstm(arrays, x):
    """Gers et al. 2000, rows i f c o as Keras stores them."""
    W, U, (b,) = arrays
    y = s = np.zeros((x.shape[1], UNITS))
    states = []
    for step in x:
        i, f, c, o = np.split(step @ W + y @ U + b, 4, -1)
        s = sigmoid(f) * s + sigmoid(i) * np.tanh(c)
        y = sigmoid(o) * np.tanh(s)
        states.append(y)
    return np.array(states)


def test_rtneural(tmp_path, rng):
    low, low_arrays = keras_weights(rng, 4)
    high, high_arrays = keras_weights(rng, 3, UNITS, 2)
    dense = {"type": "dense", "activation": "", "shape": [None, None, 1], "weights": [rng.standard_normal((UNITS, 1)).tolist(), [0.5]]}
    layers = [{"type": "lstm", "shape": [None, None, UNITS], "weights": low}, {"type": "gru", "weights": high}, dense]
    path, x = tmp_path / "net.json", rng.standard_normal((7, 2, INPUTS))
    path.write_text(json.dumps({"in_shape": [None, None, INPUTS], "layers": layers}))
    network = load(path, CELLS)
    assert [(one.name, one.cell.name, one.level) for one in network.layers] == [("lstm_0", "lstm", 0), ("gru_1", "gru", 1)]
    assert network.readout.name == "dense_2" and network.readout.b == [0.5]
    expected = keras_gru(high_arrays, keras_lstm(low_arrays, x))
    np.testing.assert_allclose(outputs(network, x), expected, rtol=0, atol=1e-12)
    path.write_text(json.dumps({"layers": [layers[0], dense, {"type": "lstm", "weights": keras_weights(rng, 4, 1)[0]}]}))
    refused(path, "lstm_0, lstm_2 do not feed each other", "--layer")
    path.write_text(json.dumps({"layers": [dense]}))
    refused(path, "expected a layer of type lstm or gru, got dense")


@pytest.mark.parametrize("kind, other", [("LSTM", "GRU"), ("GRU", "LSTM")])
def test_guitarml(tmp_path, rng, kind, other):
    """A torch state_dict: the same states as from the plain NumPy nets above, which have Keras's order of rows."""
    gates, order = {"LSTM": (4, [0, 1, 2, 3]), "GRU": (3, [1, 0, 2])}[kind]
    rows = gates * UNITS
    shapes = {"weight_ih": (rows, 1), "weight_hh": (rows, UNITS), "bias_ih": (rows,), "bias_hh": (rows,)}
    state = {f"rec.{name}_l0": rng.uniform(-0.5, 0.5, shape) for name, shape in shapes.items()}
    head = {"lin.weight": rng.uniform(-0.5, 0.5, (1, UNITS)), "lin.bias": np.zeros(1)}
    data = {"model_data": {"model": "SimpleRNN", "input_size": 1, "skip": 1, "unit_type": kind, "hidden_size": UNITS, "bias_fl": True},
            "state_dict": {name: array.tolist() for name, array in (state | head).items()}}
    path, x = tmp_path / "amp.json", rng.standard_normal((7, 2, 1))
    path.write_text(json.dumps(data))
    network = load(path, CELLS)
    assert [(one.name, one.cell.name, one.units) for one in network.layers] == [("rec", kind.lower(), UNITS)]
    assert network.readout.name == "lin" and f"GuitarML net: {kind} of {UNITS} units, skip 1" in network.notes
    W, U, b, c = (np.concatenate([np.split(array, gates)[k] for k in order]).T for array in state.values())
    expected = keras_gru([W, U, (b, c)], x) if kind == "GRU" else keras_lstm([W, U, (b + c,)], x)
    np.testing.assert_allclose(outputs(network, x), expected, rtol=0, atol=1e-12)
    data["model_data"]["unit_type"] = other
    path.write_text(json.dumps(data))
    refused(path, f"model_data says {other}", f"expected {7 - gates} x {UNITS} rows")


@pytest.mark.parametrize("text, word", [
    ('{"a": ', "not whole JSON"), ("[1, 2]", "expected a dict, got list"), ("{}", "expected recurrent layers"),
    ("[" * 10**5, "not whole JSON"), ('{"a": ' * 5000 + "1" + "}" * 5000, "not whole JSON"),
    ('{"lstm.weight_hh_l0": [[1, 2], [3]]}', "is no array"), ('{"lstm.weight_hh_l0": [["a"]]}', "expected nested lists of numbers"),
    ('{"lstm.weight_hh_l0": [[NaN]], "lstm.weight_ih_l0": [[1]]}', "not finite"),
    ('{"lstm.weight_hh_l0": [' + "9" * 5000 + "]}", "not whole JSON"),
    ('{"layers": [{"type": "lstm", "weights": [[1]]}]}', "arrays of shapes"),
    ('{"layers": [null, 3]}', "got none"),
], ids=lambda text: text[:24])
def test_json_that_is_no_net(tmp_path, text, word):
    (tmp_path / "net.json").write_text(text)
    refused(tmp_path / "net.json", word)


# Activations

NUMPY = {
    "sigmoid": sigmoid, "tanh": np.tanh, "linear": lambda z: z, "relu": lambda z: np.maximum(z, 0), "relu6": lambda z: np.clip(z, 0, 6),
    "hard_sigmoid": lambda z: np.clip(0.2 * z + 0.5, 0, 1), "hard_tanh": lambda z: np.clip(z, -1, 1),
    "leaky_relu": lambda z: np.where(z > 0, z, 0.01 * z), "elu": lambda z: np.where(z > 0, z, np.expm1(z)), "scaled_tanh": np.tanh,
    "affine": lambda z: z, "softsign": lambda z: z / (1 + abs(z)), "softplus": lambda z: np.logaddexp(0, z), "exponential": np.exp,
    "silu": lambda z: z * sigmoid(z),
}


@pytest.mark.parametrize("name", ACTIVATIONS)
def test_activations_and_their_slopes(rng, name):
    """The formula is NumPy's, and its derivative that of central differences away from the corners."""
    cell = cell_by_name(f"tanh[g={name}]", CELLS, "here")
    z, params = rng.uniform(-8, 8, 200), {"W_x": np.ones((1, 1)), "W_y": np.zeros((1, 1)), "b": np.zeros(1)}
    run = Layer("a", cell, params).run(z[:, None, None])
    np.testing.assert_allclose(run["y"][:, 0, 0], NUMPY[name](z), rtol=1e-12, atol=1e-15)
    step = 1e-6
    slope = (NUMPY[name](z + step) - NUMPY[name](z - step)) / (2 * step)
    partial = np.broadcast_to(run.partials["y", "net"], run["y"].shape)[:, 0, 0]
    np.testing.assert_allclose(partial, slope, rtol=0, atol=1e-6 * max(1, abs(slope).max()))


def test_names_spell_cells_out(rng):
    cell = with_activations(CELLS["lstm"], {"f": "hard_sigmoid(0.2, 0.5)", "g": "tanh", "h": "relu"}, "here")
    assert cell.name == "lstm[f=hard_sigmoid(0.2, 0.5); h=relu]" and cell == cell_by_name(cell.name, CELLS, "here")
    assert with_activations(CELLS["lstm"], {"f": "sigmoid", "g": "tanh"}, "here") is CELLS["lstm"]
    assert spec("hard_sigmoid") == "hard_sigmoid(0.2, 0.5)" and spec("elu", 2) == "elu(2.0)"
    assert cell_by_name("gru[g=elu]", CELLS, "here").name == "gru[g=elu(1.0)]"
    for name in ("nope", "lstm[f=nope]", "lstm[q=relu]", "lstm[f=relu", "lstm[f=relu;f=tanh]", "gru[h=relu]",
                 "lstm[f=hard_sigmoid(1, 2, 3)]", "lstm[f=hard_sigmoid(nan)]", "lstm[f=hard_sigmoid(x)]", "lstm[relu]", "tanh[f=relu]"):
        with pytest.raises(FormatError) as raised:
            cell_by_name(name, CELLS, "here")
        assert str(raised.value).startswith("here: ")


def test_nets_with_other_activations_keep_them(tmp_path, rng):
    from flowcheck.kernels import compile_cell
    cell = cell_by_name("gru_reset_before[f=hard_sigmoid; g=softsign]", CELLS, "here")
    network = Network("", (Layer("a", cell, compile_cell(cell).random_params(4, 3, rng)),))
    write_npz(network, tmp_path / "net.npz")
    assert load(tmp_path / "net.npz", CELLS).layers[0].cell == cell


# What the user answers

def torch_names(rng, gates):
    rows = gates * UNITS
    shapes = {"weight_ih": (rows, INPUTS), "weight_hh": (rows, UNITS), "bias_ih": (rows,), "bias_hh": (rows,)}
    return {f"rnn.{name}_l0": rng.uniform(-0.5, 0.5, shape) for name, shape in shapes.items()}


@pytest.mark.parametrize("order", ["ifgo", "iofc", "f i c o", "g o i f"])
def test_an_answered_order_is_the_files(tmp_path, rng, order):
    tensors, x = torch_names(rng, 4), rng.standard_normal((6, 2, INPUTS))
    np.savez(tmp_path / "torch.npz", **tensors)
    plain = load(tmp_path / "torch.npz", CELLS)
    letters = [c for c in order.replace("c", "g") if c.isalpha()]
    np.savez(tmp_path / "other.npz", **{k: np.concatenate([np.split(v, 4)["ifgo".index(c)] for c in letters]) for k, v in tensors.items()})
    told = load(tmp_path / "other.npz", CELLS, f"rnn=lstm:{order}")
    np.testing.assert_array_equal(outputs(told, x), outputs(plain, x))
    assert told.layers[0].gate_order.endswith("(as --layer says)")


def test_an_answered_kind_is_taken(tmp_path, rng):
    np.savez(tmp_path / "one.npz", **torch_names(rng, 1))
    np.savez(tmp_path / "three.npz", **torch_names(rng, 3))
    assert load(tmp_path / "one.npz", CELLS, "rnn=tanh[g=relu]:h").layers[0].cell.name == "tanh[g=relu]"
    assert load(tmp_path / "three.npz", CELLS, "rnn=GRU:zrh").layers[0].gate_order == "z r h (as --layer says)"
    before = load(tmp_path / "three.npz", CELLS, "rnn=gru_reset_before:zrn").layers[0]
    assert before.cell.name == "gru_reset_before"
    for answer, word in (("rnn=nope:zrh", "no cell 'nope'"), ("rnn=gru:zzz", "does not name the gates of gru"),
                         ("rnn=lstm:ifgo", "4 x units"), ("other=gru:zrh", "expected a recurrent layer 'other'"),
                         ("rnn=lstm1997:if", "no framework stores the cell lstm1997")):
        refused(tmp_path / "three.npz", word, layer=answer)


def test_an_answer_about_one_layer_leaves_the_others_in(tmp_path, rng):
    """An answer selects only beside a name that stands alone."""
    below = {k.replace("rnn", "a"): v for k, v in torch_names(rng, 3).items()}
    above = {k.replace("rnn", "b"): v for k, v in torch_names(rng, 3).items()}
    above["b.weight_ih_l0"] = rng.uniform(-0.5, 0.5, (3 * UNITS, UNITS))
    np.savez(tmp_path / "two.npz", **below, **above)
    told = load(tmp_path / "two.npz", CELLS, "b=gru:zrh")
    assert [(one.name[0], one.level, one.gate_order[:5]) for one in told.layers] == [("a", 0, "r z n"), ("b", 1, "z r h")]
    (alone,) = load(tmp_path / "two.npz", CELLS, "b,b=gru:zrh").layers
    assert alone.gate_order.startswith("z r h") and alone.level == 0
    refused(tmp_path / "two.npz", "expected a recurrent layer 'c', got a, b", layer="b,c=gru:zrh")


def test_what_a_file_leaves_open_is_asked_and_answered(tmp_path, rng):
    weights, arrays = keras_weights(rng, 3)
    (tmp_path / "net.json").write_text(json.dumps({"layers": [{"type": "gru", "weights": weights}]}))
    refused(tmp_path / "net.json", "--layer gru_0=gru_reset_before:zrh", "--layer gru_0=gru:zrh")
    x = rng.standard_normal((6, 2, INPUTS))
    told = load(tmp_path / "net.json", CELLS, "gru_0=gru:zrh")
    np.testing.assert_allclose(outputs(told, x), keras_gru([*arrays[:2], (arrays[2][0], 0)], x), rtol=0, atol=1e-12)
