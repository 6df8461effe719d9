"""The page in a real browser, with the service behind it."""

import base64
import csv
import io
import time
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import pytest

from tests.browser import CHROMIUM, FLAGS
from tests.service.conftest import Server
from tests.small_artifact import synthetic_png

playwright = pytest.importorskip("playwright.sync_api", reason="playwright is not installed")

pytestmark = pytest.mark.skipif(CHROMIUM is None, reason="no Chromium on PATH (apt-get install chromium)")

Page = Any
SMALLEST_CONTRAST = 4.5  # WCAG 2.2, 1.4.3, text of normal size
SECRET = "Wunibald"
"""In every name of a file; found in a request, it has leaked."""


@pytest.fixture(scope="module")
def browser() -> Iterator[Any]:
    with playwright.sync_playwright() as running:
        browser = running.chromium.launch(executable_path=CHROMIUM, args=list(FLAGS))
        yield browser
        browser.close()


Open = Callable[..., Page]


@pytest.fixture
def open_page(browser: Any, server: Server) -> Iterator[Open]:
    """Opens the page; at the end nothing went elsewhere, no name was sent, and no script failed or was blocked."""
    contexts, complaints, addresses, sent = [], [], [], []

    def open_page(url: str = server.url, **options: Any) -> Page:
        context = browser.new_context(**{"viewport": {"width": 1280, "height": 800}, **options})
        contexts.append(context)
        page = context.new_page()
        page.on("console", lambda message: complaints.append(message.text))
        page.on("pageerror", lambda error: complaints.append(str(error)))
        page.on("request", lambda request: addresses.append((request.url, url)))
        page.on("request", lambda request: sent.append(f"{request.url} {request.headers}"))
        page.goto(f"{url}/")
        return page

    yield open_page
    for context in contexts:
        context.close()
    assert [text for text in complaints if "responded with a status of" not in text] == []
    assert [url for url, own in addresses if not url.startswith((own, f"blob:{own}"))] == []
    assert [text for text in sent if SECRET in text] == []


@pytest.fixture
def page(open_page: Open) -> Page:
    page = open_page()
    page.locator("#model-name", has_text="small 1.0.0").wait_for()
    return page


def given(name: str, data: bytes | None = None) -> dict[str, Any]:
    data = synthetic_png(sum(name.encode())) if data is None else data
    return {"name": f"{SECRET} {name}", "mimeType": "", "buffer": data}


def choose(page: Page, *files: dict[str, Any]) -> None:
    page.set_input_files("#choose", list(files))


def until_classified(page: Page) -> None:
    page.locator("#progress-text", has_text="classified").wait_for(state="attached", timeout=60_000)


def natural_width(page: Page, name: str) -> int:
    return int(page.evaluate("(id) => document.getElementById(id).naturalWidth", name))


# ---- One radiograph --------------------------------------------------------------------------------------------------


def test_chosen_dicom_is_answered_with_classes_decision_tag_and_pictures(page: Page, knee_dicom: bytes) -> None:
    assert page.get_by_text("Not a medical device").first.is_visible()
    choose(page, given("knee.dcm", knee_dicom))
    page.locator("#images").wait_for()
    assert page.locator("#classes tr").count() == 4
    assert page.locator("#classes .percent").count() == 4
    best = page.locator("#classes th").first.inner_text()
    assert "SNOMED" in best or "Not musculoskeletal" in best
    assert "KNEE" in page.locator("#tag-text").inner_text()
    assert page.locator("#decision-title").inner_text()
    assert "DICOM, 90 \N{MULTIPLICATION SIGN} 120 pixels" in page.locator("#facts").inner_text()
    page.locator("#overlay[src^=blob]").wait_for()
    for name in ("image", "overlay"):
        assert natural_width(page, name) == 120
    assert "knee.dcm" in page.locator("#announcement").inner_text()  # said to screen readers
    assert not page.locator("#files").is_visible()  # a list of one would be in the way


def test_heat_map_fades_and_hottest_region_is_boxed(page: Page) -> None:
    answers = []
    page.on("response", lambda response: answers.append(response) if "/classify" in response.url else None)
    choose(page, given("a.png"))
    page.locator("#images").wait_for()
    (answer,) = answers
    assert not page.locator("#region").is_visible()
    page.keyboard.press("b")
    region = answer.json()["grad_cam"]["hottest_region"]
    box = {name: float(page.locator("#region-box").get_attribute(name)) for name in region}
    assert box == region
    assert page.locator("#region").is_visible()
    for value, opacity in [("0", "0"), ("100", "1"), ("30", "0.3")]:
        page.locator("#strength").fill(value)
        assert page.locator("#overlay").evaluate("(image) => getComputedStyle(image).opacity") == opacity
        assert page.locator("#strength-text").inner_text() == f"{value} %"
    page.locator("#caption").click()
    page.keyboard.press("h")
    assert not page.locator("#overlay").is_visible()
    assert page.locator("#image").is_visible()


@pytest.mark.parametrize(
    ("data", "title"),
    [
        pytest.param(b"This is text.", "Not a radiograph file", id="text"),
        pytest.param(b"", "The file is empty", id="empty"),
        pytest.param(synthetic_png(3)[:60], "This file cannot be used", id="truncated"),
    ],
)
def test_error_is_told_in_plain_words_and_the_next_file_works(page: Page, data: bytes, title: str) -> None:
    choose(page, given("a.png", data))
    page.locator("#failure").wait_for()
    assert page.locator("#failure-title").inner_text() == title
    assert not page.locator("#result").is_visible()
    assert not page.locator("#retry").is_visible()  # it would be refused again
    choose(page, given("b.png"))
    page.locator("#result").wait_for()
    assert not page.locator("#failure").is_visible()


def test_tag_that_disagrees_is_told_and_listed(page: Page, knee_dicom: bytes) -> None:
    page.route("**/classify?*", lambda route: route.fulfill(json=changed(route.fetch().json(), agrees=False)))
    choose(page, given("a.dcm", knee_dicom), given("b.dcm", knee_dicom))
    until_classified(page)
    assert "does not agree" in page.locator("#tag-text").inner_text()
    assert page.locator("#count-tag").inner_text() == "2"


def changed(answer: dict[str, Any], **tag: object) -> dict[str, Any]:
    return {**answer, "decision": "accept", "tag": {**answer["tag"], **tag}}


def test_view_and_side_are_shown_where_the_model_answers_them(page: Page, knee_dicom: bytes) -> None:
    choose(page, given("none.dcm", knee_dicom))
    page.locator("#images").wait_for()
    assert "View" not in page.locator("#facts").inner_text()
    said = {"view": {"value": "LAT", "probability": 0.97}, "laterality": {"value": "R", "probability": 0.8}}
    page.route("**/classify?*", lambda route: route.fulfill(json=route.fetch().json() | said))
    choose(page, given("a.dcm", knee_dicom), given("b.dcm", knee_dicom))
    until_classified(page)
    assert "LAT 97.0 % · right 80.0 %" in page.locator("#facts").inner_text()


# ---- Many ------------------------------------------------------------------------------------------------------------

DROP = """async ([name, encoded]) => {
    const bytes = Uint8Array.from(atob(encoded), (letter) => letter.charCodeAt(0));
    const dataTransfer = new DataTransfer();
    for (const number of [1, 2, 10])
        dataTransfer.items.add(new File([bytes], `${name} ${number}.png`, { type: "image/png" }));
    dataTransfer.items.add(new File([bytes], ".DS_Store"));
    for (const type of ["dragenter", "dragover", "drop"])
        document.body.dispatchEvent(new DragEvent(type, { bubbles: true, cancelable: true, dataTransfer }));
}"""


def test_dropped_files_are_classified_in_the_order_of_their_names(page: Page) -> None:
    page.evaluate(DROP, [SECRET, base64.b64encode(synthetic_png(4)).decode()])
    until_classified(page)
    names = page.locator("#files .file-name").all_inner_texts()
    assert names == [f"{SECRET} {number}.png" for number in (1, 2, 10)]
    assert "PNG file carries no DICOM tag" in page.locator("#tag-text").inner_text()


@pytest.mark.parametrize("way", ["chosen", "dropped"])
def test_folder_is_taken_with_the_folders_in_it(page: Page, tmp_path: Path, way: str) -> None:
    for place in ("one.png", "inner/two.png", "inner/.hidden", "inner/deep/three"):
        (tmp_path / place).parent.mkdir(parents=True, exist_ok=True)
        (tmp_path / place).write_bytes(synthetic_png(5))
    if way == "chosen":
        page.set_input_files("#choose-folder", tmp_path)
    else:
        drag(page, tmp_path)
    until_classified(page)
    paths = page.locator("#files li").evaluate_all("(lines) => lines.map((line) => line.title)")
    assert paths == [f"{tmp_path.name}/{place}" for place in ("inner/deep/three", "inner/two.png", "one.png")]


def drag(page: Page, path: Path) -> None:
    """Drag a folder from outside the browser, which no script can make up."""
    session = page.context.new_cdp_session(page)
    data = {"items": [], "files": [str(path)], "dragOperationsMask": 1}
    for kind in ("dragEnter", "dragOver", "drop"):
        session.send("Input.dispatchDragEvent", {"type": kind, "x": 400, "y": 400, "data": data})


def test_keyboard_alone_chooses_walks_filters_and_summarises(page: Page) -> None:
    # Listening makes the browser hand choosers over; asked for only with the key press, that may come too late.
    page.on("filechooser", lambda _: None)
    page.keyboard.press("Tab")  # the skip link
    page.keyboard.press("Enter")
    assert page.evaluate("document.activeElement.id") == "choose"
    with page.expect_file_chooser() as chooser:
        page.keyboard.press("Space")
    chooser.value.set_files([given("1.png"), given("2.png", b"text"), given("3.png")])
    until_classified(page)
    page.keyboard.press("ArrowDown")
    page.locator("#place", has_text="2 of 3").wait_for()
    assert page.locator("#failure-title").inner_text() == "Not a radiograph file"
    page.locator("#files").focus()
    page.keyboard.press("End")
    page.locator("#place", has_text="3 of 3").wait_for()
    assert page.locator("#files [aria-selected=true] .file-name").inner_text().endswith("3.png")
    assert page.locator("#files").get_attribute("aria-activedescendant") == "file-2"
    page.locator("#filters input:checked").focus()
    page.keyboard.press("ArrowLeft")  # around to the last: not classified
    assert page.locator("#files li:visible").count() == 1
    assert page.locator("#place").inner_text() == "1 of 1 listed"
    page.locator("#summary-open").focus()
    page.keyboard.press("Enter")
    assert "2 radiographs in" in page.locator("#summary-text").inner_text()
    assert "1 not classified" in page.locator("#summary-text").inner_text()
    page.keyboard.press("Tab")
    assert page.evaluate("document.activeElement.className") == "link"
    page.keyboard.press("Enter")  # the files of the commonest class
    assert not page.locator("#summary").is_visible()
    assert page.locator("#class-filter").input_value() != ""
    assert page.locator("#files li:visible").count() > 0


def test_csv_has_a_line_for_each_file_and_nothing_to_compute(page: Page, knee_dicom: bytes) -> None:
    files = [given("knee.dcm", knee_dicom), given('x","y.png'), given("bad.png", b"text")]
    formulas = [{**files[1], "name": name} for name in ("=1+1.png", "@cmd.png", "-2.png", " +3.png")]
    choose(page, *files, *formulas)
    until_classified(page)
    with page.expect_download() as saved:
        page.locator("#save").click()
    text = Path(saved.value.path()).read_text("utf-8-sig")
    lines = {line["file"]: line for line in csv.DictReader(io.StringIO(text))}
    assert len(lines) == 7
    knee = lines[f"{SECRET} knee.dcm"]
    assert knee["state"] == "done"
    assert knee["body_part_examined"] == "KNEE"
    assert 0 < float(knee["probability"]) <= 1
    assert (knee["model"], knee["model_version"]) == ("small", "1.0.0")
    assert lines[f"{SECRET} bad.png"]["problem_code"]
    assert f'{SECRET} x","y.png' in lines
    assert {"'=1+1.png", "'@cmd.png", "'-2.png", "' +3.png"} <= lines.keys()


def test_busy_service_is_asked_again_when_it_says_so_and_few_requests_are_under_way(page: Page) -> None:
    begun, running, most = [], [0], [0]

    def answer(route: Any) -> None:
        begun.append(time.monotonic())
        if len(begun) <= 2:
            status = 503 if len(begun) == 1 else 429
            route.fulfill(status=status, headers={"Retry-After": "1"}, json={"code": "busy", "detail": ""})
        else:
            route.continue_()

    def count(step: int) -> Callable[[Any], None]:
        def step_on(request: Any) -> None:
            running[0] += step if "/classify" in request.url else 0
            most[0] = max(most[0], running[0])

        return step_on

    page.on("request", count(1))
    page.on("requestfinished", count(-1))
    page.route("**/classify?*", answer)
    choose(page, *(given(f"{number}.png") for number in range(8)))
    until_classified(page)
    assert page.locator("#progress-text").inner_text() == "8 of 8 classified"
    assert 2 <= most[0] <= 4
    assert not [moment for moment in begun[3:] if moment - begun[1] < 0.95]  # what was under way by then, but no more


def test_cancelled_files_wait_until_they_are_tried_again(page: Page) -> None:
    page.route("**/classify?*", lambda _: None)  # never answered
    choose(page, *(given(f"{number}.png") for number in range(5)))
    page.locator("#files [data-kind=sending]").first.wait_for()
    page.locator("#cancel").click()
    page.locator("#files [data-kind=cancelled]").nth(4).wait_for()
    assert page.locator("#failure-title").inner_text() == "Cancelled"
    page.unroute("**/classify?*")
    page.locator("#retry-all").click()
    page.locator("#progress-text", has_text="5 of 5 classified").wait_for()


KEPT = """() => {
    window.kept = new Set();
    const [create, revoke] = [URL.createObjectURL, URL.revokeObjectURL];
    URL.createObjectURL = (blob) => { const url = create.call(URL, blob); kept.add(url); return url; };
    URL.revokeObjectURL = (url) => { kept.delete(url); revoke.call(URL, url); };
}"""


def test_of_three_hundred_files_only_the_pictures_looked_at_last_are_kept(page: Page) -> None:
    page.evaluate(KEPT)
    answers: dict[bool, Any] = {}
    asked = []

    def answer(route: Any) -> None:
        with_pictures = "grad_cam=true" in route.request.url
        asked.append(with_pictures)
        if with_pictures not in answers:
            answers[with_pictures] = route.fetch().json()
        route.fulfill(json=answers[with_pictures])

    page.route("**/classify?*", answer)
    choose(page, *(given(f"{number}.png", synthetic_png(0)) for number in range(300)))
    until_classified(page)
    assert page.locator("#files li").count() == 300
    assert asked.count(True) == 1
    for number in range(2, 11):
        page.keyboard.press("ArrowDown")
        page.locator("#place", has_text=f"{number} of 300").wait_for()
        page.locator("#images").wait_for()
    assert asked.count(True) == 10
    assert page.evaluate("kept.size") == 2 * 8
    page.locator("#clear").click()
    page.locator("#invitation").wait_for()
    assert page.evaluate("kept.size") == 0


# ---- Model, key, looks -----------------------------------------------------------------------------------------------


def test_model_is_told_with_its_figures(open_page: Open, server: Server) -> None:
    description = server.client.get("/model").json()
    figure = {"value": 0.966, "low": 0.95, "high": 0.98, "n": 500}
    description["metrics"] = {"holdout": {"holdout_external": {"top_1": figure}}}
    page = open_page()
    page.route("**/model", lambda route: route.fulfill(json=description))
    page.reload()
    page.locator("#model-open:enabled").click()
    text = page.locator("#about").inner_text()
    for expected in ("small 1.0.0", "Hold-out, other sites, 500 radiographs", "96.6 %", "95.0 % to 98.0 %", "Knee"):
        assert expected in text
    page.keyboard.press("Escape")
    assert not page.locator("#about").is_visible()


@pytest.mark.parametrize(("own", "said"), [(0.923, "than the 92.3 %"), (1.0, "never sorts this class by itself")])
def test_review_is_explained_by_the_threshold_of_the_class(
    open_page: Open, server: Server, own: float, said: str
) -> None:
    description = server.client.get("/model").json()
    best = server.classify(synthetic_png(1)).json()["classes"][0]["label"]
    description["review_thresholds"] = dict.fromkeys(description["review_thresholds"], 0.777) | {best: own}
    page = open_page()
    page.route("**/model", lambda route: route.fulfill(json=description))
    page.reload()
    page.locator("#model-open:enabled").wait_for()
    page.route("**/classify?*", lambda route: route.fulfill(json=route.fetch().json() | {"decision": "review"}))
    choose(page, given("a.png", synthetic_png(1)))
    page.locator("#result").wait_for()
    assert said in page.locator("#decision-text").inner_text()
    assert "77.7" not in page.locator("#decision-text").inner_text()


@pytest.mark.parametrize(
    ("thresholds", "line", "marked"),
    [
        ((0.9, 0.9, 0.9, 0.9), "below 90.0 %", 0),
        ((0.9, 1.0, 0.95, 0.9), "below 90.0 % to 95.0 %, by class", 1),
        ((1.0, 1.0, 1.0, 1.0), "always", 4),
    ],
)
def test_thresholds_of_the_classes_are_told_in_one_line(
    open_page: Open, server: Server, thresholds: tuple[float, ...], line: str, marked: int
) -> None:
    description = server.client.get("/model").json()
    labels = [entry["label"] for entry in description["classes"]]
    description["review_thresholds"] = dict(zip(labels, thresholds, strict=True))
    page = open_page()
    page.route("**/model", lambda route: route.fulfill(json=description))
    page.reload()
    page.locator("#model-open:enabled").click()
    assert page.locator("#about-facts dd").nth(1).inner_text() == line
    names = page.locator("#about-classes").inner_text()
    assert names.count("(always reviewed)") == marked
    assert names.replace(" (always reviewed)", "") == "Foot, Hand, Knee, Not musculoskeletal"
    titles = [page.locator("#about-classes span").nth(index).get_attribute("title") for index in range(4)]
    assert titles[0] == ("Review: always" if thresholds[0] == 1 else "Review: below 90.0 %")


def test_model_that_is_replaced_meanwhile_is_noticed(page: Page, server: Server) -> None:
    newer = server.client.get("/model").json() | {"version": "2.0.0"}
    page.route("**/model", lambda route: route.fulfill(json=newer))
    named = {"model": {"name": "small", "version": "2.0.0"}}
    page.route("**/classify?*", lambda route: route.fulfill(json=route.fetch().json() | named))
    choose(page, given("a.png"))
    page.locator("#model-name", has_text="small 2.0.0").wait_for()


KEY = "correct-horse-battery"


def test_key_is_asked_for_where_the_service_wants_one_and_kept_in_memory(open_page: Open) -> None:
    def guard(route: Any) -> None:
        if route.request.headers.get("x-api-key") == KEY:
            route.continue_()
        else:
            route.fulfill(status=401, json={"code": "unauthorized", "detail": ""})

    page = open_page()
    for path in ("**/model", "**/classify?*"):
        page.route(path, guard)
    page.reload()
    page.locator("#key-form").wait_for()
    choose(page, given("a.png"), given("b.png"))  # may be chosen before
    page.locator("#key").fill("wrong-horse-battery")
    page.keyboard.press("Enter")
    page.locator("#key-text", has_text="not accepted").wait_for()
    page.locator("#key").fill(KEY)
    page.keyboard.press("Enter")
    page.locator("#progress-text", has_text="2 of 2 classified").wait_for()
    assert not page.locator("#key-form").is_visible()
    assert page.evaluate("[localStorage.length, sessionStorage.length, document.cookie]") == [0, 0, ""]
    page.reload()
    page.locator("#key-form").wait_for()


@pytest.mark.parametrize("width", [320, 360, 768])
def test_narrow_window_does_not_scroll_sideways(page: Page, width: int) -> None:
    page.set_viewport_size({"width": width, "height": 740})
    choose(page, given("a.png"), given("b" * 80 + ".png"))
    until_classified(page)
    page.locator("#images").wait_for()
    assert page.evaluate("document.documentElement.scrollWidth") <= width
    for name in ("summary-open", "model-open"):
        page.locator(f"#{name}").click()
        assert page.evaluate("document.documentElement.scrollWidth") <= width
        page.keyboard.press("Escape")


@pytest.mark.parametrize("size", [(1280, 800), (2560, 1440)])
def test_screen_is_filled_and_nothing_scrolls_but_the_lists(page: Page, size: tuple[int, int]) -> None:
    page.set_viewport_size({"width": size[0], "height": size[1]})
    choose(page, given("a.png"), given("b.png"))
    page.locator("#images").wait_for()
    assert page.evaluate("[document.documentElement.scrollWidth, document.documentElement.scrollHeight]") == list(size)
    stage = page.locator(".stage").bounding_box()
    assert stage["width"] * stage["height"] > 0.35 * size[0] * size[1]  # lots of the radiograph


@pytest.mark.parametrize("scheme", ["light", "dark"])
def test_text_stands_out_from_its_ground(open_page: Open, knee_dicom: bytes, scheme: str) -> None:
    page = open_page(color_scheme=scheme)
    pairs = page.evaluate(CONTRASTS)
    choose(page, given("a.dcm", knee_dicom), given("b.png"), given("c.png", b"text"))
    page.route("**/classify?*", lambda route: route.fulfill(json=changed(route.fetch().json(), agrees=False)))
    until_classified(page)
    page.locator("#images").wait_for()
    pairs += page.evaluate(CONTRASTS)
    page.keyboard.press("ArrowDown")
    page.keyboard.press("ArrowDown")
    page.locator("#failure").wait_for()
    pairs += page.evaluate(CONTRASTS)
    for name in ("summary", "model"):
        page.locator(f"#{name}-open").click()
        pairs += page.evaluate(CONTRASTS)
        page.keyboard.press("Escape")
    assert len(pairs) > 100
    assert [pair for pair in pairs if pair["contrast"] < SMALLEST_CONTRAST] == []


CONTRASTS = """() => {
    const luminance = ([r, g, b]) => [r, g, b].map((value) => value / 255)
        .map((value) => (value <= 0.04045 ? value / 12.92 : ((value + 0.055) / 1.055) ** 2.4))
        .reduce((sum, value, index) => sum + value * [0.2126, 0.7152, 0.0722][index], 0);
    const numbers = (text) => text.match(/[\\d.]+/g).map(Number);
    const ground = (one) => {
        for (let at = one; at; at = at.parentElement) {
            const colour = numbers(getComputedStyle(at).backgroundColor);
            if (colour.length === 3 || colour[3] === 1) return colour;
        }
        return [255, 255, 255];
    };
    return [...document.querySelectorAll("header *, main *, dialog[open] *")]
        .filter((one) => one.checkVisibility() && !one.disabled && !one.closest(":disabled"))
        .filter((one) => [...one.childNodes].some((node) => node.nodeType === 3 && node.textContent.trim()))
        .map((one) => {
            const both = [numbers(getComputedStyle(one).color), ground(one)].map(luminance);
            const [high, low] = both.sort((a, b) => b - a);
            return { text: one.textContent.trim().slice(0, 30), contrast: (high + 0.05) / (low + 0.05) };
        });
}"""
