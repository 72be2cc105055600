"""Runs the command line over many files in one process with limits; one line of JSON per file on stdout.

python hostile_runner.py FOLDER, with the list of names as JSON on stdin: `flowcheck measure` of each file, with 1 GiB of memory more
than the process has after its imports. Each answer: the exit code, the lines on stderr, seconds, and what it did that a reader must
not do: files opened outside the folder or for writing, programs started, connections, pickles loaded.
"""

import contextlib
import io
import json
import os
import resource
import sys
import time
import warnings
from pathlib import Path

from flowcheck.cli import main

WATCHED = ("os.system", "os.exec", "os.posix_spawn", "os.fork", "subprocess.Popen", "pickle.find_class", "socket.connect",
           "os.remove", "os.rename", "os.mkdir", "shutil.")


def run(path):
    out, err = io.StringIO(), io.StringIO()
    with contextlib.redirect_stdout(out), contextlib.redirect_stderr(err):
        try:
            main(["measure", path, "--lags", "2", "--gradient", "full", "--format", "json"])
        except SystemExit as stop:
            return int(stop.code or 0), err.getvalue().splitlines()
    raise AssertionError("main ends by exit")


def watch(folder, events):
    roots = sys.prefix, sys.base_prefix, Path(main.__code__.co_filename).parent
    known = (folder, *{os.path.realpath(root) for root in roots}, os.devnull, f"/proc/{os.getpid()}/maps")

    def hook(event, arguments):
        if event == "subprocess.Popen" and str(arguments[1][1]).endswith("hdf5_worker.py"):
            return
        if event == "open":
            name, mode, flags = arguments
            writes = flags & (os.O_WRONLY | os.O_RDWR | os.O_CREAT) or (mode or "r").strip("rb")
            stranger = not isinstance(name, int) and not os.path.realpath(os.fspath(name)).startswith(known)
            if writes and name != os.devnull or stranger:
                events.append(f"open {name!r} {mode}")
        elif event.startswith(WATCHED):
            events.append(f"{event} {arguments!r}"[:200])
    sys.addaudithook(hook)


def limit(extra):
    now = int(Path("/proc/self/statm").read_text().split()[0]) * os.sysconf("SC_PAGE_SIZE")
    resource.setrlimit(resource.RLIMIT_AS, (now + extra, now + extra))


if __name__ == "__main__":
    warnings.simplefilter("ignore", RuntimeWarning)
    folder, names, events = os.path.realpath(sys.argv[1]), json.loads(sys.stdin.read()), []
    for name in names[:20]:  # the good ones: every import that a format needs
        run(os.path.join(folder, name))
    limit(2**30)
    watch(folder, events)
    for name in names:
        start = time.monotonic()
        code, lines = run(os.path.join(folder, name))
        answer = {"name": name, "code": code, "lines": lines, "seconds": time.monotonic() - start, "events": events}
        print(json.dumps(answer), flush=True)
        events.clear()
