"""HDF5 files as a tree of small arrays and a few attributes, without following anything out of the file.

Links to other files, external and virtual datasets, and filters that HDF5 would load as plugins are refused; sizes are checked before
anything is read.
"""

import math

import numpy as np

from .errors import FormatError, shown
from .extras import needed

__all__ = ["Hdf5"]

DEEPEST = 24
MOST = 20_000
LONGEST_TEXT = 16 * 2**20  # a model's config
FLOOR, RATIO = 128 * 2**20, 100  # as in archive: what deflated weights may come to
FILTERS = {1, 2, 3, 32000}  # deflate, shuffle, fletcher32, lzf: those that h5py brings along


class Hdf5:
    """An open HDF5 file: `arrays` {path: dataset} of all float datasets, `read(path)`, `text(path, attribute)`.

    Raises FormatError for damage, links and external data, and for sizes that no file of this length can have.
    """

    def __init__(self, handle, where):
        self.h5py, self.where = needed("h5py", where), where
        handle.seek(0, 2)
        self.left = max(FLOOR, RATIO * handle.tell())
        handle.seek(0)
        self.arrays, self.groups, self.count = {}, {}, 0
        self.file = self._guarded("header", lambda: self.h5py.File(handle, "r"))
        self._guarded("root", lambda: self._walk(self.file, "", {}))

    def read(self, path):
        """The array of a dataset, its declared size checked first."""
        dataset = self.arrays[path]
        shape, itemsize = self._guarded(path, lambda: (dataset.shape, dataset.dtype.itemsize))
        chunk = self._guarded(path, lambda: self._checked_storage(path, dataset))
        self.left -= math.prod(shape) * itemsize + math.prod(chunk) * itemsize
        if self.left < 0:
            raise FormatError(f"{self.where}: refused: {shown(path)} declares {shown(shape)} numbers, more than a file of this length can "
                              "hold; save it again")
        return self._guarded(path, lambda: np.asarray(dataset[()]))

    def text(self, path, name):
        """A text attribute, or a list of texts, of a group; None where there is none."""
        group = self.groups.get(path)
        return None if group is None else self._guarded(f"{path}@{name}", lambda: self._attribute(group, path, name))

    def refuse(self, what):
        raise FormatError(f"{self.where}: refused: {what}; save the weights alone, into one file")

    def _guarded(self, what, read):
        try:
            return read()
        except FormatError:
            raise
        except MemoryError:
            raise
        except Exception as error:  # h5py raises OSError, KeyError, RuntimeError, ValueError, TypeError and more for damage
            raise FormatError(f"{self.where}: {shown(what)} of the HDF5 file is damaged ({shown(error, 120)}); fetch the file "
                              "again") from error

    def _walk(self, group, path, above):
        """Lists groups and float datasets below a group; each object once, so that links in a circle end."""
        self.groups[path] = group
        address = self.h5py.h5o.get_info(group.id).addr
        if len(above) > DEEPEST or address in above:
            self.refuse(f"group {shown(path)} is in a circle of groups or nested more than {DEEPEST} deep")
        for name in group:
            self.count += 1
            if self.count > MOST:
                self.refuse(f"it has more than {MOST} objects")
            inner = f"{path}/{name}".lstrip("/")
            if not isinstance(group.get(name, getlink=True), self.h5py.HardLink):
                self.refuse(f"{shown(inner)} is a link to elsewhere, which is not followed")
            item = group[name]
            if isinstance(item, self.h5py.Group):
                self._walk(item, inner, {**above, address: path})
            elif isinstance(item, self.h5py.Dataset) and item.dtype.kind == "f" and item.shape is not None:
                self.arrays[inner] = item

    def _checked_storage(self, path, dataset):
        """The shape of a chunk, () for plain storage."""
        plist = dataset.id.get_create_plist()
        if plist.get_external_count() or dataset.is_virtual:
            self.refuse(f"{shown(path)} has its numbers in another file")
        filters = [plist.get_filter(k)[0] for k in range(plist.get_nfilters())]
        if set(filters) - FILTERS:
            self.refuse(f"{shown(path)} is packed by filter {max(set(filters) - FILTERS)}, which is not built in")
        return dataset.chunks or ()

    def _attribute(self, group, path, name):
        if name not in group.attrs:
            return None
        attribute = self.h5py.h5a.open(group.id, name.encode())
        if attribute.get_storage_size() > LONGEST_TEXT:
            self.refuse(f"attribute {name} of {shown(path or 'the file')} takes {attribute.get_storage_size()} bytes")
        value = group.attrs[name]
        return [_as_text(v) for v in value.tolist()] if isinstance(value, np.ndarray) else _as_text(value)


def _as_text(value):
    return value.decode("utf-8", "replace") if isinstance(value, bytes) else str(value)
