"""`python -m benchmarks faults [--nets FOLDER] [--rows FILE]`: precision, recall and false alarms on injected faults, as reports/faults.md.

The nets come from `python -m benchmarks.faults.train`; rows of nets that FILE holds already are not computed again.
"""

import argparse
import json
from pathlib import Path

from threadpoolctl import threadpool_limits

from .programs import FOLDER, PROGRAMS, SEEDS, held_back
from .score import FAULTY_SEEDS, score_net
from .table import markdown, summary

REPORTS = Path(__file__).parents[2] / "reports"


def main(arguments=None):
    parser = argparse.ArgumentParser(prog="python -m benchmarks faults", description=__doc__.splitlines()[0])
    parser.add_argument("--nets", type=Path, default=FOLDER, help="Folder of the trained nets.")
    parser.add_argument("--rows", type=Path, help="Keep the rows of every net in this JSON-lines file, and take up where it ends.")
    parser.add_argument("-o", "--out", type=Path, default=REPORTS / "faults.md", help="The report; its JSON goes beside it.")
    options = parser.parse_args(arguments)
    stems = [f"{a}-{t}-{s}" for s in range(SEEDS) for a, t in PROGRAMS if held_back(a, t) or s < FAULTY_SEEDS]
    missing = [stem for stem in stems if not (options.nets / f"{stem}.npz").exists()]
    if missing:
        parser.error(f"{options.nets} lacks {len(missing)} nets ({missing[0]}, ...); run python -m benchmarks.faults.train first")
    kept = options.rows or options.nets / "rows.jsonl"
    done = {}
    for line in kept.read_text().splitlines() if kept.exists() else ():
        row = json.loads(line)
        done.setdefault(row["net"], []).append(row)
    with threadpool_limits(1), kept.open("a") as file:
        for stem in stems:
            if stem not in done:
                done[stem] = score_net(stem, options.nets)
                file.write("".join(json.dumps(row) + "\n" for row in done[stem]))
                file.flush()
    rows = [row for stem in stems for row in done[stem]]
    document = {"command": "python -m benchmarks faults", "programs": len(PROGRAMS), "seeds": SEEDS,
                "held_back": summary(rows, True), "fitted": summary(rows, False)}
    options.out.write_text(markdown(document))
    options.out.with_suffix(".json").write_text(json.dumps(document, indent=1) + "\n")
    print(markdown(document))


if __name__ == "__main__":
    main()
