"""Torch state_dicts (`.pt`, `.pth`, zip) as arrays: no torch, no pickle, nothing executed."""

import math
import re

import numpy as np

from .archive import Archive
from .errors import FormatError, shown
from .torch_names import is_recurrent
from .torch_pickle import Tensor, read_pickle

__all__ = ["bfloat16_to_float32", "read_torch"]

DEEPEST = 4  # {"checkpoint": {"model": {"state_dict": ...}}} is one level less
SHARED = 16  # tensors may share storages (tied weights), but not to make a small file fill the memory


def read_torch(handle, where):
    """({tensor name: array}, notes) of an open torch zip file. Arrays are read-only views of the file's bytes.

    Of nested dicts the one with recurrent weights is taken. Raises FormatError for anything but tensors in dicts,
    for storages and tensors whose declared sizes do not meet, and for several dicts with recurrent weights.
    """
    archive = Archive(handle, where)
    roots = [n.removesuffix("data.pkl") for n in archive.names if re.fullmatch(r"([^/]+/)?data\.pkl", n)]
    if len(roots) != 1:
        raise FormatError(f"{where}: expected one data.pkl in the zip file, got {len(roots)}; save it with "
                          "torch.save(model.state_dict(), path)")
    root = roots[0]
    if any(n.startswith(f"{root}code/") for n in archive.names):
        raise FormatError(f"{where}: refused: it is a TorchScript program, and loading it would run code; save "
                          "torch.jit.load(path).state_dict() with torch.save instead")
    order = archive.read(f"{root}byteorder").strip() if f"{root}byteorder" in archive else b"little"
    if order not in (b"little", b"big"):
        raise FormatError(f"{where}: byteorder is {shown(order)}, expected little or big; fetch the file again")
    path, tensors = _state_dict(read_pickle(archive.read(f"{root}data.pkl"), where), where)
    arrays = _Arrays(archive, root, "<" if order == b"little" else ">", where)
    notes = [f"state_dict taken from {path}"] if path else []
    if any(t.storage.dtype == "bfloat16" for t in tensors.values()):
        notes.append("bfloat16 tensors converted to float32")
    return {name: arrays.array(name, tensor) for name, tensor in tensors.items()}, notes


def bfloat16_to_float32(bits):
    """float32 array from the bits of bfloat16, an array of uint16."""
    return (bits.astype(np.uint32) << 16).view(np.float32)


def _state_dict(root, where):
    """(path, {name: Tensor}) of the one dict with recurrent weights, or else of the one with most tensors."""
    if not isinstance(root, dict):
        raise FormatError(f"{where}: expected a dict of tensors, got {type(root).__name__}; save model.state_dict()")
    found, seen, level = [], set(), [("", root)]
    for _ in range(DEEPEST):
        deeper = []
        for path, entries in level:
            if id(entries) in seen:
                continue
            seen.add(id(entries))
            tensors = {k: v for k, v in entries.items() if isinstance(k, str) and isinstance(v, Tensor)}
            found.append((any(map(is_recurrent, tensors)), path, tensors))
            deeper += [(f"{path}[{shown(k)!r}]", v) for k, v in entries.items() if isinstance(v, dict)]
        level = deeper
    recurrent = [(path, tensors) for has, path, tensors in found if has]
    if len(recurrent) > 1:
        paths = ", ".join(path or "the file itself" for path, _ in recurrent[:4])
        raise FormatError(f"{where}: expected one dict with recurrent weights, got {len(recurrent)} ({paths}); save "
                          "the one you mean in a file of its own")
    return recurrent[0] if recurrent else max(((p, t) for _, p, t in found), key=lambda entry: len(entry[1]))


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
