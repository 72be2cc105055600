"""The example of derivations/README.md: it is proved and meets the code; with its mistake in it, it fails with the text that is shown."""

import contextlib
import io
import re
from pathlib import Path

import pytest

from flowcheck.cli import main

README = (Path(__file__).parent.parent / "derivations" / "README.md").read_text()
EXAMPLE, = re.findall(r"```python\n(.*?)```", README, re.DOTALL)
SHOWN = re.findall(r"\$ flowcheck (\w+) my_derivations\n(.*?)(?=\n\$|\n```)", README, re.DOTALL)
RIGHT, WRONG = "Product(f(m), (m, 0, q - 1))", "Product(f(m), (m, 1, q))"


def said(folder, verb, source):
    """(exit code, what a verb prints) for a folder with one page of derivations."""
    pages = folder / "my_derivations"
    pages.mkdir(parents=True, exist_ok=True)
    (pages / "gated_state.py").write_text(source)
    out = io.StringIO()
    with contextlib.chdir(folder), contextlib.redirect_stdout(out), pytest.raises(SystemExit) as stop:
        main([verb, "my_derivations"])
    return stop.value.code, out.getvalue()


def without_rounding(text):
    return re.sub(r"\b\de-1[56]\b", "rounding", text).strip()


@pytest.mark.parametrize("place, wrong, code", [(0, False, 0), (1, False, 0), (2, True, 1)], ids=["derived", "verified", "refused"])
def test_the_example_says_what_is_shown(tmp_path, place, wrong, code):
    verb, text = SHOWN[place]
    assert EXAMPLE.count(RIGHT) == 1 and f"`{WRONG}`" in README
    exit_code, got = said(tmp_path, verb, EXAMPLE.replace(RIGHT, WRONG) if wrong else EXAMPLE)
    assert (exit_code, without_rounding(got)) == (code, without_rounding(text))


def test_numbers_that_are_wrong_fail_at_their_first_lag(tmp_path):
    mistaken = EXAMPLE.replace('values["y_f"][len(values["y_f"]) - q:]', 'values["y_f"][len(values["y_f"]) - q - 1:-1]')
    assert mistaken != EXAMPLE
    code, got = said(tmp_path, "verify", mistaken)
    assert code == 1 and re.search(r"my paper +proof +1\n", got) and re.search(r"paper-meets-code +0 +1", got)
    assert "lag 1" in " ".join(got.split())


@pytest.mark.parametrize("verb", ["derive", "verify"])
@pytest.mark.parametrize("code", ["0", "1", "'bye'", "None"])
def test_a_file_that_ends_the_program_is_refused_and_hides_nothing(tmp_path, verb, code, capsys):
    (tmp_path / "my_derivations").mkdir()
    (tmp_path / "my_derivations" / "script.py").write_text(f"import sys\nsys.exit({code})\n")
    assert said(tmp_path, verb, EXAMPLE.replace(RIGHT, WRONG)) == (2, "")
    assert f"my_derivations/script.py: ends the program (sys.exit({code}))" in capsys.readouterr().err


def test_what_a_file_prints_is_no_part_of_a_report(tmp_path, capsys):
    chatty = EXAMPLE.replace("    return np.diag", '    print("from numbers")\n    return np.diag') + '\nprint("from the file")\n'
    _, plain = said(tmp_path / "plain", "verify", EXAMPLE)
    code, got = said(tmp_path / "chatty", "verify", chatty)
    assert (code, without_rounding(got)) == (0, without_rounding(plain))
    assert {"from numbers", "from the file"} <= set(capsys.readouterr().err.splitlines())


@pytest.mark.parametrize(("mistake", "words"), [('values["y_g"]', "KeyError: 'y_g'"), ("exit(0)", "SystemExit: 0")])
def test_an_error_in_the_numbers_of_a_claim_has_its_line(tmp_path, mistake, words, capsys):
    mistaken = EXAMPLE.replace('values["y_f"][len', f'{mistake}[len')
    line = next(k for k, text in enumerate(mistaken.splitlines(), 1) if mistake in text)
    assert said(tmp_path, "verify", mistaken) == (2, "")
    printed = capsys.readouterr().err
    assert f"my_derivations/gated_state.py:{line}: claim gated state: {words}" in printed and "internal error" not in printed
