"""What a Keras config says of its recurrent layers: class, activations, direction, and which of them feed each other."""

import json
import re
from dataclasses import dataclass, field

from .activations import spec
from .errors import FormatError, shown

__all__ = ["Described", "activation", "described_layers", "hard_sigmoid", "parse_config"]

KINDS = {"LSTM": "LSTM", "CuDNNLSTM": "LSTM", "LSTMCell": "LSTM", "GRU": "GRU", "CuDNNGRU": "GRU", "GRUCell": "GRU",
         "SimpleRNN": "SimpleRNN", "SimpleRNNCell": "SimpleRNN"}
PASS = {"ActivityRegularization", "AlphaDropout", "Dropout", "GaussianDropout", "GaussianNoise", "Identity", "Masking", "SpatialDropout1D"}
SAME = {"sigmoid", "tanh", "linear", "relu", "relu6", "hard_tanh", "elu", "softplus", "softsign", "exponential", "silu"}
DEEPEST = 8


@dataclass
class Described:
    """One recurrent layer of a config; a Bidirectional one has a `backward` config as well.

    name   the layer's own, "outer/inner" in a nested model
    group  where Keras 3 keeps its weights: "layers/lstm_1"
    cells  of one of several stacked cells: its names in Keras 3's groups and in Keras 2's
    """

    name: str
    group: str
    kind: str
    config: dict
    backward: dict | None = None
    cells: tuple = ()
    cudnn: bool = False
    concatenates: bool = True
    stack: str = ""
    level: int = 0
    notes: list = field(default_factory=list)


def parse_config(text, where):
    """The dict of a model's JSON config. Raises FormatError for anything else."""
    try:
        config = json.loads(text)
    except (ValueError, TypeError, RecursionError) as error:
        raise FormatError(f"{where}: the model's config is no JSON ({shown(error)}); fetch the file again") from error
    if not isinstance(config, dict):
        raise FormatError(f"{where}: the model's config is {type(config).__name__}, expected a dict; save the model again")
    return config


def described_layers(config, where):
    """[Described] of every LSTM, GRU and SimpleRNN in a config, nested models included; stack and level say who feeds whom."""
    try:
        found = _model(config, "", "", 0)
    except (AttributeError, KeyError, TypeError, ValueError, IndexError) as error:
        raise FormatError(f"{where}: the model's config is not as Keras writes it ({type(error).__name__}: {shown(error)}); save the "
                          "model again") from error
    return found


def activation(value, version, where):
    """(text of the activation, note or "") of a config's entry, for a file of that Keras version.

    Raises FormatError for functions of the user's own and for those that do not act unit by unit.
    """
    if value is None:
        return "linear", ""
    if not isinstance(value, str):
        value = value.get("class_name") if isinstance(value, dict) and isinstance(value.get("class_name"), str) else type(value).__name__
    name = {"swish": "silu"}.get(value, value)
    if name in SAME:
        return name, ""
    if name == "leaky_relu":
        return spec(name, 0.2), "leaky_relu with slope 0.2, Keras's default"
    if name == "hard_sigmoid":
        return hard_sigmoid(version, where)
    raise FormatError(f"{where}: activation {shown(name)!r} is not known here, expected one of {', '.join(sorted(SAME))}, hard_sigmoid or "
                      "leaky_relu; if it is one of them under another name, say so with --layer NAME=CELL[f=..., g=...]:ORDER")


def hard_sigmoid(version, where):
    """(text, note): Keras 1 and 2 compute min(1, max(0, 0.2 x + 0.5)), Keras 3 x/6 + 0.5."""
    if version is None:
        raise FormatError(f"{where}: hard_sigmoid is 0.2 x + 0.5 in Keras 1 and 2 and x/6 + 0.5 in Keras 3, and the file does not say its "
                          "version; say --layer NAME=CELL[f=hard_sigmoid(0.2, 0.5)]:ORDER or f=hard_sigmoid(0.16666666666666666, 0.5)")
    if version < 3:
        return spec("hard_sigmoid", 0.2, 0.5), f"hard_sigmoid taken as 0.2 x + 0.5, as Keras {version} computes it"
    return spec("hard_sigmoid", 1 / 6, 0.5), f"hard_sigmoid taken as x/6 + 0.5, as Keras {version} computes it"


def _model(model, prefix, group, depth):
    """[Described] of one model. `fed` maps a layer's name to the one that it reads first."""
    if depth > DEEPEST:
        raise ValueError(f"models nested more than {DEEPEST} deep")
    config = model["config"]
    entries = config if isinstance(config, list) else config["layers"]
    sequential = model.get("class_name") == "Sequential"
    found, by_name, fed, classes, used, before = [], {}, {}, {}, {}, None
    for entry in entries:
        kind, inner = entry["class_name"], entry["config"]
        name = entry.get("name") or inner.get("name") or kind
        auto = _snake(kind)
        used[auto] = used.get(auto, -1) + 1
        at = f"{group}layers/{auto}" + (f"_{used[auto]}" if used[auto] else "")
        fed[name], classes[name] = (before if sequential else _first_source(entry.get("inbound_nodes"))), kind
        before = name
        if isinstance(inner, list) or "layers" in inner:
            found += _model(entry, f"{prefix}{name}/", f"{at}/", depth + 1)
        else:
            one = _described(f"{prefix}{name}", at, kind, inner)
            found += one
            if one:
                by_name[name] = one[-1]
                _place(one, _below(fed[name], fed, classes, by_name), found)
    return found


def _place(layers, below, found):
    """Stack and level of new layers on the layer below, or on none."""
    taken = {(other.stack, other.level) for other in found if other.stack}
    free = below is not None and below.concatenates and (below.stack, below.level + 1) not in taken
    for k, layer in enumerate(layers):
        layer.stack, layer.level = (below.stack, below.level + 1 + k) if free else (layers[0].name, k)


def _below(name, fed, classes, by_name):
    """The recurrent layer that a layer reads, through layers that pass values on unchanged; None otherwise."""
    for _ in range(len(fed)):
        if name in by_name or classes.get(name) not in PASS:
            break
        name = fed.get(name)
    return by_name.get(name)


def _described(name, group, kind, config):
    """[Described] of one entry, several for stacked cells, none for other layers."""
    if kind == "Bidirectional":
        inner = config["layer"]
        one, = _described(name, group, inner["class_name"], inner["config"]) or (None,)
        if one is None:
            return []
        one.backward = config.get("backward_layer", {}).get("config") or inner["config"]
        merge = config.get("merge_mode", "concat")
        one.concatenates = merge == "concat"
        if not one.concatenates:
            one.notes.append(f"{name}: its two directions are merged by {shown(merge)}; each is measured on its own")
        return [one]
    if kind == "RNN":
        cell = config["cell"]
        if cell["class_name"] == "StackedRNNCells":
            return _stacked(name, group, cell["config"]["cells"])
        kind, config = cell["class_name"], {**cell["config"], "go_backwards": config.get("go_backwards", False)}
    if kind not in KINDS:
        return []
    return [Described(name, group, KINDS[kind], config, cudnn=kind.startswith("CuDNN"))]


def _stacked(name, group, cells):
    """[Described] of an RNN's stacked cells, none where one of them is of another class."""
    found, used = [], {}
    for k, cell in enumerate(cells):
        auto = _snake(cell["class_name"])
        used[auto] = used.get(auto, -1) + 1
        saved = auto + (f"_{used[auto]}" if used[auto] else "")
        kind = KINDS.get(cell["class_name"])
        found.append(Described(f"{name}.{k}", group, kind, cell["config"], cells=(saved, cell["config"].get("name"))))
    return found if all(one.kind for one in found) else []


def _first_source(nodes):
    """The name of the layer whose output a functional layer reads first; the two forms are those of Keras 2 and 3."""
    stack = [nodes]
    for _ in range(1000):
        if not stack:
            return None
        value = stack.pop()
        if isinstance(value, dict):
            history = value.get("config", {}).get("keras_history") if value.get("class_name") == "__keras_tensor__" else None
            if history:
                return history[0]
            stack.append(value.get("args"))
        elif isinstance(value, list) and len(value) >= 3 and isinstance(value[0], str) and isinstance(value[1], int):
            return value[0]
        elif isinstance(value, list):
            stack.extend(reversed(value))
    return None


def _snake(name):
    """lstm for LSTM, simple_rnn for SimpleRNN: how Keras 3 names the groups of its weights."""
    name = re.sub(r"\W+", "", name)
    name = re.sub(r"(.)([A-Z][a-z]+)", r"\1_\2", name)
    return re.sub(r"([a-z])([A-Z])", r"\1_\2", name).lower()
