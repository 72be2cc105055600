"""Which format a file has: its extension says what it claims to be, its first bytes what it is. Both must agree."""

import os
import stat
import zipfile
from contextlib import contextmanager

from .errors import FormatError

__all__ = ["check_kind", "opened"]

SUPPORTED = {
    ".pt": "torch", ".pth": "torch", ".ckpt": "torch", ".safetensors": "safetensors", ".h5": "hdf5", ".hdf5": "hdf5", ".keras": "keras",
    ".onnx": "onnx", ".msgpack": "msgpack", ".json": "json", ".npz": "npz",
}
SHARDS = ".safetensors.index.json"
WORDS = {
    "torch": "a torch zip file", "npz": "an npz file", "safetensors": "a safetensors file", "zip": "another zip file",
    "hdf5": "an HDF5 file", "keras": "a Keras zip file", "pickle": "a plain pickle", "legacy": "a torch file of before 1.6",
    "npy": "an npy file", "damaged": "a damaged zip file", "empty": "an empty file", "unknown": "something else",
    "json": "JSON", "onnx": "an ONNX model", "msgpack": "a Flax msgpack file",
}
UNMARKED = ("safetensors", "onnx", "msgpack")  # without a magic number: their readers tell
LEGACY = b"\x80\x02\x8a\nl\xfc\x9cF\xf9 j\xa8P\x19."
ADVICE = {
    "legacy": "convert it with torch.save(torch.load(path, weights_only=True), new_path)",
    "pickle": "refused, loading it would run code; save model.state_dict() with torch.save or safetensors",
}


@contextmanager
def opened(path, expected="a checkpoint file"):
    """The file, open for reading. Raises FormatError where there is none, it is no plain file (a pipe would hang) or cannot be read."""
    try:
        if not stat.S_ISREG(os.stat(path).st_mode):
            raise ValueError("it is a folder: name the files in it" if os.path.isdir(path) else "it is no plain file")
        handle = open(path, "rb")
    except (OSError, ValueError) as error:
        reason = getattr(error, "strerror", None) or error
        raise FormatError(f"{path}: cannot be read ({reason}), expected {expected}; check the path") from error
    with handle:
        yield handle


def check_kind(path, handle):
    """The key of the format's reader: "torch", "safetensors", "shards", "hdf5", "keras", "onnx", "msgpack", "json" or "npz".

    Raises FormatError for other formats and for a file that is not what its name says.
    """
    extension = path.suffix.lower()
    content = _content(handle)
    if extension not in SUPPORTED:
        raise FormatError(f"{path.name}: extension {extension or '(none)'} is none of {', '.join(SUPPORTED)}; it holds "
                          f"{WORDS[content]}, rename or convert it")
    expected = SUPPORTED[extension]
    if content != expected and not (expected in UNMARKED and content == "unknown"):
        advice = ADVICE.get(content, "rename it to what it is, or fetch it again if it is truncated")
        raise FormatError(f"{path.name}: expected {WORDS[expected]}, got {WORDS[content]}; {advice}")
    return "shards" if path.name.lower().endswith(SHARDS) else expected


def _content(handle):
    start = handle.read(64)
    handle.seek(0)
    if not start:
        return "empty"
    if start.startswith((b"PK\x03\x04", b"PK\x05\x06")):
        return _zip_content(handle)
    if start.startswith(LEGACY):
        return "legacy"
    if start[5:9] == b"\0\0\0{":  # a header length of 8 bytes, which may begin like any other magic number
        return "safetensors"
    for magic, kind in ((b"\x89HDF\r\n\x1a\n", "hdf5"), (b"\x93NUMPY", "npy")):
        if start.startswith(magic):
            return kind
    if start[:1] == b"\x80" and start[1:2] <= b"\x05":
        return "pickle"
    return "json" if start.removeprefix(b"\xef\xbb\xbf").lstrip()[:1] in (b"{", b"[") else "unknown"


def _zip_content(handle):
    try:
        names = zipfile.ZipFile(handle).namelist()
    except Exception:  # a damaged zip file is told apart by its reader, which says what is wrong
        return "damaged"
    finally:
        handle.seek(0)
    if any(n.rpartition("/")[2] == "data.pkl" for n in names):
        return "torch"
    if "config.json" in names:
        return "keras"
    return "npz" if names and all(n.endswith(".npy") for n in names) else "zip"
