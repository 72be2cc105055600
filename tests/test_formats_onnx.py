"""ONNX files: nodes of every kind agree with ONNX's own reference evaluator, wherever their weights come from."""

import os

import numpy as np
import pytest

from flowcheck.cells import catalogue
from flowcheck.formats import FormatError, load

onnx = pytest.importorskip("onnx", reason="onnx writes the files that these tests read, and evaluates them")
from onnx import TensorProto, helper, numpy_helper  # noqa: E402
from onnx.reference import ReferenceEvaluator  # noqa: E402

CELLS = catalogue()
GATES = {"LSTM": 4, "GRU": 3, "RNN": 1}
UNITS, INPUTS = 5, 3


@pytest.fixture
def rng():
    return np.random.default_rng(7)


def weights(rng, kind, directions=1, inputs=INPUTS, peepholes=False):
    rows = GATES[kind] * UNITS
    shapes = {"W": (directions, rows, inputs), "R": (directions, rows, UNITS), "B": (directions, 2 * rows)}
    shapes |= {"P": (directions, 3 * UNITS)} if peepholes else {}
    return {name: rng.uniform(-0.6, 0.6, shape) for name, shape in shapes.items()}


def recurrent_node(kind, names, output="Y", x="x", **attributes):
    places = [names.get("W", "W"), names.get("R", "R"), names.get("B", ""), "", "", "", names.get("P", "")]
    return helper.make_node(kind, [x, *places] if kind == "LSTM" else [x, *places[:4]], [output], name=attributes.pop("name", "net"),
                            hidden_size=UNITS, **attributes)


def written(path, nodes, tensors, extra=()):
    """A model of these nodes; tensors {name: array} are its initialisers."""
    graph = helper.make_graph(
        nodes, "g", [helper.make_tensor_value_info("x", TensorProto.DOUBLE, None)],
        [helper.make_tensor_value_info(nodes[-1].output[0], TensorProto.DOUBLE, None)],
        [*(numpy_helper.from_array(np.asarray(a), n) for n, a in tensors.items()), *extra])
    path.write_bytes(helper.make_model(graph, opset_imports=[helper.make_opsetid("", 18)]).SerializeToString())
    return path


def refused(path, *words, **options):
    with pytest.raises(FormatError) as raised:
        load(path, CELLS, **options)
    line = str(raised.value)
    assert line.isprintable() and len(line) <= 600, line
    for word in words:
        assert word in line, line


def outputs(network, x):
    """(time, batch, units of the last level), in the time order of the inputs."""
    runs = network.run(x)
    last = [runs[one.name][one.cell.output.name][::-1 if one.reverse else 1] for one in network.levels[-1]]
    return np.concatenate(last, -1)


def reference(path, x):
    """What ONNX's evaluator gives: (time, batch, units) of one direction."""
    return ReferenceEvaluator(str(path)).run(None, {"x": x})[0][:, 0]


@pytest.mark.parametrize("kind, attributes, cell", [
    ("LSTM", {}, "lstm"), ("GRU", {"linear_before_reset": 1}, "gru"), ("GRU", {}, "gru_reset_before"), ("RNN", {}, "tanh"),
], ids=["LSTM", "GRU, reset after", "GRU, reset before", "RNN"])
@pytest.mark.parametrize("bias", [True, False], ids=["bias", "no bias"])
def test_states_agree_with_the_reference_evaluator(tmp_path, rng, kind, attributes, cell, bias):
    tensors = weights(rng, kind)
    tensors = tensors if bias else {k: v for k, v in tensors.items() if k != "B"}
    path = written(tmp_path / "net.onnx", [recurrent_node(kind, {k: k for k in tensors}, **attributes)], tensors)
    network, x = load(path, CELLS), rng.standard_normal((9, 2, INPUTS))
    assert [one.cell.name for one in network.layers] == [cell]
    assert any("no biases" in note for note in network.notes) != bias
    np.testing.assert_allclose(outputs(network, x), reference(path, x), rtol=0, atol=1e-12)


@pytest.mark.parametrize("kind, attributes", [("LSTM", {}), ("GRU", {"linear_before_reset": 1}), ("GRU", {}), ("RNN", {})],
                         ids=["LSTM", "GRU, reset after", "GRU, reset before", "RNN"])
def test_two_directions_are_one_level(tmp_path, rng, kind, attributes):
    """Each half is the forward net of its weights, the second over the reversed sequence."""
    def node(**direction):
        return [recurrent_node(kind, {"B": "B"}, **attributes, **direction)]

    tensors, x = weights(rng, kind, 2), rng.standard_normal((6, 2, INPUTS))
    network = load(written(tmp_path / "both.onnx", node(direction="bidirectional"), tensors), CELLS)
    assert [(one.name, one.reverse, one.level) for one in network.layers] == [("net", False, 0), ("net.reverse", True, 0)]
    halves = []
    for d, steps in ((0, 1), (1, -1)):
        half = written(tmp_path / "half.onnx", node(), {k: v[d:d + 1] for k, v in tensors.items()})
        halves.append(reference(half, x[::steps])[::steps])
    np.testing.assert_allclose(outputs(network, x), np.concatenate(halves, -1), rtol=0, atol=1e-12)
    path = written(tmp_path / "reverse.onnx", node(direction="reverse"), {k: v[1:] for k, v in tensors.items()})
    np.testing.assert_allclose(outputs(load(path, CELLS), x), halves[1], rtol=0, atol=1e-12)


def stacked(rng, between):
    """Nodes and tensors of two LSTM layers with `between` (input name -> nodes, output name) in between."""
    first, second = weights(rng, "LSTM"), weights(rng, "LSTM", inputs=UNITS)
    nodes, last = between("Y0")
    nodes = [recurrent_node("LSTM", {k: f"{k}0" for k in first}, "Y0", name="low"), *nodes,
             recurrent_node("LSTM", {k: f"{k}1" for k in second}, "Y", x=last, name="high")]
    return nodes, {f"{k}0": v for k, v in first.items()} | {f"{k}1": v for k, v in second.items()}


def test_a_stack_is_traced_through_reshapes(tmp_path, rng):
    reshaped = lambda y: [helper.make_node("Squeeze", [y, "one"], ["s"]), helper.make_node("Identity", ["s"], ["t"])]  # noqa: E731
    nodes, tensors = stacked(rng, lambda y: (reshaped(y), "t"))
    path = written(tmp_path / "net.onnx", nodes, tensors | {"one": np.array([1])})
    network, x = load(path, CELLS), rng.standard_normal((5, 2, INPUTS))
    assert [(one.name, one.level) for one in network.layers] == [("low", 0), ("high", 1)]
    np.testing.assert_allclose(outputs(network, x), reference(path, x), rtol=0, atol=1e-12)


def test_layers_with_something_else_between_are_no_stack(tmp_path, rng):
    nodes, tensors = stacked(rng, lambda y: ([helper.make_node("Squeeze", [y, "one"], ["s"]), helper.make_node("Relu", ["s"], ["t"])], "t"))
    path = written(tmp_path / "net.onnx", nodes, tensors | {"one": np.array([1])})
    refused(path, "low, high do not feed each other", "--layer")
    assert [one.name for one in load(path, CELLS, "high").layers] == ["high"]


def test_weights_behind_operators(tmp_path, rng):
    """W by slices of torch's order put together in ONNX's, R transposed and unsqueezed, B a constant: the forms that exporters leave."""
    plain = weights(rng, "LSTM")
    path = written(tmp_path / "plain.onnx", [recurrent_node("LSTM", {"B": "B"})], plain)
    i, o, f, c = np.split(plain["W"][0], 4)
    n = UNITS

    def cut(start, name):
        return [helper.make_node("Constant", [], [f"{name}_{k}"], value_ints=v) for k, v in (
            ("from", [start * n]), ("to", [start * n + n]), ("axes", [0]))] + [
            helper.make_node("Slice", ["torch", *(f"{name}_{k}" for k in ("from", "to", "axes"))], [name])]

    nodes = [
        *cut(0, "i"), *cut(1, "f"), *cut(2, "c"), *cut(3, "o"), helper.make_node("Concat", ["i", "o", "f", "c"], ["rows"], axis=0),
        helper.make_node("Constant", [], ["zero"], value_ints=[0]), helper.make_node("Unsqueeze", ["rows", "zero"], ["W"]),
        helper.make_node("Transpose", ["flipped"], ["R2"], perm=[1, 0]), helper.make_node("Identity", ["R2"], ["R1"]),
        helper.make_node("Reshape", ["R1", "shape"], ["R"]),
        helper.make_node("Constant", [], ["B32"], value=numpy_helper.from_array(plain["B"].astype("f4"))),
        helper.make_node("Cast", ["B32"], ["B"], to=TensorProto.DOUBLE), recurrent_node("LSTM", {"B": "B"}),
    ]
    folded = written(tmp_path / "folded.onnx", nodes, {
        "torch": np.concatenate([i, f, c, o]), "flipped": plain["R"][0].T.copy(), "shape": np.array([1, -1, n])})
    one, other = load(path, CELLS).layers[0], load(folded, CELLS).layers[0]
    for name, array in one.params.items():
        np.testing.assert_allclose(other.params[name], array, rtol=0, atol=1e-7 if name.startswith("b") else 0)


@pytest.mark.filterwarnings("ignore")
@pytest.mark.parametrize("kind", ["LSTM", "GRU", "RNN"])
def test_what_torch_exports(tmp_path, rng, kind):
    """Two levels in two directions, the weights left behind the operators that put torch's order of gates into ONNX's."""
    torch = pytest.importorskip("torch", reason="exports the model")
    torch.manual_seed(3)
    module = getattr(torch.nn, kind)(INPUTS, UNITS, num_layers=2, bidirectional=True, batch_first=True)
    x = rng.standard_normal((7, 2, INPUTS))
    given = torch.from_numpy(x.transpose(1, 0, 2).astype("f4"))
    torch.onnx.export(module, (given,), tmp_path / "net.onnx", dynamo=False, do_constant_folding=False)
    made = {node.op_type for node in onnx.load(tmp_path / "net.onnx").graph.node}
    assert kind == "RNN" or made >= {"Slice", "Concat", "Unsqueeze"}
    network = load(tmp_path / "net.onnx", CELLS)
    assert [(one.level, one.reverse) for one in network.layers] == [(0, False), (0, True), (1, False), (1, True)]
    assert not any("first state" in note for note in network.notes), "torch expands a zero to a state for every sequence"
    with torch.no_grad():
        expected = module(given)[0].numpy().transpose(1, 0, 2)
    np.testing.assert_allclose(outputs(network, x), expected, rtol=0, atol=1e-6)


@pytest.mark.parametrize("value, how, words", [
    (0.0, "Expand", None), (0.5, "Expand", "a constant other than zero"), (0.0, "ConstantOfShape", None),
    (0.5, "ConstantOfShape", "a constant other than zero"), (0.0, "Identity", None), (0.5, "Identity", "a constant other than zero"),
    (0.0, "Sigmoid", "computed in the graph"),
])
@pytest.mark.parametrize("place", [5, 6], ids=["h", "c"])
def test_a_first_state_is_noted_unless_it_is_zero(tmp_path, rng, value, how, words, place):
    """Whether its shape is that of the inputs or the file's."""
    start = helper.make_node("Shape", ["x"], ["shape"]), helper.make_node(how, ["value", "shape"][:1 + (how == "Expand")], ["start"])
    if how == "ConstantOfShape":
        start = start[0], helper.make_node(how, ["shape"], ["start"], value=numpy_helper.from_array(np.array([value])))
    node = recurrent_node("LSTM", {"B": "B"})
    node.input[:] = [*node.input[:4], "", *(["start"] if place == 5 else ["", "start"])]
    network = load(written(tmp_path / "net.onnx", [*start, node], weights(rng, "LSTM") | {"value": np.full((1, 1, UNITS), value)}), CELLS)
    assert [n for n in network.notes if "state" in n] == ([f"net: its first state is {words}, taken as zero"] if words else [])


def test_branches_are_read_and_told_apart(tmp_path, rng):
    """Silero's form: one net per sampling rate, each inside a branch of an If, one with weights of the graph around it."""
    outer, inner = weights(rng, "LSTM"), weights(rng, "LSTM")
    result = [helper.make_tensor_value_info("Y", TensorProto.DOUBLE, None)]
    then = helper.make_graph([recurrent_node("LSTM", {"B": "B"})], "then", [], result)
    otherwise = helper.make_graph([recurrent_node("LSTM", {"B": "B"})], "else", [], result,
                                  [numpy_helper.from_array(a, n) for n, a in inner.items()])
    branch = helper.make_node("If", ["x"], ["out"], name="rate", then_branch=then, else_branch=otherwise)
    path = written(tmp_path / "net.onnx", [branch], outer)
    refused(path, "rate.else_branch.net, rate.then_branch.net do not feed each other", "--layer")
    for name, tensors in (("rate.then_branch.net", outer), ("rate.else_branch.net", inner)):
        (only,) = load(path, CELLS, name).layers
        np.testing.assert_array_equal(only.params["W_in_x"], tensors["W"][0, :UNITS])


def test_readout_and_first_state(tmp_path, rng):
    tensors = weights(rng, "GRU") | {"head": rng.standard_normal((UNITS, 2)), "bias": rng.standard_normal(2), "one": np.array([1])}
    node = recurrent_node("GRU", {"B": "B"})
    node.input.append("start")
    path = written(tmp_path / "net.onnx", [
        node, helper.make_node("Squeeze", ["Y", "one"], ["y"]), helper.make_node("MatMul", ["y", "head"], ["p"], name="out"),
        helper.make_node("Add", ["p", "bias"], ["q"])], tensors)
    network = load(path, CELLS)
    assert network.readout.name == "out" and "net: its first state is an input of the graph, taken as zero" in network.notes
    np.testing.assert_array_equal(network.readout.W, tensors["head"].T)
    np.testing.assert_array_equal(network.readout.b, tensors["bias"])


# Activations, from the operators' definitions in plain NumPy: the reference evaluator has the usual three only

FORMULAS = {
    "Relu": lambda z: np.maximum(z, 0), "Softsign": lambda z: z / (1 + abs(z)), "Softplus": lambda z: np.log1p(np.exp(z)),
    "Elu": lambda z: np.where(z < 0, 0.7 * (np.exp(z) - 1), z), "LeakyRelu": lambda z: np.where(z < 0, 0.3 * z, z),
    "HardSigmoid": lambda z: np.clip(0.3 * z + 0.4, 0, 1), "ScaledTanh": lambda z: 1.5 * np.tanh(0.5 * z),
    "Affine": lambda z: 0.4 * z + 0.1,
}
NUMBERS = {"Elu": (0.7, None), "LeakyRelu": (0.3, None), "HardSigmoid": (0.3, 0.4), "ScaledTanh": (1.5, 0.5), "Affine": (0.4, 0.1)}


def with_numbers(names):
    """The attributes of activations with their alphas and betas, in the order in which the operator takes them."""
    given = {"activations": list(names)}
    for key, k in (("activation_alpha", 0), ("activation_beta", 1)):
        values = [NUMBERS[name][k] for name in names if name in NUMBERS and NUMBERS[name][k] is not None]
        given |= {key: values} if values else {}
    return given


@pytest.mark.parametrize("name", FORMULAS)
def test_rnn_with_other_activations(tmp_path, rng, name):
    tensors, x = weights(rng, "RNN"), rng.standard_normal((6, 2, INPUTS))
    path = written(tmp_path / "net.onnx", [recurrent_node("RNN", {"B": "B"}, **with_numbers([name]))], tensors)
    W, R, b = tensors["W"][0], tensors["R"][0], tensors["B"][0].reshape(2, -1).sum(0)
    y, expected = np.zeros((2, UNITS)), []
    for step in x:
        y = FORMULAS[name](step @ W.T + y @ R.T + b)
        expected.append(y)
    np.testing.assert_allclose(outputs(load(path, CELLS), x), expected, rtol=0, atol=1e-7)  # alpha and beta are float32 in the file


def test_lstm_with_other_activations(tmp_path, rng):
    tensors, x = weights(rng, "LSTM"), rng.standard_normal((6, 2, INPUTS))
    names = ("HardSigmoid", "Softsign", "ScaledTanh")
    path = written(tmp_path / "net.onnx", [recurrent_node("LSTM", {"B": "B"}, **with_numbers(names))], tensors)
    f, g, h = (FORMULAS[name] for name in names)
    W, R, b = tensors["W"][0], tensors["R"][0], tensors["B"][0].reshape(2, -1).sum(0)
    y, s, expected = np.zeros((2, UNITS)), np.zeros((2, UNITS)), []
    for step in x:
        net_in, net_out, net_f, net_c = np.split(step @ W.T + y @ R.T + b, 4, axis=-1)
        s = f(net_f) * s + f(net_in) * g(net_c)
        y = f(net_out) * h(s)
        expected.append(y)
    layer = load(path, CELLS).layers[0]
    assert layer.cell.name.startswith("lstm[f=hard_sigmoid(0.3") and "g=softsign; h=scaled_tanh(1.5, 0.5)]" in layer.cell.name
    np.testing.assert_allclose(layer.run(x)["y"], expected, rtol=0, atol=1e-7)


# What is refused

@pytest.mark.parametrize("attributes, word", [
    ({"clip": 3.0}, "clips"), ({"input_forget": 1}, "couples"), ({"direction": "sideways"}, "direction sideways"),
    ({"activations": ["Tanh"]}, "1 activations, expected 3"), ({"activations": ["Sigmoid", "Tanh", "Sin"]}, "Sin is not known"),
], ids=str)
def test_nodes_that_no_cell_computes(tmp_path, rng, attributes, word):
    refused(written(tmp_path / "net.onnx", [recurrent_node("LSTM", {"B": "B"}, **attributes)], weights(rng, "LSTM")), word)


def test_weights_that_do_not_meet_or_are_no_constants(tmp_path, rng):
    good = weights(rng, "LSTM")
    for change, word in [
        ({"W": good["W"][:, :-1]}, "W has shape (1, 19, 3), expected (1, 20, 3)"), ({"R": good["R"][0]}, "expected R of shape"),
        ({"B": good["B"][:, :20]}, "expected (1, 40)"), ({"W": good["W"] * np.nan}, "not finite"), ({"W": good["W"].astype(int)}, "int64"),
    ]:
        refused(written(tmp_path / "net.onnx", [recurrent_node("LSTM", {"B": "B"})], good | change), word)
    refused(written(tmp_path / "net.onnx", [recurrent_node("LSTM", {})], {"R": good["R"]}), "an input of the graph")
    relu = helper.make_node("Relu", ["V"], ["W"])
    refused(written(tmp_path / "net.onnx", [relu, recurrent_node("LSTM", {})], {"R": good["R"], "V": good["W"]}), "made by Relu")
    circle = [helper.make_node("Identity", ["W2"], ["W"]), helper.make_node("Identity", ["W"], ["W2"])]
    refused(written(tmp_path / "net.onnx", [*circle, recurrent_node("LSTM", {})], {"R": good["R"]}), "200 operators")
    refused(written(tmp_path / "net.onnx", [helper.make_node("Relu", ["x"], ["y"])], {}), "expected LSTM, GRU or RNN nodes, got Relu")


def external(name, array, location, offset=None, length=None):
    """A tensor whose numbers lie in a file."""
    tensor = TensorProto(name=name, data_type=TensorProto.DOUBLE, dims=array.shape, data_location=TensorProto.EXTERNAL)
    for key, value in (("location", location), ("offset", offset), ("length", length)):
        if value is not None:
            tensor.external_data.add(key=key, value=str(value))
    return tensor


def test_numbers_beside_the_model(tmp_path, rng):
    """External data is read from a plain file in the model's folder, and from nowhere else."""
    tensors, folder = weights(rng, "LSTM"), tmp_path / "model"
    folder.mkdir()
    W = tensors.pop("W")
    for path in (folder / "net.data", tmp_path / "secret"):
        path.write_bytes(bytes(16) + W.tobytes())
    os.symlink(tmp_path / "secret", folder / "link")
    (folder / "deep").mkdir()

    def model(*where):
        return written(folder / "net.onnx", [recurrent_node("LSTM", {"B": "B"})], tensors, [external("W", W, *where)])

    layer = load(model("net.data", 16), CELLS).layers[0]
    np.testing.assert_array_equal(layer.params["W_in_x"], W[0, :UNITS])
    for location in ("../secret", str(tmp_path / "secret"), "link", "deep", "", "..", "missing", "a\0b"):
        refused(model(location, 16), "expected a file in the model's own folder")
    refused(model("net.data", 16, 10**9), "fetch that file again")
    refused(model("net.data", -8), "bytes -8")
    refused(model("net.data", 0), "does not hold together")


def test_doubling_a_constant_is_no_way_to_fill_the_memory(tmp_path, rng):
    nodes = [helper.make_node("Concat", [f"c{k}"] * 8, [f"c{k + 1}"], axis=0) for k in range(20)]
    nodes += [helper.make_node("Identity", ["c20"], ["W"]), recurrent_node("LSTM", {})]
    path = written(tmp_path / "net.onnx", nodes, {"c0": np.zeros(1000), "R": weights(rng, "LSTM")["R"]})
    refused(path, "more than a file of this length")


# Peepholes

def test_peepholes_agree_with_the_reference_evaluator(tmp_path, rng):
    tensors, x = weights(rng, "LSTM", peepholes=True), rng.standard_normal((9, 2, INPUTS))
    path = written(tmp_path / "net.onnx", [recurrent_node("LSTM", {"B": "B", "P": "P"})], tensors)
    network = load(path, CELLS)
    assert [one.cell.name for one in network.layers] == ["lstm_vanilla"]
    np.testing.assert_allclose(outputs(network, x), reference(path, x), rtol=0, atol=1e-12)
    with pytest.raises(FormatError, match="LSTM.peepholes. of onnx, which no cell"):
        load(path, {"lstm": CELLS["lstm"]})
