"""ONNX models: every LSTM, GRU and RNN node, in the main graph, in branches and in the model's own functions.

Reads the protobuf and runs no node of the net; constants behind weights are folded by `onnx_constants`.
"""

from dataclasses import dataclass

import numpy as np

from .activations import ACTIVATIONS, spec
from .checks import number
from .errors import FormatError, shown
from .extras import needed
from .onnx_constants import Constants
from .stored import Contents, Stored

__all__ = ["read_onnx"]

GATES = {"LSTM": 4, "GRU": 3, "RNN": 1}
LETTERS = {"LSTM": "fgh", "GRU": "fg", "RNN": "g"}
PASS = {"Cast", "Dropout", "Identity", "Reshape", "Squeeze", "Transpose", "Unsqueeze"}  # the same numbers in another shape
FUNCTIONS = {
    "Sigmoid": "sigmoid", "Tanh": "tanh", "Relu": "relu", "Affine": "affine", "LeakyRelu": "leaky_relu", "HardSigmoid": "hard_sigmoid",
    "Elu": "elu", "ScaledTanh": "scaled_tanh", "Softsign": "softsign", "Softplus": "softplus",
}
MOST = 200_000
DEEPEST = 32


@dataclass
class Scope:
    """One graph: its nodes by output, its constants, and the scope around it."""

    path: str
    graph: object
    producers: dict
    constants: Constants


def read_onnx(handle, where):
    """Contents of an open ONNX file. Layers that feed each other, be it through a reshape, are one stack.

    Raises FormatError for a file that is no ONNX model, nodes that clip or couple gates, weights that are computed or lie in a file outside
    the model's folder.
    """
    onnx = needed("onnx", where)
    model = onnx.ModelProto()
    try:
        model.ParseFromString(handle.read())
    except Exception as error:  # protobuf's DecodeError is of no public module
        raise FormatError(f"{where}: not a whole ONNX model ({shown(error, 120)}); fetch it again") from error
    found = Contents(layers=[], apart=True, notes=[f"written by {shown(model.producer_name, 60)}"] if model.producer_name else [])
    scopes = _scopes(model, handle.name, where)
    for scope in scopes:
        _read_graph(scope, found, where)
    if not found.layers:
        ops = list(dict.fromkeys(node.op_type for scope in scopes for node in scope.graph.node))
        got = ", ".join(shown(op, 30) for op in ops[:8]) or "none"
        raise FormatError(f"{where}: expected LSTM, GRU or RNN nodes, got {got}; export the model so that its recurrent layers stay "
                          "one node each")
    return found


def _scopes(model, path, where):
    """[Scope] of the main graph, of every graph inside a node and of the functions, outer ones first."""
    main = _Graph("", model.graph)
    level, scopes, nodes = [(main, None)], [], 0
    level += [(_Graph(f"{f.name}.", f), None) for f in model.functions]
    for _ in range(DEEPEST):
        deeper = []
        for inner, outer in level:
            nodes += len(inner.graph.node)
            if nodes > MOST:
                raise FormatError(f"{where}: refused: more than {MOST} nodes; export the recurrent layers alone")
            producers = {**(outer.producers if outer else {}), **{name: node for node in inner.graph.node for name in node.output if name}}
            constants = Constants(inner.graph, producers, path, where, outer.constants if outer else None)
            scope = Scope(inner.path, inner.graph, producers, constants)
            scopes.append(scope)
            for node in inner.graph.node:
                for attribute in node.attribute:
                    graphs = [attribute.g] if attribute.HasField("g") else list(attribute.graphs)
                    deeper += [(_Graph(f"{inner.path}{node.name or node.op_type}.{attribute.name}.", g), scope) for g in graphs]
        level = deeper
    return scopes


@dataclass
class _Graph:
    path: str
    graph: object


def _read_graph(scope, found, where):
    """Adds the recurrent nodes of one graph, in order, and the matrices that may be the read-out."""
    placed = {}  # output name -> (stack, level)
    for k, node in enumerate(n for n in scope.graph.node if n.op_type in GATES and n.domain in ("", "ai.onnx")):
        name = f"{scope.path}{node.name or f'{node.op_type.lower()}_{k}'}"
        below = _below(node.input[0] if node.input else "", scope.producers, placed)
        stack, level = (name, 0) if below is None else (below[0], below[1] + 1)
        if (stack, level) in placed.values():
            stack, level = name, 0
        if node.output:
            placed[node.output[0]] = stack, level
        found.layers += _layers(node, scope, name, stack, level, found.notes, where)
    for node in scope.graph.node:
        if found.layers and node.op_type in ("MatMul", "Gemm") and len(node.input) > 1:
            found.tensors |= _matrix(node, scope)


def _below(name, producers, placed):
    """(stack, level) of the recurrent node whose Y is read under this name, through PASS operators; None for anything else."""
    for _ in range(1000):
        if name in placed:
            return placed[name]
        node = producers.get(name)
        if node is None or node.op_type not in PASS or not node.input:
            return None
        name = node.input[0]
    return None


def _layers(node, scope, name, stack, level, notes, where):
    """[Stored], one per direction."""
    place, kind = f"{where}: {shown(name)}", node.op_type
    given = {a.name: a for a in node.attribute}
    if "clip" in given or ("input_forget" in given and given["input_forget"].i):
        does = "clips its net inputs" if "clip" in given else "couples its input gate to the forget gate"
        raise FormatError(f"{place} {does}, which no cell of the catalogue does; export it without")
    direction = given["direction"].s.decode("utf-8", "replace") if "direction" in given else "forward"
    if direction not in ("forward", "reverse", "bidirectional"):
        raise FormatError(f"{place} has direction {shown(direction)}, expected forward, reverse or bidirectional; export it again")
    inputs = dict(zip("XWRBSHCP", node.input, strict=False))
    arrays = {}
    for letter in "WRBP" if kind == "LSTM" else "WRB":
        if inputs.get(letter):
            arrays[letter] = number(scope.constants.array(inputs[letter], f"{shown(name)}.{letter}"), f"{name}.{letter}", where)
    directions = 2 if direction == "bidirectional" else 1
    after = "linear_before_reset" in given and bool(given["linear_before_reset"].i)
    _checked(arrays, GATES[kind], directions, place)
    functions = _functions(given, kind, directions, place)
    starts = dict.fromkeys(scope.constants.origin(inputs[letter]) for letter in "HC" if inputs.get(letter))
    notes.extend(f"{name}: its first state is {start}, taken as zero" for start in starts if start)
    label = kind + ("(linear_before_reset=1)" if kind == "GRU" and after else "(peepholes)" if "P" in arrays else "")
    found = []
    for d in range(directions):
        rows = {"weight_ih": arrays["W"][d], "weight_hh": arrays["R"][d]}
        if "B" in arrays:
            rows["bias_ih"], rows["bias_hh"] = np.split(arrays["B"][d], 2)
        if "P" in arrays:
            rows["peephole"] = arrays["P"][d]
        reverse = direction == "reverse" or d == 1
        found.append(Stored(f"{name}.reverse" if d else name, "onnx", label, rows, stack, level, reverse, functions[d]))
    return found


def _checked(arrays, gates, directions, place):
    """Raises FormatError for arrays that are missing or whose shapes are not those of the operator."""
    if not {"W", "R"} <= arrays.keys():
        raise FormatError(f"{place} has no constant W and R; export the model with its weights")
    units = arrays["R"].shape[-1] if arrays["R"].ndim == 3 else 0
    width = arrays["W"].shape[-1] if arrays["W"].ndim == 3 else 0
    expected = {"W": (directions, gates * units, width), "R": (directions, gates * units, units), "B": (directions, 2 * gates * units),
                "P": (directions, 3 * units)}
    for letter, array in arrays.items():
        if array.shape != expected[letter] or not units:
            wanted = expected[letter] if units else "R of shape (directions, gates x units, units)"
            raise FormatError(f"{place}: {letter} has shape {shown(array.shape)}, expected {wanted}; export it again")


def _functions(given, kind, directions, place):
    """[{"f", "g", "h"}] per direction. Alphas and betas are taken in order by the functions that have them."""
    letters = LETTERS[kind]
    names = [s.decode("utf-8", "replace") for s in given["activations"].strings] if "activations" in given else []
    if not names:
        return [{}] * directions
    if len(names) != len(letters) * directions:
        raise FormatError(f"{place} has {len(names)} activations, expected {len(letters)} for each of {directions} directions; "
                          "export it again")
    numbers = [list(given[key].floats) if key in given else [] for key in ("activation_alpha", "activation_beta")]
    texts = []
    for name in names:
        known = {key.lower(): value for key, value in FUNCTIONS.items()}.get(name.lower())
        if known is None:
            raise FormatError(f"{place}: activation {shown(name, 40)} is not known here, expected {', '.join(FUNCTIONS)}; export it "
                              "with one")
        own = [values.pop(0) if values else default for values, default in zip(numbers, ACTIVATIONS[known][0], strict=False)]
        texts.append(spec(known, *own))
    return [dict(zip(letters, texts[d * len(letters):], strict=False)) for d in range(directions)]


def _matrix(node, scope):
    """{name.weight, name.bias} [to, from] of a MatMul or Gemm with constants; a bias added later is looked for by who reads the product."""
    transposed = node.op_type == "Gemm" and any(a.name == "transB" and a.i for a in node.attribute)
    names = [*node.input[1:3]]
    reader = next((n for n in scope.graph.node if n.op_type == "Add" and node.output and node.output[0] in n.input), None)
    if node.op_type == "MatMul" and reader is not None:
        names += [name for name in reader.input if name != node.output[0]]
    try:
        arrays = [scope.constants.array(name, name) for name in names if scope.constants.is_constant(name)]
    except FormatError:
        return {}
    if not arrays or arrays[0].ndim != 2 or not scope.constants.is_constant(node.input[1]):
        return {}
    title = node.name or node.output[0]
    found = {f"{title}.weight": arrays[0] if transposed else arrays[0].T}
    return found | ({f"{title}.bias": arrays[1]} if len(arrays) > 1 and arrays[1].ndim == 1 else {})
