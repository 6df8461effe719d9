"""The page in a real browser."""

import base64
from collections.abc import Iterator
from pathlib import Path

import pytest

from tests.browser import CHROMIUM, FLAGS
from tests.service.conftest import Server
from tests.small_artifact import synthetic_png

playwright = pytest.importorskip("playwright.sync_api", reason="playwright is not installed")

pytestmark = pytest.mark.skipif(CHROMIUM is None, reason="no Chromium on PATH (apt-get install chromium)")


@pytest.fixture(scope="module")
def browser() -> Iterator["playwright.Browser"]:
    with playwright.sync_playwright() as running:
        browser = running.chromium.launch(executable_path=CHROMIUM, args=list(FLAGS))
        yield browser
        browser.close()


@pytest.fixture
def page(browser: "playwright.Browser", server: Server) -> Iterator["playwright.Page"]:
    """The page, loaded; at the end nothing went elsewhere and no script failed or was blocked."""
    context = browser.new_context(viewport={"width": 1280, "height": 900})
    page = context.new_page()
    complaints: list[str] = []
    addresses: list[str] = []
    page.on("console", lambda message: complaints.append(message.text))
    page.on("pageerror", lambda error: complaints.append(str(error)))
    page.on("request", lambda request: addresses.append(request.url))
    page.goto(f"{server.url}/")
    page.get_by_text("small 1.0.0").wait_for()
    yield page
    context.close()
    assert [text for text in complaints if "responded with a status of" not in text] == []
    assert [url for url in addresses if not url.startswith((server.url, "data:"))] == []


def natural_width(page: "playwright.Page", name: str) -> int:
    return int(page.evaluate("(id) => document.getElementById(id).naturalWidth", name))


def test_chosen_radiograph_is_answered_with_classes_and_heat_map(
    page: "playwright.Page", knee_dicom: bytes, tmp_path: Path
) -> None:
    assert page.get_by_text("Not a medical device").is_visible()
    page.set_input_files("#choose", {"name": "knee.dcm", "mimeType": "application/dicom", "buffer": knee_dicom})
    page.locator("#result").wait_for()
    rows = page.locator("#classes tr")
    assert rows.count() == 4
    text = page.locator("#classes").inner_text()
    assert "Knee" in text
    assert "72696002" in text
    assert "%" in text
    assert page.locator("#tag-text").inner_text().startswith("The DICOM tag")
    assert "KNEE" in page.locator("#tag-text").inner_text()
    assert page.locator("#decision-title").inner_text()
    assert "DICOM, 90 \N{MULTIPLICATION SIGN} 120 pixels" in page.locator("#facts").inner_text()
    for name in ("image", "overlay"):
        assert natural_width(page, name) == 128
    page.screenshot(path=tmp_path / "result.png", full_page=True)
    assert (tmp_path / "result.png").stat().st_size > 20_000


def test_heat_map_can_be_switched_off_and_beside(page: "playwright.Page") -> None:
    page.set_input_files("#choose", {"name": "a.png", "mimeType": "image/png", "buffer": synthetic_png(3)})
    page.locator("#result").wait_for()
    overlay, alone = page.locator("#overlay"), page.locator("#image-alone")
    assert overlay.is_visible()
    assert not alone.is_visible()
    page.get_by_text("Radiograph", exact=True).last.click()
    assert not overlay.is_visible()
    page.keyboard.press("ArrowRight")  # the segments are radio buttons
    assert overlay.is_visible()
    page.keyboard.press("ArrowRight")
    assert alone.is_visible()


def test_dropped_file_is_taken(page: "playwright.Page") -> None:
    drop = """async (encoded) => {
        const bytes = Uint8Array.from(atob(encoded), (letter) => letter.charCodeAt(0));
        const dataTransfer = new DataTransfer();
        dataTransfer.items.add(new File([bytes], "dropped.png", { type: "image/png" }));
        const stage = document.getElementById("stage");
        for (const type of ["dragenter", "dragover", "drop"])
            stage.dispatchEvent(new DragEvent(type, { bubbles: true, cancelable: true, dataTransfer }));
    }"""
    page.evaluate(drop, base64.b64encode(synthetic_png(4)).decode())
    page.locator("#result").wait_for()
    assert "dropped.png" in page.locator("#facts").inner_text()
    assert "PNG file carries no DICOM tag" in page.locator("#tag-text").inner_text()


def test_keyboard_reaches_the_file_chooser(page: "playwright.Page") -> None:
    # Listening makes the browser hand choosers over; asked for only with the key press, that may come too late.
    page.on("filechooser", lambda _: None)
    page.keyboard.press("Tab")  # the skip link
    page.keyboard.press("Tab")
    assert page.evaluate("document.activeElement.id") == "choose"
    with page.expect_file_chooser() as chooser:
        page.keyboard.press("Space")
    chooser.value.set_files({"name": "a.png", "mimeType": "image/png", "buffer": synthetic_png(3)})
    page.locator("#result").wait_for()
    assert page.locator("#announcement").inner_text()  # said to screen readers


@pytest.mark.parametrize(
    ("data", "title"),
    [
        pytest.param(b"This is text.", "Not a radiograph file", id="text"),
        pytest.param(b"", "The file is empty", id="empty"),
        pytest.param(synthetic_png(3)[:60], "This file cannot be used", id="truncated"),
    ],
)
def test_error_is_told_in_plain_words_and_the_next_file_works(page: "playwright.Page", data: bytes, title: str) -> None:
    page.set_input_files("#choose", {"name": "a.png", "mimeType": "image/png", "buffer": data})
    page.locator("#failure").wait_for()
    assert page.locator("#failure-title").inner_text() == title
    assert not page.locator("#result").is_visible()
    page.set_input_files("#choose", {"name": "a.png", "mimeType": "image/png", "buffer": synthetic_png(3)})
    page.locator("#result").wait_for()
    assert not page.locator("#failure").is_visible()


def test_narrow_window_does_not_scroll_sideways(page: "playwright.Page") -> None:
    page.set_viewport_size({"width": 320, "height": 700})
    page.set_input_files("#choose", {"name": "a.png", "mimeType": "image/png", "buffer": synthetic_png(3)})
    page.locator("#result").wait_for()
    assert page.evaluate("document.documentElement.scrollWidth") <= 320
