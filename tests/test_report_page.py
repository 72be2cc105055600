"""The page: one file, no network, no script, and every number or the word for it."""

import functools
import html
import re
import subprocess
from dataclasses import replace
from html.parser import HTMLParser
from pathlib import Path

import numpy as np
import pytest
from claims_of_paper import CLAIMS

from flowcheck.cells import catalogue
from flowcheck.detectors import Diagnosis, diagnose
from flowcheck.flow import Flow
from flowcheck.flow.rates import rate
from flowcheck.formats import InputSet
from flowcheck.measure import Measured, measure
from flowcheck.network import Network, fresh
from flowcheck.report.curves import Curve, paper_curves
from flowcheck.report.drawn import curve_figures, drift_figures
from flowcheck.report.page import page, write_page

CHROMIUM = Path("/usr/bin/chromium")
HOSTILE = "<script>alert(1)</script>"
VOID = {"meta", "br", "hr", "img", "link", "input"}
STEPS = 120


class Reader(HTMLParser):
    """Collects tags, text and attributes, and raises where tags do not balance."""

    def __init__(self, text):
        super().__init__()
        self.open, self.tags, self.attributes, self.words, self.ids = [], [], [], [], []
        self.feed(text)
        self.close()
        assert not self.open, self.open

    def handle_starttag(self, tag, attrs):
        self.tags.append(tag)
        self.attributes += attrs
        self.ids += [value for name, value in attrs if name == "id"]
        if tag not in VOID:
            self.open.append(tag)

    def handle_startendtag(self, tag, attrs):
        self.tags.append(tag)
        self.attributes += attrs
        self.ids += [value for name, value in attrs if name == "id"]

    def handle_endtag(self, tag):
        assert self.open.pop() == tag, tag

    def handle_data(self, data):
        if "style" not in self.open:
            self.words.append(data)

    @property
    def text(self):
        return " ".join(" ".join(self.words).split())


def drifting_net(name="lstm"):
    """Six LSTM units of which the first is fed one sign and never forgets."""
    network = fresh(catalogue()["lstm"], 6, 2, seed=0)
    layer = network.layers[0]
    params = {k: v.copy() for k, v in layer.params.items()}
    for bias, value in (("b_f", 14.0), ("b_in", 5.0), ("b_c", 3.0)):
        params[bias][0] = value
    layer = replace(layer, name=name, params=params, gate_order=f"i f g o {name}")
    return Network(f"{name}.npz", (layer,), "ab" * 32, notes=(f"{name} read as it is",))


@functools.cache
def net_parts(name="lstm"):
    network = drifting_net(name)
    x = np.random.default_rng(1).normal(size=(STEPS, 2, 2)) * 0.3
    return {"diagnosis": diagnose(network, [InputSet(name, name, x)]),
            "measured": measure(network, {name: {name: x}}, STEPS), "inputs": f"2 sequences of {STEPS} steps"}


@functools.cache
def curve_parts():
    return {"curves": paper_curves(catalogue(), units=6, inputs=3, lags=120)}


@functools.cache
def claim_parts():
    return {"derivations": [(claim, "") for claim in CLAIMS.values() if claim.section == "3.2"]}


def made(**parts):
    return page(title="Error flow", command="flowcheck report net.npz --inputs x.npz", **parts)


@functools.cache
def whole():
    return made(**net_parts(), **curve_parts(), **claim_parts())


def flow_of(rows, norm0=0.0):
    rows = np.array(rows, float)
    lags = np.arange(1, rows.shape[1] + 1)
    return Flow("state-to-state", "full", lags, rows, rows, np.full(rows.shape, -300.0), norm0, "layer")


def test_the_page_needs_no_network_and_no_script():
    reader = Reader(whole())
    assert "script" not in reader.tags and not [n for n, _ in reader.attributes if n.startswith("on")]
    links = [v for n, v in reader.attributes if n in ("src", "href", "data", "xlink:href")]
    assert links and all(v.startswith("#") for v in links)
    assert not re.findall(r"url\((?!#)|@import|https?://", re.sub(r'xmlns(:\w+)?="[^"]*"', "", whole()))


def test_the_page_is_sound_small_and_says_no_nan():
    reader = Reader(whole())
    assert {"math", "svg", "table", "details", "caption"} <= set(reader.tags)
    assert not re.search(r"\b(NaN|nan|-?inf|None|Undefined)\b", whole())
    assert len(whole().encode()) < 2_000_000
    assert len(reader.ids) == len(set(reader.ids))
    assert 'lang="en"' in whole() and "prefers-color-scheme: dark" in whole() and "@media print" in whole()


def test_headings_descend_one_level_at_a_time():
    levels = [int(tag[1]) for tag in Reader(whole()).tags if re.fullmatch(r"h[1-6]", tag)]
    assert levels[0] == 1 and levels.count(1) == 1
    assert all(b <= a + 1 for a, b in zip(levels, levels[1:]))


def test_every_figure_has_words_for_it():
    figures = re.findall(r"<svg[^>]*>", whole())
    assert len(figures) == 6
    assert all('role="img"' in f and re.search(r'aria-label="[^"]{40,}"', f) for f in figures)


def test_two_writes_are_equal_and_leave_nothing_else(tmp_path):
    parts = {**net_parts(), **curve_parts(), **claim_parts()}
    for name in ("a.html", "b.html"):
        write_page(tmp_path / name, title="Error flow", command="flowcheck report", **parts)
    assert (tmp_path / "a.html").read_bytes() == (tmp_path / "b.html").read_bytes()
    assert sorted(p.name for p in tmp_path.iterdir()) == ["a.html", "b.html"]


def test_hostile_names_are_only_text():
    parts = net_parts(HOSTILE)
    curves = [replace(c, label=HOSTILE, words=HOSTILE) for c in curve_parts()["curves"]]
    text = page(title=HOSTILE, command=HOSTILE, curves=curves, **(parts | {"inputs": HOSTILE}))
    reader = Reader(text)
    assert "script" not in reader.tags
    assert HOSTILE in reader.text and "alert(1)" in reader.text


def test_a_net_shows_verdict_findings_remedy_and_provenance():
    text = Reader(made(**net_parts())).text
    assert any(f.rule == "state-drift" and f.unit == 0 for f in net_parts()["diagnosis"].findings)
    finding = next(f for f in net_parts()["diagnosis"].findings if f.rule == "state-drift")
    assert "State drift" in text and "u0" in text and finding.threshold_source in text
    assert finding.remedy[1:] in text
    assert "ab" * 32 in text and "gate order i f g o lstm" in text and "lstm read as it is" in text
    assert "flowcheck report net.npz --inputs x.npz" in text and "What is not claimed" in text
    assert "Derivations" not in text and "Decay and constant" not in text


def test_many_findings_of_one_rule_are_one_row():
    parts = net_parts()
    one = next(f for f in parts["diagnosis"].findings if f.rule == "state-drift")
    many = tuple(replace(one, unit=k, severity="error" if k < 2 else "warning",
                         evidence=one.evidence | {"rate_per_step": 0.1 + k}) for k in range(5))
    text = made(diagnosis=replace(parts["diagnosis"], findings=many))
    assert len(re.findall(r'<th scope="row" role="rowheader">state-drift', text)) == 1
    words = Reader(text).text
    assert "lstm, 5 units" in words and "Worst, u1" in words
    assert re.search(r"error: u1 , u0 ; warning: u4 , u3 , u2", words)


def test_no_findings_is_said():
    assert "no detector reports anything" in Reader(made(diagnosis=replace(net_parts()["diagnosis"], findings=()))).text


@pytest.mark.parametrize("parts, shown, hidden", [
    (curve_parts, "Decay and constant error flow", "Verdict by layer"),
    (claim_parts, "claims proved", "Error flow of the net"),
    (lambda: {"measured": net_parts()["measured"]}, "Error flow of the net", "Findings"),
    (lambda: {"diagnosis": net_parts()["diagnosis"]}, "Verdict by layer", "Derivations"),
    (dict, "About this page", "Verdict by layer"),
])
def test_each_part_stands_alone(parts, shown, hidden):
    text = Reader(made(**parts())).text
    assert shown in text and hidden not in text


def test_a_failed_proof_is_shown_as_failed():
    (claim, _), *rest = claim_parts()["derivations"]
    text = Reader(made(derivations=[(claim, "claim 3.2: right minus left leaves <x>"), *rest])).text
    assert "✗ FAILED" in text and "right minus left leaves <x>" in text and "✗ 1 failed" in text
    assert f"{len(rest)} of {len(rest) + 1} claims proved" in text


def test_a_definition_is_not_called_proved_and_a_family_is_named():
    family = [CLAIMS["5 Reber strings"]]
    defined = [c for c in CLAIMS.values() if c.section == "4" and c.status == "definition"]
    text = Reader(made(derivations=[(c, "") for c in [*family, *defined]])).text
    assert "1 of 1 claims proved" in text and f"none failed. {len(defined)} more are definitions. Numbers" in text
    assert text.count("✓") == text.count("✓ proved for n <= 3") == 1


def test_a_step_stands_once_and_is_told_by_its_number_later():
    found = made(derivations=[(CLAIMS[id], "") for id in ("40", "41")])
    assert '<a href="#claim-40">(40)</a>' in found and 'id="claim-40"' in found and found.count("no error that entered at c") == 1


def test_bounds_are_shown_with_the_largest_ratio_found():
    bound = CLAIMS["3.1 bound"]
    text = Reader(made(derivations=[(bound, "")], bounds={"3.1 bound": "0.15 on random nets, 0.47 by search"})).text
    assert "How near the flow comes to its bounds" in text and "0.47 by search" in text
    assert "How near" not in Reader(made(derivations=[(bound, "")])).text


def test_an_erratum_shows_both_forms_and_what_tells_them_apart():
    (erratum,) = [(c, e) for c, e in claim_parts()["derivations"] if c.status == "erratum"]
    text = made(derivations=[erratum])
    words = Reader(text).text
    assert "As printed" in words and "As derived" in words and "What tells them apart" in words and "erratum" in words
    assert text.count("<math") >= 2


def test_a_zero_flow_and_null_rates_are_words():
    zero, floor = flow_of(np.full((1, 30), -np.inf)), replace(flow_of(np.full((1, 30), -400.0)))
    text = Reader(made(measured=[Measured(zero, rate(zero))])).text
    assert "exactly zero at every lag" in text and "exactly zero at lag 30" in text
    assert "below the rounding floor" in Reader(made(measured=[Measured(floor, rate(floor))])).text
    curve = Reader(made(curves=[Curve("cut", "nothing flows", Measured(zero, rate(zero)))])).text
    assert "exactly zero at every lag" in curve and "none: no rate" in curve


def test_verdicts_come_with_interval_and_a_growing_flow_with_its_change():
    rng = np.random.default_rng(0)
    growing = flow_of(0.02 * np.arange(1, 201) + 0.01 * rng.normal(size=(3, 200)))
    text = Reader(made(measured=[Measured(growing, rate(growing))])).text
    assert "exploding" in text and "beyond 200" in text and re.search(r"\+0\.0\d+ to \+0\.0\d+", text)
    assert "none within 200 lags" in text


def test_a_dollar_in_a_name_is_no_formula():
    curves = [replace(c, label=f"a$b{k}$") for k, c in enumerate(curve_parts()["curves"])]
    assert "a$b0$" in Reader(made(curves=curves)).text


def test_figures_stand_alone_as_files():
    for drawn in (*curve_figures(curve_parts()["curves"], standalone=True),
                  *drift_figures(net_parts()["diagnosis"], standalone=True)):
        (svg,) = drawn.svgs
        assert svg.startswith('<svg xmlns="http://www.w3.org/2000/svg"') and "prefers-color-scheme: dark" in svg
        Reader(svg)


def test_drift_of_every_unit_leaves_no_band():
    diagnosis = net_parts()["diagnosis"]
    one = next(f for f in diagnosis.findings if f.rule == "state-drift")
    (drawn,) = drift_figures(Diagnosis(diagnosis.network, diagnosis.contexts,
                                       tuple(replace(one, unit=k) for k in range(6))))
    assert "5th to 95th" not in "".join(drawn.svgs)


def chromium(folder, text, widths, *action):
    """Run chromium on frames of the page; its title says of each how wide the page is, in all."""
    measure_it = "document.title+=' '+this.contentDocument.documentElement.scrollWidth"
    frames = "".join(f'<iframe style="width:{width}px" srcdoc="{html.escape(text)}" onload="{measure_it}"></iframe>' for width in widths)
    (folder / "frame.html").write_text(f"<!DOCTYPE html><style>body{{margin:0}}iframe{{border:0;height:800px}}</style>{frames}", "utf-8")
    flags = ("--headless --no-sandbox --disable-gpu --disable-quic --no-first-run --disable-background-networking "
             "--disable-component-update --disable-sync --hide-scrollbars --window-size=1280,800").split()
    return subprocess.run([CHROMIUM, *flags, f"--user-data-dir={folder / 'profile'}", *action, folder / "frame.html"],
                          capture_output=True, text=True, timeout=60, check=True)


needs_chromium = pytest.mark.skipif(not CHROMIUM.exists(), reason="needs /usr/bin/chromium")


@needs_chromium
def test_the_page_never_scrolls_sideways(tmp_path):
    text = whole().replace("<details>", "<details open>")
    shown = chromium(tmp_path, text, [360, 1280], "--dump-dom").stdout
    wide = [int(width) for width in re.search(r"<title>([\d ]+)</title>", shown)[1].split()]
    assert sorted(wide) == [360, 1280]


@needs_chromium
def test_a_screenshot_is_not_blank(tmp_path):
    import matplotlib.image

    chromium(tmp_path, whole(), [1280], f"--screenshot={tmp_path / 'page.png'}")
    pixels = matplotlib.image.imread(tmp_path / "page.png")[..., :3]
    dark = (pixels.mean(axis=-1) < 0.5).mean()
    assert 0.005 < dark < 0.5
