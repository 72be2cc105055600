"""Trained nets from checkpoint files: `load`. One reader per format; loading never runs code from a file.

Turns a file into a `Network` and a file of inputs into `InputSet`s. It is handed the cells and knows none by name.
"""

import hashlib
from importlib import import_module
from pathlib import Path

from ..network import Network
from .answers import parse_answers
from .errors import FormatError
from .first_state import state_notes
from .inputs import InputSet, read_inputs, read_targets
from .layers import build_layers
from .npz_file import own_network, read_npz, write_npz
from .proof import prove_gate_order
from .readout import find_readout
from .sniff import check_kind, opened
from .stored import Contents
from .torch_layers import torch_layers

__all__ = ["FormatError", "InputSet", "load", "prove_gate_order", "read_inputs", "read_targets", "write_npz"]

READERS = {
    "torch": ("torch_file", "read_torch"),
    "safetensors": ("safetensors_file", "read_safetensors"),
    "shards": ("shards", "read_shards"),
    "hdf5": ("keras_file", "read_hdf5"),
    "keras": ("keras_file", "read_keras"),
    "onnx": ("onnx_file", "read_onnx"),
    "msgpack": ("flax_file", "read_flax"),
    "json": ("json_file", "read_json"),
}


def load(path, cells, layer=None):
    """The Network in a checkpoint file.

    `.pt`, `.pth`, `.ckpt`   torch state_dict, alone or in a checkpoint; a TorchScript program's weights
    `.safetensors`           one file, or several by their `.safetensors.index.json`
    `.h5`, `.hdf5`, `.keras` Keras, with its config or weights only
    `.onnx`                  LSTM, GRU and RNN nodes, also in branches
    `.msgpack`               Flax
    `.json`                  RTNeural, GuitarML, a state_dict as nested lists
    `.npz`                   tensors under torch's names, or a net that `write_npz` wrote

    cells   {name: Cell}, the catalogue
    layer   NAME: prefix of the recurrent layers to take, where a file has several stacks ("encoder.lstm");
            NAME=KIND:ORDER: what the file leaves open ("gru_1=gru_reset_before:zrh"); selects only beside a NAME alone

    `notes` say what was found and assumed; gate orders are the framework's convention until `prove_gate_order` has met inputs.
    Raises FormatError, one line, for every file that is not read whole and safely.
    """
    path, answers = Path(path), parse_answers(layer)
    where = path.name
    with opened(path) as handle:
        kind = check_kind(path, handle)
        digest = hashlib.file_digest(handle, "sha256").hexdigest()
        handle.seek(0)
        if kind == "npz":
            contents = Contents(tensors=read_npz(handle, where))
            if any("/" in name for name in contents.tensors):
                layers, readout = own_network(contents.tensors, cells, where, layer)
                return Network(str(path), layers, digest, readout)
        else:
            module, reader = READERS[kind]  # imported now: what it needs beyond numpy may not be installed
            contents = getattr(import_module(f".{module}", __package__), reader)(handle, where)
    if contents.layers is None:
        contents.layers, notes = torch_layers(contents.tensors, cells, where)
        contents.notes += notes
    layers, notes = build_layers(contents, cells, where, answers)
    readout, assumed = find_readout(contents.tensors, layers, where)
    return Network(str(path), layers, digest, readout, (*contents.notes, *notes, *state_notes(contents.tensors, layers), *assumed))
