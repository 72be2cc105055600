"""Zip files, read member by member into memory. Writes nothing to disk and follows no path of the file."""

import struct
import zipfile
import zlib

from .errors import FormatError, shown

__all__ = ["Archive"]

STORED_ONLY = (zipfile.ZIP_STORED,)
DEFLATED_TOO = (zipfile.ZIP_STORED, zipfile.ZIP_DEFLATED)

# What zipfile raises on damaged files: its own type, names in no encoding, versions of the future, seeks to nowhere, bad deflate streams,
# members that inflate beyond all memory after they declared little.
DAMAGE = (zipfile.BadZipFile, zlib.error, struct.error, ValueError, RuntimeError, OSError, EOFError, LookupError, OverflowError,
          MemoryError)

# One-hot inputs deflate about a hundredfold; what stays under the floor fits in any memory.
DEFLATED_FLOOR = 128 * 2**20
DEFLATED_RATIO = 100


class Archive:
    """The members of an open zip file: `names`, `size(name)`, `read(name)`.

    Raises FormatError for a file that is no zip, damaged, encrypted, compressed in a way that is not in `methods`,
    with two members of one name, or that declares more bytes than such a file can hold (a zip bomb). Members whose name
    has `without` in it are left out, unread and unchecked.
    """

    def __init__(self, handle, where, methods=STORED_ONLY, without=None):
        self.where = where
        handle.seek(0, 2)
        length = handle.tell()
        handle.seek(0)
        try:
            self._zip = zipfile.ZipFile(handle)
            members = self._zip.infolist()
        except DAMAGE as error:
            raise FormatError(f"{where}: not a whole zip file ({error}); it is truncated or damaged, fetch it "
                              "again") from error
        if len({m.filename for m in members}) < len(members):
            raise FormatError(f"{where}: refused: two members of the zip file have one name; save the file again")
        members = [m for m in members if without is None or without not in m.filename]
        self._members = {m.filename: m for m in members}
        for m in members:
            if m.flag_bits & 1 or m.compress_type not in methods:
                how = "encrypted" if m.flag_bits & 1 else f"compressed (method {m.compress_type})"
                raise FormatError(f"{where}: refused: member {shown(m.filename)} is {how}, expected plain; save the "
                                  "file again")
        packed = sum(m.compress_size for m in members)
        if packed > length:
            raise FormatError(f"{where}: refused: members declare {packed} bytes as they are stored, in a file of {length}; it is damaged, "
                              "fetch it again")
        declared = sum(m.file_size for m in members)
        allowed = length if methods == STORED_ONLY else max(DEFLATED_FLOOR, DEFLATED_RATIO * length)
        if declared > allowed:
            raise FormatError(f"{where}: refused: members declare {declared} bytes in a file of {length}, at most "
                              f"{allowed} expected; save the file again without compression")

    @property
    def names(self):
        return tuple(self._members)

    def __contains__(self, name):
        return name in self._members

    def size(self, name):
        return self._members[name].file_size

    def read(self, name):
        """The bytes of a member, checksum compared. Raises FormatError for a damaged one."""
        try:
            data = self._zip.read(name)
        except DAMAGE as error:
            raise FormatError(f"{self.where}: member {shown(name)} is damaged ({error}); fetch the file "
                              "again") from error
        if len(data) != self.size(name):
            raise FormatError(f"{self.where}: member {shown(name)} has {len(data)} bytes, {self.size(name)} declared; "
                              "fetch the file again")
        return data
