"""Trained nets from checkpoint files: `load`. One reader per format; loading never runs code from a file.

Turns a file into a `Network` and a file of inputs into `InputSet`s. It is handed the cells and knows none by name.
"""

import hashlib
from pathlib import Path

from ..network import Network
from .errors import FormatError
from .inputs import InputSet, read_inputs
from .layers import torch_layers
from .npz_file import own_network, read_npz, write_npz
from .proof import prove_gate_order
from .readout import find_readout
from .safetensors_file import read_safetensors
from .sniff import check_kind, opened
from .torch_file import read_torch

__all__ = ["FormatError", "InputSet", "load", "prove_gate_order", "read_inputs", "write_npz"]

READERS = {
    "torch": read_torch,
    "safetensors": read_safetensors,
    "npz": lambda handle, where: (read_npz(handle, where), []),
}


def load(path, cells, layer=None):
    """The Network in a checkpoint file: `.pt`, `.pth` (torch state_dict), `.safetensors` or `.npz`.

    cells   {name: Cell}, the catalogue
    layer   prefix of the recurrent layers to take, where a file has several stacks ("encoder.lstm")

    `notes` say what was assumed; gate orders are the framework's convention until `prove_gate_order` has met inputs.
    Raises FormatError, one line, for every file that is not read whole and safely.
    """
    path = Path(path)
    where = path.name
    with opened(path) as handle:
        kind = check_kind(path, handle)
        digest = hashlib.sha256()
        while block := handle.read(2**20):
            digest.update(block)
        handle.seek(0)
        tensors, notes = READERS[kind](handle, where)
    if kind == "npz" and any("/" in name for name in tensors):
        layers, readout = own_network(tensors, cells, where, layer)
    else:
        layers, found = torch_layers(tensors, cells, where, layer)
        readout, assumed = find_readout(tensors, layers, where)
        notes = [*notes, *found, *assumed]
    return Network(str(path), layers, digest.hexdigest(), readout, tuple(notes))
