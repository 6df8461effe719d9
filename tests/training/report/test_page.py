"""The report: whole, offline, the same every time, and with the run's own figures."""

import base64
import io
import re
from dataclasses import replace
from html.parser import HTMLParser
from typing import Any

import pytest
from PIL import Image

from samx.artifact import read_artifact, resolve
from samx.storage import open_storage
from training.report.facts import CALIBRATION, CROSS_VALIDATE, EVALUATE, LABEL, SANITY, read_facts
from training.report.page import SECTIONS, report_page
from training.report.pictures import LARGEST_BYTES
from training.run import Run
from training.stages.report import report

_VOID = {"meta", "img", "br", "hr", "input", "link"}
_LARGEST_PAGE = 8_000_000


class Page(HTMLParser):
    """Reads a page and remembers what its tests ask for; fails on an element that is not closed where it should be."""

    def __init__(self, text: str) -> None:
        super().__init__()
        self.open: list[str] = []
        self.attributes: list[tuple[str, dict[str, str | None]]] = []
        self.figures: list[tuple[str, str]] = []
        """`data-from` and the text that follows it."""
        self._source = ""
        self.feed(text)
        self.close()
        assert self.open == []

    def handle_starttag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
        assert len({name for name, _ in attrs}) == len(attrs), (tag, attrs)
        self.attributes.append((tag, dict(attrs)))
        if tag not in _VOID:
            self.open.append(tag)
        self._source = dict(attrs).get("data-from") or ""

    def handle_startendtag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
        self.attributes.append((tag, dict(attrs)))

    def handle_endtag(self, tag: str) -> None:
        assert self.open.pop() == tag, self.getpos()

    def handle_data(self, data: str) -> None:
        if self._source:
            self.figures.append((self._source, data))
            self._source = ""


@pytest.fixture(scope="module", params=["report/report.html", "report/artifact.html"])
def text(request: pytest.FixtureRequest, reported: Run) -> str:
    return reported.read(request.param).decode()


def test_every_section_is_there_and_in_the_contents(text: str) -> None:
    page = Page(text)
    sections = [attributes["id"] for tag, attributes in page.attributes if tag == "section"]
    assert sections == [name for name, *_ in SECTIONS if name != "student"]  # this run has none
    links = [attributes["href"] for tag, attributes in page.attributes if tag == "a"]
    assert links == [f"#{name}" for name in sections]


def test_nothing_is_loaded_and_nothing_is_run(text: str) -> None:
    page = Page(text)
    for tag, attributes in page.attributes:
        assert tag not in {"script", "link", "iframe", "object", "embed"}
        for name, value in attributes.items():
            assert not name.startswith("on")
            if name in {"src", "href", "xlink:href", "action", "srcset"}:
                assert (value or "").startswith(("#", "data:image/jpeg;base64,"))
    assert not re.search(r"url\((?!#)|@import", text)
    policies = [a["content"] for tag, a in page.attributes if tag == "meta" and "http-equiv" in a]
    assert (policies[0] or "").startswith("default-src 'none'; img-src data:;")


def test_identifiers_are_unique_and_references_find_them(text: str) -> None:
    page = Page(text)
    found = [attributes["id"] for _, attributes in page.attributes if attributes.get("id")]
    assert len(found) == len(set(found))
    references = set(re.findall(r'(?:href="#|url\(#)([^")]+)', text))
    assert references <= set(found)


def test_it_can_be_read_without_seeing(text: str) -> None:
    page = Page(text)
    assert ("html", {"lang": "en"}) in page.attributes
    pictures = [a for tag, a in page.attributes if tag == "img"]
    drawings = [a for tag, a in page.attributes if tag == "svg"]
    assert drawings
    assert all(a.get("alt") for a in pictures)
    assert all(a.get("role") == "img" and a.get("aria-label") for a in drawings)
    tables = sum(tag == "table" for tag, _ in page.attributes)
    assert tables == sum(tag == "caption" for tag, _ in page.attributes) > 5
    assert all(a.get("scope") in {"row", "col"} for tag, a in page.attributes if tag == "th")


def test_figures_are_those_of_the_run_s_files(text: str, reported: Run) -> None:
    seen = set()
    for source, shown in Page(text).figures:
        document, path = source.split("#")
        figure = _find(reported.read_json(document), path)
        value = figure["value"] if isinstance(figure, dict) else figure
        seen.add(source)
        if isinstance(value, bool) or value is None:
            assert shown in {True: {"passed"}, False: {"not passed"}, None: {"-", "not measured"}}[value]
            continue
        number = float(shown.split()[0].replace(",", ""))
        expected = 100 * value if "%" in shown else value
        assert number == pytest.approx(expected, abs=0.051 if "%" in shown or value >= 100 else 0.00051), source
        if isinstance(figure, dict) and "(" in shown:
            low, high = map(float, re.findall(r"\(([\d.-]+?)(?:-| to )([\d.-]+)\)", shown)[0])
            scale = 100 if "%" in shown else 1
            assert (low, high) == pytest.approx((scale * figure["low"], scale * figure["high"]), abs=0.051)
    label = reported.read_json("label/classes.json")[0]
    own = (
        f"review_thresholds.{label}"
        if label in reported.read_json(CALIBRATION)["review_thresholds"]
        else "review_threshold"
    )
    assert {
        f"{CALIBRATION}#{own}",
        f"{CROSS_VALIDATE}#accepted",
        f"{CROSS_VALIDATE}#per_class.{label}.accepted",
    } <= seen
    for needed in (f"{EVALUATE}#holdout.top_1", f"{LABEL}#decisions_per_1000", f"{SANITY}#deletion.grad_cam"):
        assert needed in seen


def _find(content: Any, path: str) -> Any:
    """A value by its path; a name may itself hold a dot."""
    if not path:
        return content
    for name, value in content.items():
        if path == name or path.startswith(f"{name}."):
            return _find(value, path[len(name) + 1 :])
    raise KeyError(path)


def test_the_same_run_gives_the_same_bytes(reported: Run) -> None:
    before = {key: reported.read(key) for key in ("report/report.html", "report/artifact.html")}
    report(reported)
    assert {key: reported.read(key) for key in before} == before


def test_the_artifact_s_version_shows_no_radiograph(reported: Run) -> None:
    publish = reported.config.publish
    artifact = read_artifact(resolve(open_storage(f"{publish.models}/{publish.name}")))
    page = artifact.files["report.html"]
    assert page == reported.read("report/artifact.html")
    assert "report.html" in artifact.manifest.files
    assert not re.search(rb"<img|<image|data:image|base64", page)


def test_the_run_s_version_shows_them_within_bounds(reported: Run) -> None:
    page = reported.read("report/report.html")
    urls = re.findall(rb"data:image/jpeg;base64,([^\"]+)", page)
    assert len(urls) >= 2
    for url in urls:
        Image.open(io.BytesIO(base64.b64decode(url))).verify()
    assert sum(map(len, urls)) <= LARGEST_BYTES
    assert len(page) < _LARGEST_PAGE


def test_no_file_patient_or_place_is_named(text: str, reported: Run) -> None:
    for row in reported.read_csv("index/index.csv"):
        assert row["key"] not in text
        assert row["patient"] not in text
    assert reported.config.run not in text
    assert reported.config.source not in text


def test_what_a_run_has_not_measured_is_said(reported: Run) -> None:
    facts = read_facts(reported)
    missing = {EVALUATE: {"num_radiographs": 0, "num_labelled": 0}, SANITY: {}}
    bare = replace(facts, documents={**facts.documents, **missing}, predictions=[])
    page = report_page(bare, galleries=None, cluster_sheets=None).decode()
    Page(page)
    assert page.count("not measured by this run") >= 6
    assert "Nothing was judged" in page
