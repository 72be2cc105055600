"""Safetensors files as arrays, by the safetensors library; bfloat16, which numpy lacks, from its bits."""

import json

import numpy as np

from .errors import FormatError, shown
from .stored import Contents
from .torch_file import bfloat16_to_float32
from .torch_names import is_recurrent, natural

__all__ = ["read_safetensors"]

NUMPY = {"F64", "F32", "F16", "I64", "I32", "I16", "I8", "U64", "U32", "U16", "U8", "BOOL"}


def read_safetensors(handle, where):
    """Contents of an open safetensors file, names in natural order (the format keeps none).

    The library checks header and offsets. Raises FormatError for what it refuses and for recurrent weights of a
    type that numpy lacks (float8).
    """
    from safetensors import safe_open

    tensors, bits = {}, {}
    try:
        with safe_open(handle.name, framework="numpy") as file:
            for name in sorted(file.keys(), key=natural):
                dtype = file.get_slice(name).get_dtype()
                if dtype in NUMPY:
                    tensors[name] = file.get_tensor(name)
                elif dtype == "BF16":
                    bits[name] = tensors[name] = None
                elif is_recurrent(name):
                    raise FormatError(f"{where}: {shown(name)} is of type {shown(dtype)}, expected a float of 16 bits "
                                      "or more; convert it to float32 and save again")
    except FormatError:
        raise
    except Exception as error:  # SafetensorError is an Exception of no narrower type
        raise FormatError(f"{where}: not a whole safetensors file ({shown(error, 200)}); fetch it again") from error
    tensors |= _bfloat16(handle, bits)
    return Contents(tensors=tensors, notes=["bfloat16 tensors converted to float32"] if bits else [])


def _bfloat16(handle, names):
    """{name: float32 array}, by the header's offsets, which the library has checked."""
    if not names:
        return {}
    handle.seek(0)
    length = int.from_bytes(handle.read(8), "little")
    header = json.loads(handle.read(length))
    arrays = {}
    for name in names:
        begin, end = header[name]["data_offsets"]
        handle.seek(8 + length + begin)
        bits = np.frombuffer(handle.read(end - begin), "<u2")
        arrays[name] = bfloat16_to_float32(bits.reshape(header[name]["shape"]))
    return arrays
