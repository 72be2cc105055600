"""The claims of derivations/, read once for all tests; those of the paper of 1997; and files of theirs with a mistake in them."""

import functools
import importlib
import re
import sys
from dataclasses import replace
from pathlib import Path
from types import ModuleType

from flowcheck.tasks import claims

FOLDER = Path(__file__).parent.parent / "derivations"
FILES = {path.stem: path for path in sorted(FOLDER.glob("[as][0-9]_*.py"))}


def _package(name, *folders):
    """An empty package whose modules are looked for in these folders."""
    package = sys.modules[name] = ModuleType(name)
    package.__path__ = [str(folder) for folder in folders]
    return package.__name__


def _claims(module, source):
    return {claim.id: replace(claim, source=str(source)) for claim in module.CLAIMS}


EVERY_CLAIM = claims(str(FOLDER))
CLAIMS = {id: claim for id, claim in EVERY_CLAIM.items() if Path(claim.source).stem in FILES}
READS = {stem: re.findall(r"^from \.(\w+) import", path.read_text(), re.MULTILINE) for stem, path in FILES.items()}


@functools.cache
def _modules():
    package = _package("as_printed", FOLDER)
    return {stem: importlib.import_module(f"{package}.{stem}") for stem in FILES}


def planted(folder, id, good, bad, file=None):
    """The claim `id` from a copy of derivations/ where `good`, which stands there once, is replaced by `bad`.

    `file` is the stem of the changed file; the file of the claim by default. Files that do not read it are taken as they are loaded.
    """
    home = Path(CLAIMS[id].source)
    changed = file or home.stem
    source = FILES[changed].read_text()
    assert source.count(good) == 1, f"{good!r} stands {source.count(good)} times in {changed}.py"
    (folder / f"{changed}.py").write_text(source.replace(good, bad))
    stale = {changed}
    while more := {stem for stem, read in READS.items() if stale & set(read)} - stale:
        stale |= more
    package = _package("with_a_mistake", folder, FOLDER)
    sys.modules.update({f"{package}.{stem}": module for stem, module in _modules().items() if stem not in stale})
    try:
        return _claims(importlib.import_module(f"{package}.{home.stem}"), home)[id]
    finally:
        for name in [name for name in sys.modules if name.split(".")[0] == package]:
            del sys.modules[name]
