"""The page of a finished sort: counts that add up, nothing of a patient, nothing that could run."""

import re
from collections.abc import Callable
from pathlib import Path

import pytest

from samx.storage import open_storage
from service.sorting.job import Job, make_request
from service.sorting.manifest import Frozen
from service.sorting.progress import Tally
from service.sorting.rows import Row
from service.sorting.summary_page import THUMBNAILS, Examples, summary_page
from tests.small_artifact import synthetic_png

Page = Callable[..., str]


@pytest.fixture
def page(tmp_path: Path) -> Page:
    """The page of some rows, whose objects are in a folder."""
    source = open_storage(tmp_path / "in")
    for number in range(8):
        source.write(f"MUSTERMANN-{number}.png", synthetic_png(number))

    def page(rows: list[Row], **request: object) -> str:
        job = Job(
            "job", make_request(source=str(tmp_path / "in"), destination=str(tmp_path / "out"), model="m", **request)
        )
        tally, examples = Tally(), Examples()
        for row in rows:  # as shards of one row
            tally.add([row])
            examples.add([row])
        return summary_page(job, Frozen("", len(rows), 0, 1, 0, 0, ""), tally, examples).decode()

    return page


def rows(tmp_path: Path, decision: str, label: str = "", **more: object) -> list[Row]:
    listed = open_storage(tmp_path / "in").list()
    return [
        Row(item.key, item.size_bytes, item.etag, decision=decision, label=label, model="samx 1.0.0", **more)  # type: ignore[arg-type]
        for item in listed
    ]


def test_counts_shares_and_what_to_do_are_said(page: Page, tmp_path: Path) -> None:
    found = page(rows(tmp_path, "accept", "knee") * 3 + rows(tmp_path, "review", "foot"))
    assert "<h1>32 objects sorted</h1>" in found
    assert re.search(r"Accepted</th><td class=\"number\">24</td><td class=\"number\">75.0 %</td>", found)
    assert re.search(r"To review</th><td class=\"number\">8</td><td class=\"number\">25.0 %</td>", found)
    assert "rows of the manifest whose <b>decision</b> is <b>review</b>" in found
    assert "8 to review" in found
    assert "the folder <b>_review/</b>" in page(rows(tmp_path, "review", "foot"), copies=True)


def test_segments_of_a_bar_are_as_long_as_their_shares(page: Page, tmp_path: Path) -> None:
    found = page(rows(tmp_path, "accept", "knee") * 3 + rows(tmp_path, "unreadable", code="empty"))
    bar = found.partition('<svg class="large"')[2].partition("</svg>")[0]
    assert '<rect class="accept" x="0.000" width="75.000" height="1"/>' in bar
    assert '<rect class="unreadable" x="75.000" width="25.000" height="1"/>' in bar


def test_a_class_shows_a_few_radiographs_of_each_decision(page: Page, tmp_path: Path) -> None:
    found = page(rows(tmp_path, "accept", "knee") + rows(tmp_path, "review", "knee"))
    assert found.count("<img ") == THUMBNAILS["accept"] + THUMBNAILS["review"]


def test_a_radiograph_that_has_gone_since_is_left_out(page: Page, tmp_path: Path) -> None:
    gone = rows(tmp_path, "accept", "knee")
    for row in gone[1:]:
        open_storage(tmp_path / "in").delete(row.key)
    assert page(gone).count("<img ") == 1


def test_disagreements_are_counted_by_tag_and_class(page: Page, tmp_path: Path) -> None:
    agree = rows(tmp_path, "accept", "knee", tag_body_part_examined="KNEE", tag_agrees=True)
    differ = rows(tmp_path, "accept", "knee", tag_body_part_examined="FOOT", tag_agrees=False)
    found = page(agree * 3 + differ)
    assert "agrees with the class in 24 files and does not in 8 (25.0 %)" in found
    assert "tagged FOOT, sorted as knee" in found
    assert "No file says by a known term" in page(rows(tmp_path, "accept", "knee"))


def test_names_are_no_markup_keys_are_not_shown_and_nothing_can_run(page: Page, tmp_path: Path) -> None:
    found = page(rows(tmp_path, "accept", "<script>alert(1)</script>", tag_body_part_examined="<b>", tag_agrees=False))
    assert "<script" not in found
    assert "<b>, sorted" not in found
    assert "MUSTERMANN" not in found
    assert "default-src &#x27;none&#x27;" in found
    assert " style=" not in found, "the policy forbids it"
    assert "http" not in found.replace("http-equiv", "")


def test_the_same_rows_give_the_same_page(page: Page, tmp_path: Path) -> None:
    some = rows(tmp_path, "accept", "knee") + rows(tmp_path, "review", "foot")
    assert page(some) == page(some)


def test_a_page_of_unreadable_files_alone(page: Page, tmp_path: Path) -> None:
    found = page(rows(tmp_path, "unreadable", code="unknown_format"))
    assert "unknown format" in found
    assert "<img " not in found
    assert "<h2>Classes</h2>" not in found
