"""HDF5 files as a tree of arrays and texts, read in a process of its own that may be lost without harm."""

import atexit
import json
import os
import subprocess
import sys
import threading
from pathlib import Path

import numpy as np

from .errors import FormatError, shown
from .extras import needed

__all__ = ["Hdf5"]

SECONDS = 5  # for one answer; a file of a gigabyte gets more
BYTES_PER_SECOND = 100e6
LONGEST_ANSWER = 64 * 2**20  # of the listing


class Hdf5:
    """An open HDF5 file: `arrays` {path: shape} of all float datasets, `read(path)`, `text(path, attribute)`; closed at the end of `with`.

    file   a path, or the bytes of a file

    Raises FormatError for damage, links and external data, for sizes that no file of this length can have, and for files on which the
    HDF5 library crashes or comes to no end.
    """

    def __init__(self, file, where):
        needed("h5py", where)
        self.where = where
        if isinstance(file, bytes):
            request, data = {"bytes": len(file)}, file
        else:
            request, data = {"open": str(Path(file).absolute())}, b""
        self.seconds = SECONDS + min(50, (len(data) or os.stat(file).st_size) / BYTES_PER_SECOND)
        reply, _ = self._ask(request, data, "the header")
        self.arrays, self.texts = {path: tuple(shape) for path, shape in reply["arrays"].items()}, reply["texts"]

    def __enter__(self):
        return self

    def __exit__(self, *error):
        _worker.close()

    def read(self, path):
        """The array of a dataset, float32 or float64."""
        reply, data = self._ask({"read": path}, b"", shown(path))
        return np.frombuffer(data, reply["dtype"]).reshape(reply["shape"])

    def text(self, path, name):
        """A text attribute, or a list of texts, of a group; None where there is none."""
        return self.texts.get(path, {}).get(name)

    def _ask(self, request, data, what):
        reply, answer = _worker.ask(json.dumps(request).encode() + b"\n" + data, self.seconds)
        if reply is None:
            raise FormatError(f"{self.where}: {what} of the HDF5 file is damaged (the HDF5 library {answer}); fetch the file again")
        if "refused" in reply:
            raise FormatError(f"{self.where}: refused: {shown(reply['refused'], 200)}; save the weights alone, into one file")
        if "damaged" in reply:
            raise FormatError(f"{self.where}: {what} of the HDF5 file is damaged ({shown(reply['damaged'], 120)}); fetch the file again")
        return reply, answer


class _Worker:
    """The process that has HDF5 open, started when it is first asked and again when it was lost."""

    def __init__(self):
        self.process, self.lock = None, threading.Lock()

    def ask(self, request, seconds):
        """(answer, bytes after it), or (None, how it was lost)."""
        with self.lock:
            if self.process is None or self.process.poll() is not None:
                self._start()
            late = threading.Event()
            timer = threading.Timer(seconds, lambda: (late.set(), self.process.kill()))
            timer.start()
            try:
                self.process.stdin.write(request)
                self.process.stdin.flush()
                reply = json.loads(self.process.stdout.readline(LONGEST_ANSWER))
                data = self.process.stdout.read(reply.get("bytes", 0))
                if len(data) < reply.get("bytes", 0):
                    raise ValueError("short answer")
                return reply, data
            except (OSError, ValueError):  # a broken pipe, or no whole answer
                self.stop()
                return None, f"came to no end in {round(seconds)} s" if late.is_set() else "crashed on it"
            finally:
                timer.cancel()

    def close(self):
        """Has the open file closed, so that others may write it."""
        if self.process is not None:
            self.ask(b'{"close": true}\n', SECONDS)

    def _start(self):
        command = [sys.executable, str(Path(__file__).with_name("hdf5_worker.py")), json.dumps(sys.path)]
        environment = os.environ | {"HDF5_PLUGIN_PRELOAD": "::", "OPENBLAS_NUM_THREADS": "1"}  # "::" turns HDF5's plugins off
        self.process = subprocess.Popen(command, stdin=subprocess.PIPE, stdout=subprocess.PIPE, stderr=subprocess.DEVNULL, env=environment)

    def stop(self):
        """Ends the process, if there is one."""
        if self.process is not None:
            self.process.kill()
            self.process.wait()
            self.process.stdin.close()
            self.process.stdout.close()
            self.process = None


_worker = _Worker()
atexit.register(_worker.stop)
