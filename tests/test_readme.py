"""The README's examples run and print what it says; its length and its commands are what they should be."""

import re
import shlex
import subprocess
import sys
from pathlib import Path

import pytest

ROOT = Path(__file__).parent.parent
README = (ROOT / "README.md").read_text()


def blocks(language):
    return re.findall(rf"```{language}\n(.*?)```", README, re.S)


def test_the_readme_has_60_to_120_lines():
    assert 60 <= len(README.splitlines()) <= 120


def test_the_gradient_examples_print_what_the_readme_says(capsys):
    namespace = {}
    for code, printed in zip(blocks("python")[:2], blocks("text"), strict=True):
        exec(code, namespace)  # noqa: S102
        assert capsys.readouterr().out.strip() == printed.strip()


def test_the_cell_of_the_readme_works_with_one_new_file(tmp_path):
    from flowcheck import catalogue, check_cell

    (tmp_path / "minimal_rnn.py").write_text(blocks("python")[2])
    cells = catalogue(tmp_path)
    checks = check_cell(cells["minimal_rnn"], lags=30)
    assert [c.words for c in checks if c.verdict != "pass"] == []
    assert {c.rung for c in checks} >= {"forward", "flow", "gradient", "claims"}


def test_the_readme_counts_the_cells(cell_names):
    assert f"the {len(cell_names)} cells of the catalogue" in README
    assert "minimal_rnn" not in cell_names


def test_the_diagnosis_shown_is_the_one_printed():
    shown = blocks("console")[0]
    command, *lines = shown.splitlines()
    run = subprocess.run([sys.executable, "-m", "flowcheck.cli", *shlex.split(command)[2:]], cwd=ROOT, capture_output=True, text=True)
    assert run.returncode == 1, run.stderr
    got = " ".join(run.stdout.split())
    for line in lines:
        assert " ".join(line.removesuffix(" ...").split()) in got


@pytest.mark.parametrize("command", [line for block in blocks("sh") for line in block.splitlines()])
def test_each_command_sets_up_its_own_environment(command):
    assert command.startswith("python3 -m venv .venv && .venv/bin/pip install")
    for path in re.findall(r"reports/nets/[\w.]+", command):
        assert (ROOT / path).exists()


def test_no_text_tells_to_install_flowcheck_by_name():
    files = [p for home in ROOT.iterdir() if home.name != ".venv" for p in (home.rglob("*") if home.is_dir() else [home])
             if p.suffix in (".md", ".py", ".toml", ".j2")]
    by_name = re.compile(r"pip install\s+(-\w+\s+)*['\"]?flowcheck(?!-rnn)\b")
    assert [str(p) for p in files if p != Path(__file__) and by_name.search(p.read_text())] == []
