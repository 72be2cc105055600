"""The process in which HDF5 files are opened: the HDF5 library loops or crashes on some damaged files, and here it may.

Run as a script by `hdf5`; imports nothing of flowcheck. Requests are lines of JSON on stdin, {"open": path}, {"bytes": n} with
n bytes after it, {"read": path}, or {"close": true}; an answer is a line of JSON, with the bytes of an array after it. Nothing
that a file names is followed out of it, and sizes are checked before anything is read.
"""

import contextlib
import io
import json
import math
import os
import signal
import sys

DEEPEST = 24
MOST = 20_000
LONGEST_TEXT = 16 * 2**20  # a model's config
FLOOR, RATIO = 128 * 2**20, 100  # what deflated weights may come to, at least and per byte of the file
MEMORY = 2**30
LONGEST = 60  # seconds
FILTERS = {1, 2, 3, 32000}  # deflate, shuffle, fletcher32, lzf: those that h5py brings along
TEXTS = ("model_config", "keras_version", "layer_names", "name")


class Refused(ValueError):
    """The file is of a kind that is not read."""


class Tree:
    """An open HDF5 file: `arrays` {path: dataset} of all float datasets, `texts` {path: {attribute: text}} of Keras's groups."""

    def __init__(self, file, size):
        self.left, self.count, self.arrays, self.texts = max(FLOOR, RATIO * size), 0, {}, {}
        self.file = h5py.File(file, "r")
        try:
            self.walk(self.file, "", ())
        except Exception:
            self.file.close()
            raise

    def walk(self, group, path, above):
        """Lists what stands below a group, which must not be one of those above it."""
        address = h5py.h5o.get_info(group.id).addr
        if len(above) > DEEPEST or address in above:
            raise Refused(f"group {path} is in a circle of groups or nested more than {DEEPEST} deep")
        self.texts[path] = {name: text for name in TEXTS if (text := self.text(group, path, name)) is not None}
        for name in group:
            self.count += 1
            if self.count > MOST:
                raise Refused(f"it has more than {MOST} objects")
            inner = f"{path}/{name}".lstrip("/")
            if not isinstance(group.get(name, getlink=True), h5py.HardLink):
                raise Refused(f"{inner} is a link to elsewhere, which is not followed")
            item = group[name]
            if isinstance(item, h5py.Group):
                self.walk(item, inner, (*above, address))
            elif isinstance(item, h5py.Dataset) and item.dtype.kind == "f" and item.shape is not None:
                self.arrays[inner] = item

    def text(self, group, path, name):
        """A text attribute or a list of texts; None where there is none."""
        if name not in group.attrs:
            return None
        size = h5py.h5a.open(group.id, name.encode()).get_storage_size()
        if size > LONGEST_TEXT:
            raise Refused(f"attribute {name} of {path or 'the file'} takes {size} bytes")
        value = group.attrs[name]
        plain = lambda v: v.decode("utf-8", "replace") if isinstance(v, bytes) else str(v)  # noqa: E731
        return [plain(v) for v in value.ravel().tolist()] if isinstance(value, numpy.ndarray) else plain(value)

    def read(self, path):
        """The array of a dataset, its storage and its declared size checked first."""
        dataset = self.arrays[path]
        layout = dataset.id.get_create_plist()
        if layout.get_external_count() or dataset.is_virtual:
            raise Refused(f"{path} has its numbers in another file")
        unknown = {layout.get_filter(k)[0] for k in range(layout.get_nfilters())} - FILTERS
        if unknown:
            raise Refused(f"{path} is packed by filter {max(unknown)}, which is not built in")
        self.left -= (math.prod(dataset.shape) + math.prod(dataset.chunks or (0,))) * dataset.dtype.itemsize
        if self.left < 0:
            raise Refused(f"{path} declares {dataset.shape} numbers, more than a file of this length can hold")
        array = numpy.asarray(dataset[()])
        return array.astype(numpy.float64 if array.dtype.itemsize >= 8 else numpy.float32)


def limit_memory(size):
    """At most MEMORY, or four times the file, beyond what the process has now; only where the system can."""
    with contextlib.suppress(ImportError, OSError, ValueError):
        import resource

        with open("/proc/self/statm") as file:
            now = int(file.read().split()[0]) * os.sysconf("SC_PAGE_SIZE")
        _, hard = resource.getrlimit(resource.RLIMIT_AS)
        resource.setrlimit(resource.RLIMIT_AS, (now + max(MEMORY, 4 * size), hard))


def answer(request, tree):
    """(answer, bytes after it, the tree that is open now)."""
    if "read" in request:
        array = tree.read(request["read"])
        data = numpy.ascontiguousarray(array).tobytes()
        return {"shape": array.shape, "dtype": array.dtype.str, "bytes": len(data)}, data, tree
    if tree is not None:
        tree.file.close()
    if "close" in request:
        return {}, b"", None
    if "open" in request:
        file, size = request["open"], os.stat(request["open"]).st_size
    else:
        file, size = io.BytesIO(sys.stdin.buffer.read(request["bytes"])), request["bytes"]
    limit_memory(size)
    tree = Tree(file, size)
    return {"arrays": {path: dataset.shape for path, dataset in tree.arrays.items()}, "texts": tree.texts}, b"", tree


def serve():
    """Answers requests until stdin ends. An answer that takes a minute ends the process, should nobody be left to do it."""
    tree, alarm = None, getattr(signal, "alarm", lambda seconds: None)
    for line in sys.stdin.buffer:
        alarm(LONGEST)
        try:
            reply, data, tree = answer(json.loads(line), tree)
        except Refused as error:
            reply, data = {"refused": str(error)}, b""
        except Exception as error:  # h5py raises OSError, KeyError, RuntimeError, ValueError, TypeError and more for damage
            reply, data = {"damaged": str(error) or type(error).__name__}, b""
        sys.stdout.buffer.write(json.dumps(reply).encode() + b"\n" + data)
        sys.stdout.buffer.flush()
        alarm(0)


if __name__ == "__main__":
    sys.path[:] = json.loads(sys.argv[1])
    import h5py
    import numpy

    serve()
