"""Torch checkpoints (`.pt`, `.pth`, `.ckpt`, zip) as arrays: no torch, no pickle, nothing executed."""

import math
import re

import numpy as np

from .archive import Archive
from .errors import FormatError, shown
from .nested import find_state_dict
from .stored import Contents
from .torch_names import is_recurrent
from .torch_pickle import Opaque, Tensor, read_pickle

__all__ = ["bfloat16_to_float32", "read_torch"]

DEEPEST = 32  # modules in modules of a TorchScript program
MOST = 100_000
SHARED = 16  # tensors may share storages (tied weights), but not to make a small file fill the memory


def read_torch(handle, where):
    """Contents of an open torch zip file, under torch's names. Arrays are read-only views of the file's bytes.

    Of nested dicts the one with recurrent weights is taken. Of a TorchScript program its parameters are read and its code is not.
    Raises FormatError for a pickled module, for storages and tensors whose declared sizes do not meet, and for several dicts with
    recurrent weights.
    """
    archive = Archive(handle, where, without="/code/")
    roots = [n.removesuffix("data.pkl") for n in archive.names if re.fullmatch(r"([^/]+/)?data\.pkl", n)]
    if len(roots) != 1:
        raise FormatError(f"{where}: expected one data.pkl in the zip file, got {len(roots)}; save it with "
                          "torch.save(model.state_dict(), path)")
    root = roots[0]
    order = archive.read(f"{root}byteorder").strip() if f"{root}byteorder" in archive else b"little"
    if order not in (b"little", b"big"):
        raise FormatError(f"{where}: byteorder is {shown(order)}, expected little or big; fetch the file again")
    found, module = read_pickle(archive.read(f"{root}data.pkl"), where)
    if isinstance(found, Opaque) and found.kind.startswith("__torch__."):
        tensors, notes = _script_tensors(found, where), ["TorchScript program: its parameters are read, its code is not"]
    else:
        tensors, notes = _saved_tensors(found, module, where)
    arrays = _Arrays(archive, root, "<" if order == b"little" else ">", where)
    if any(t.storage.dtype == "bfloat16" for t in tensors.values()):
        notes.append("bfloat16 tensors converted to float32")
    return Contents(tensors={name: arrays.array(name, tensor) for name, tensor in tensors.items()}, notes=notes)


def bfloat16_to_float32(bits):
    """float32 array from the bits of bfloat16, an array of uint16."""
    return (bits.astype(np.uint32) << 16).view(np.float32)


def _saved_tensors(root, module, where):
    """({name: Tensor}, notes) of what torch.save wrote.

    Raises FormatError for a pickled module, and for weights that are no plain tensors.
    """
    if isinstance(root, Opaque) and not root.items:
        _refuse_object(root, where)
    if not isinstance(root, (dict, Opaque)):
        raise FormatError(f"{where}: expected a dict of tensors, got {type(root).__name__}; save model.state_dict()")
    path, entries = find_state_dict(root, lambda v: isinstance(v, Tensor), where, lambda v: v.items if isinstance(v, Opaque) else v)
    tensors = {k: v for k, v in entries.items() if isinstance(k, str) and isinstance(v, Tensor)}
    if module is not None and not any(map(is_recurrent, tensors)):
        _refuse_object(module, where)
    for name, value in entries.items():
        if isinstance(value, Opaque) and isinstance(name, str) and is_recurrent(name):
            raise FormatError(f"{where}: {shown(name)} is made by {shown(value.kind)}, expected a plain tensor; convert it to float32 "
                              "and save again")
    return tensors, [f"state_dict taken from {path}"] if path else []


def _refuse_object(found, where):
    raise FormatError(f"{where}: refused: it pickles {shown(found.kind)}, and loading it would run code; save model.state_dict() instead")


def _script_tensors(module, where):
    """{dotted name: Tensor} of the attributes of a TorchScript module and of the modules in it."""
    tensors, level = {}, [("", module)]
    for _ in range(DEEPEST):
        deeper = []
        for prefix, one in level:
            for name, value in one.state.items():
                if isinstance(value, Tensor):
                    tensors[f"{prefix}{name}"] = value
                elif isinstance(value, Opaque):
                    deeper.append((f"{prefix}{name}.", value))
        level = deeper
        if len(tensors) + len(level) > MOST:
            break
    if level:
        raise FormatError(f"{where}: modules are nested more than {DEEPEST} deep, or more than {MOST}; save model.state_dict() instead")
    return tensors


class _Arrays:
    """Tensors of one file as arrays, each storage read once."""

    def __init__(self, archive, root, byteorder, where):
        self.archive, self.root, self.byteorder, self.where = archive, root, byteorder, where
        self.storages = {}
        self.bytes_left = SHARED * sum(map(archive.size, archive.names))

    def array(self, name, tensor):
        """The array of a tensor, its window checked against its storage first."""
        base = self.storage(name, tensor.storage)
        offset, size, stride = tensor.offset, tensor.size, tensor.stride
        numbers = [offset, *size, *stride] if type(size) is type(stride) is tuple else [None]
        if not all(type(n) is int and n >= 0 for n in numbers) or len(size) != len(stride) or len(size) > 8:
            raise FormatError(f"{self.where}: {shown(name)}: offset, size or stride is no non-negative integer; fetch "
                              "the file again")
        count = math.prod(size)
        if not count:
            return np.empty(0, base.dtype)
        last = offset + sum((n - 1) * step for n, step in zip(size, stride, strict=True))
        if count > base.size or last >= base.size:
            raise FormatError(f"{self.where}: {shown(name)} of size {shown(size)} and stride {shown(stride)} reaches "
                              f"number {shown(last)} of a storage of {base.size}; the file is damaged, fetch it again")
        self.bytes_left -= count * base.itemsize
        if self.bytes_left < 0:
            raise FormatError(f"{self.where}: refused: its tensors are more than {SHARED} times the file; save "
                              "model.state_dict() again")
        steps = [step * base.itemsize if n > 1 else 0 for n, step in zip(size, stride, strict=True)]
        window = np.lib.stride_tricks.as_strided(base[offset:], size, steps, writeable=False)
        return bfloat16_to_float32(window) if tensor.storage.dtype == "bfloat16" else window

    def storage(self, name, storage):
        member = f"{self.root}data/{storage.key}"
        dtype = np.dtype("u2" if storage.dtype == "bfloat16" else storage.dtype).newbyteorder(self.byteorder)
        if member not in self.archive or self.archive.size(member) != storage.numel * dtype.itemsize:
            got = f"{self.archive.size(member)} bytes" if member in self.archive else "no such member"
            raise FormatError(f"{self.where}: {shown(name)}: storage {shown(storage.key)} declares "
                              f"{shown(storage.numel)} numbers of {dtype.itemsize} bytes, got {got}; the file is "
                              "damaged, fetch it again")
        if member not in self.storages:
            self.storages[member] = self.archive.read(member)
        return np.frombuffer(self.storages[member], dtype)
