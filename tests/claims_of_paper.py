"""The claims of the paper of 1997 in derivations/ (its sections and appendices), and files of theirs with a mistake in them."""

from pathlib import Path

from flowcheck.claims import load

FOLDER = Path(__file__).parent.parent / "derivations"
CLAIMS = {claim.id: claim for path in sorted(FOLDER.glob("[as][0-9]_*.py")) for claim in load(path)}


def planted(folder, id, good, bad, file=None):
    """The claim `id` from a copy of derivations/ where `good`, which stands there once, is replaced by `bad`.

    `file` is the stem of the changed file; the file of the claim by default.
    """
    home = Path(CLAIMS[id].source)
    changed = FOLDER / f"{file or home.stem}.py"
    source = changed.read_text()
    assert source.count(good) == 1, f"{good!r} stands {source.count(good)} times in {changed.name}"
    for other in FOLDER.glob("*.py"):
        if other != changed:
            (folder / other.name).symlink_to(other)
    (folder / changed.name).write_text(source.replace(good, bad))
    return {claim.id: claim for claim in load(folder / home.name)}[id]
