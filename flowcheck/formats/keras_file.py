"""Keras files: `.keras` and `.h5`, whole models and weights only, Keras 2 and 3, plain and CuDNN layout. No Keras, no load_model."""

import re
from dataclasses import dataclass

import numpy as np

from .archive import DEFLATED_TOO, Archive
from .checks import number
from .errors import FormatError, shown
from .hdf5 import Hdf5
from .keras_config import activation, described_layers, hard_sigmoid, parse_config
from .stored import Contents, Stored
from .torch_names import natural

__all__ = ["read_hdf5", "read_keras"]

GATES = {4: "LSTM", 3: "GRU", 1: "SimpleRNN"}
WEIGHTS = "model.weights.h5"


@dataclass
class Triple:
    """The arrays of one cell, under the path of their group."""

    path: str
    kernel: np.ndarray
    recurrent: np.ndarray
    bias: np.ndarray | None

    @property
    def backward(self):
        return any(part.startswith("backward") for part in self.path.split("/"))


def read_keras(handle, where):
    """Contents of an open `.keras` file: config.json says what the layers are, model.weights.h5 has their weights."""
    archive = Archive(handle, where, DEFLATED_TOO)
    missing = [name for name in ("config.json", WEIGHTS) if name not in archive]
    if missing:
        raise FormatError(f"{where}: expected {missing[0]} in the zip file, got {', '.join(shown(n, 30) for n in archive.names[:6])}; save "
                          "the model again")
    version = None
    if "metadata.json" in archive:
        version = parse_config(archive.read("metadata.json"), where).get("keras_version")
    config = parse_config(archive.read("config.json"), where)
    with Hdf5(archive.read(WEIGHTS), where) as file:
        return _contents(file, config, version, where)


def read_hdf5(handle, where):
    """Contents of an open HDF5 file that Keras wrote, with the model's config or without."""
    with Hdf5(handle.name, where) as file:
        text = file.text("", "model_config")
        version = file.text("", "keras_version") or file.text("model_weights", "keras_version")
        return _contents(file, None if text is None else parse_config(text, where), version, where)


def _contents(file, config, version, where):
    triples = _triples(file, where)
    if not triples:
        raise FormatError(f"{where}: expected recurrent layers (kernel and recurrent_kernel), got {len(file.arrays)} arrays "
                          f"({', '.join(shown(n, 40) for n in list(file.arrays)[:4])}); save the model that has them")
    version = version if isinstance(version, str) else None
    words = f"Keras {shown(version, 20)}" if version else "a Keras that left no version"
    found = Contents(notes=[f"written by {words}, {'config read' if config else 'weights only'}"], tensors=_dense(file, triples, where))
    if config is None:
        layers = _without_config(file, triples, version, found.notes, where)
    else:
        layers = _with_config(described_layers(config, where), triples, _major(version), found.notes, where)
        found.apart = True
    found.layers = layers
    return found


def _triples(file, where):
    """[Triple] in the model's order as far as the file tells it: `layer_names`, else natural order."""
    found = []
    for path in file.arrays:
        group, _, name = path.rpartition("/")
        if path.startswith("optimizer"):
            continue
        if name.removesuffix(":0") == "recurrent_kernel":
            suffix = name.removeprefix("recurrent_kernel")
            names = [f"{group}/kernel{suffix}", path, f"{group}/bias{suffix}"]
        elif re.fullmatch(r"(.*/)?cell(/.*)?/vars/1", path):
            names = [f"{group}/{k}" for k in range(3)]
        else:
            continue
        if names[0] not in file.arrays:
            raise FormatError(f"{where}: {shown(path)} has no {shown(names[0])} beside it; fetch the file again")
        arrays = [number(file.read(n), n, where) for n in names if n in file.arrays]
        if not arrays[0].ndim == arrays[1].ndim == 2:
            raise FormatError(f"{where}: {shown(group)} has arrays of shapes {arrays[0].shape} and {arrays[1].shape}, expected two "
                              "matrices, a kernel and a recurrent kernel; fetch the file again")
        found.append(Triple(group, arrays[0], arrays[1], arrays[2] if len(arrays) > 2 else None))
    order = file.text("", "layer_names") or file.text("model_weights", "layer_names") or []
    order = order if isinstance(order, list) else [order]

    def place(triple):
        top = triple.path.removeprefix("model_weights/").split("/")[0]
        return order.index(top) if top in order else len(order), triple.backward, natural(triple.path)

    return sorted(found, key=place)


def _with_config(described, triples, version, notes, where):
    """[Stored] of every layer that the config describes, with its arrays."""
    left, layers = list(triples), []
    for one in described:
        notes += one.notes
        for backward in (False, True) if one.backward is not None else (False,):
            config = one.backward if backward else one.config
            triple = next((t for t in left if _belongs(t, one) and t.backward == backward), None)
            if triple is None:
                raise FormatError(f"{where}: {shown(one.name)} is in the config, but its weights are not in the file; save the whole model")
            left.remove(triple)
            name = one.name + (".reverse" if backward else "")
            place = f"{where}: {shown(name)}"
            reverse = backward if one.backward is not None else bool(config.get("go_backwards"))
            if reverse and one.backward is None:
                notes.append(f"{name}: go_backwards, so it runs from the last step to the first")
            activations = {} if one.cudnn else _activations(one.kind, config, version, name, notes, place)
            rows, kind = _rows(triple, one.kind, config.get("reset_after"), name, notes, place)
            layers.append(Stored(name, "keras", kind, rows, one.stack, one.level, reverse, activations))
    for triple in left:
        name = _plain_name(triple.path)
        rows, kind = _rows(triple, None, None, name, notes, f"{where}: {shown(name)}")
        layers.append(Stored(name, "keras", kind, rows, name, question=(
            "the config does not call it LSTM, GRU or SimpleRNN, so its equations are not known; if they are those of a cell of the "
            f"catalogue say so, as --layer {name}=lstm:ifco")))
    return layers


def _without_config(file, triples, version, notes, where):
    """[Stored] of what the shapes and paths tell; each layer is a stack of its own, two directions are one."""
    layers = []
    for triple in triples:
        name = _saved_name(file, triple.path)
        place = f"{where}: {shown(name)}"
        rows, kind = _rows(triple, None, None, name, notes, place)
        stack = name.removesuffix(".reverse")
        activations, question = _assumed(kind, _is_cudnn(triple), version, name, stack, notes)
        if kind == "GRU?":
            question = ("it has no bias, so the file does not say whether the reset gate comes before or after the product; say it: "
                        f"--layer {stack}=gru:zrh for after (reset_after=True), --layer {stack}=gru_reset_before:zrh for before")
        layers.append(Stored(name, "keras", kind, rows, stack, 0, triple.backward, activations, question=question))
    return layers


def _belongs(triple, described):
    parts = triple.path.split("/")
    if "vars" not in parts:
        return described.name.partition(".")[0].rpartition("/")[2] in parts and (not described.cells or parts[-1] == described.cells[1])
    return triple.path.startswith(f"{described.group}/") and (not described.cells or parts[-2] == described.cells[0])


def _plain_name(path):
    """A layer's name from the path of its group: the last part that is not the cell, a direction or a folder of Keras's own."""
    parts = [p for p in path.split("/") if p not in ("model_weights", "layers", "vars", "cell")]
    named = [p for p in parts if not re.fullmatch(r"(lstm|gru|simple_rnn)_cell(_[0-9]+)?|(forward|backward)_.*", p)]
    return (named or parts or [path])[-1]


def _saved_name(file, path):
    """The name that Keras 3 keeps beside the weights, or the path's; ".reverse" for a backward half."""
    backward = any(part.startswith("backward") for part in path.split("/"))
    owner, stacked = re.sub(r"(/(forward|backward)_layer)?(/cell)?(/cells/.*)?/vars$", "", path), re.search(r"/cells/(.*)/vars$", path)
    name = file.text(f"{owner}/vars", "name") if path.endswith("/vars") else None
    name = name if isinstance(name, str) and name else _plain_name(path)
    return name + (f".{stacked[1]}" if stacked else "") + (".reverse" if backward else "")


def _rows(triple, kind, reset_after, name, notes, where):
    """({role: rows [to, from]}, Keras's kind) of a triple, in plain layout. Raises FormatError for shapes that do not meet."""
    kernel, recurrent, bias = triple.kernel, triple.recurrent, triple.bias
    units = len(recurrent)
    n, rest = divmod(recurrent.shape[1], units) if units else (0, 1)
    if rest or n not in GATES or kernel.shape[1] != n * units or kind not in (None, GATES[n]):
        raise FormatError(f"{where}: kernel {kernel.shape} and recurrent_kernel {recurrent.shape} are not those of "
                          f"{kind or 'an LSTM, GRU or SimpleRNN'}, expected (inputs, G x units) and (units, G x units); fetch the "
                          "file again")
    kind, total = GATES[n], n * units
    if bias is not None and bias.shape not in {(total,), (2, total), (2 * total,)}:
        raise FormatError(f"{where}: bias has shape {bias.shape}, expected ({total},), (2, {total}) or ({2 * total},) for {units} units; "
                          "fetch the file again")
    if _is_cudnn(triple):
        notes.append(f"{name}: CuDNN layout (bias of {2 * n} x units): kernels transposed within each gate, two biases")
        gate = [slice(g * units, (g + 1) * units) for g in range(n)]
        rows = {"weight_ih": np.concatenate([kernel[:, g].reshape(units, -1) for g in gate]),
                "weight_hh": np.concatenate([recurrent[:, g] for g in gate]), "bias_ih": bias[:total], "bias_hh": bias[total:]}
        return rows, kind
    rows = {"weight_ih": kernel.T, "weight_hh": recurrent.T}
    if bias is not None:
        rows |= {"bias_ih": bias} if bias.ndim == 1 else {"bias_ih": bias[0], "bias_hh": bias[1]}
    if kind != "GRU":
        return rows, kind
    if bias is None and reset_after is None:
        return rows, "GRU?"
    after = bias.ndim == 2 if bias is not None else bool(reset_after)
    if reset_after is not None and bool(reset_after) != after:
        raise FormatError(f"{where}: config says reset_after={reset_after}, but the bias has shape {bias.shape}, expected "
                          f"{(2, total) if reset_after else (total,)}; the config is of another model")
    return rows, "GRU" if after else "GRU(reset_after=False)"


def _is_cudnn(triple):
    return triple.bias is not None and triple.bias.ndim == 1 and len(triple.bias) == 2 * triple.recurrent.shape[1]


def _activations(kind, config, version, name, notes, where):
    """{"f", "g", "h"} of a config."""
    found = {}
    for letters, key, default in (("f", "recurrent_activation", "sigmoid"), ("gh", "activation", "tanh")):
        if kind == "SimpleRNN" and letters == "f":
            continue
        text, note = activation(config.get(key, default), version, where)
        found |= {letter: text for letter in letters if letter != "h" or kind == "LSTM"}
        notes.extend([f"{name}: {note}"] if note else [])
    return found


def _assumed(kind, cudnn, version, name, stack, notes):
    """(activations, question): Keras's defaults of that version, since weights alone record none."""
    if kind == "SimpleRNN" or cudnn:
        notes.append(f"{name}: tanh assumed{'' if kind == 'SimpleRNN' else ' with sigmoid gates, the only ones of CuDNN'}")
        return {}, ""
    numbers = [int(n) for n in re.findall(r"[0-9]+", (version or "").split("-")[0])[:3]]
    old = numbers and numbers < [2, 3]
    if version and (numbers == [2, 2, 4] and version.endswith("-tf") or not numbers):
        cell, order = ("lstm", "ifco") if kind == "LSTM" else ("gru", "zrh")
        return {}, (f"weights without config, of {shown(version, 20)}, whose gates default to sigmoid in TensorFlow 2 and to "
                    f"hard_sigmoid in TensorFlow 1; say it: --layer {stack}={cell}:{order} or --layer "
                    f"{stack}={cell}[f=hard_sigmoid(0.2, 0.5)]:{order}")
    if old:
        text, note = hard_sigmoid(numbers[0], name)
        notes.append(f"{name}: gates assumed hard_sigmoid, the default of {shown(version, 20)}; {note}")
        return {"f": text}, ""
    notes.append(f"{name}: sigmoid gates and tanh assumed, Keras's defaults; weights alone record none")
    return {}, ""


def _major(version):
    found = re.match(r"[0-9]+", version) if version else None
    return int(found[0]) if found else None


def _dense(file, triples, where):
    """{name.weight, name.bias} [to, from] of plain kernels that a layer's output could feed, for the read-out."""
    widths = {k * t.recurrent.shape[0] for t in triples for k in (1, 2)}
    recurrent, found = {t.path for t in triples}, {}
    for path, shape in file.arrays.items():
        group, _, name = path.rpartition("/")
        suffix = ":0" if name.endswith(":0") else ""
        legacy, dense = name.removesuffix(":0") == "kernel", name == "0" and re.search(r"(^|/)dense[^/]*/vars$", group)
        if group in recurrent or path.startswith("optimizer") or not (legacy or dense) or len(shape) != 2 or (
                shape[0] not in widths):
            continue
        title = _saved_name(file, group)
        found[f"{title}.weight"] = file.read(path).T
        bias = f"{group}/bias{suffix}" if legacy else f"{group}/1"
        if bias in file.arrays:
            found[f"{title}.bias"] = file.read(bias)
    return found
