"""The labelling page in a real browser, on a small run with the real server."""

import json
import shutil
import socket
import threading
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import httpx
import pytest
import uvicorn

from tests.browser import CHROMIUM, FLAGS
from tests.training.labelling.made_run import KINDS, make_run
from tests.training.small_run import small_config
from training.config import ClusterConfig, LabelConfig, TrainingConfig
from training.job import run_all, run_stage
from training.labelling.desk import Desk
from training.labelling.pool import Pictures, load_pool
from training.labelling.server import application
from training.run import Run

playwright = pytest.importorskip("playwright.sync_api", reason="playwright is not installed")

ATTRIBUTES = ("body_part_examined", "view_position", "site")
NUM_CLUSTERS = 16
SMALLEST_CONTRAST = 4.5  # WCAG 2.2, 1.4.3, text of normal size

pytestmark = pytest.mark.skipif(CHROMIUM is None, reason="no Chromium on PATH (apt-get install chromium)")

Page = Any  # playwright has no types where it is not installed


def run_config(export: Path, folder: Path) -> TrainingConfig:
    """A run of ten clusters in `folder/run`, which a person has to name."""
    clusters = ClusterConfig(num_clusters=NUM_CLUSTERS, pca_dim=8, sheet_columns=4)
    return small_config(export, folder, cluster=clusters, label=LabelConfig())


@pytest.fixture(scope="module")
def finished_run(export: Path, tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A run whose stage cluster is done and on which nothing is decided; never write into it."""
    folder = tmp_path_factory.mktemp("labelling")
    config = run_config(export, folder)
    for stage in ("index", "split", "pretrain", "cluster"):
        run_stage(config, stage)
    return folder / "run"


class Server:
    """The labelling server on a port of its own; it can go and come back."""

    def __init__(self, run: Path) -> None:
        with socket.socket() as probe:
            probe.bind(("127.0.0.1", 0))
            self.port = int(probe.getsockname()[1])
        self.run, self.url = run, f"http://127.0.0.1:{self.port}"
        self.start()

    def start(self) -> None:
        """Read the run anew and serve it."""
        pool = load_pool(str(self.run))
        self._pictures = Pictures(pool)
        desk = Desk(pool, ATTRIBUTES)
        app = application(desk, self._pictures, title="small", command="python -m training run --config small.toml")
        config = uvicorn.Config(app, port=self.port, log_level="warning", ws="none", timeout_graceful_shutdown=1)
        self._server = uvicorn.Server(config)
        self._thread = threading.Thread(target=self._server.run)
        self._thread.start()
        transport = httpx.HTTPTransport(retries=5)
        with httpx.Client(transport=transport, trust_env=False) as client:
            until(lambda: client.get(f"{self.url}/livez").status_code == 200)

    def stop(self) -> None:
        """Nobody answers any more."""
        self._server.should_exit = True
        self._thread.join(20)
        self._pictures.close()

    def state(self) -> dict[str, Any]:
        """What the server knows."""
        answer = httpx.get(f"{self.url}/api/state", params={"reader": "ZZ"}, trust_env=False).json()
        return dict(answer)

    def labels(self) -> dict[int, str | None]:
        """Label of each cluster."""
        return {row["id"]: row["label"] for row in self.state()["clusters"]}

    def decide(self, reader: str, **decision: Any) -> dict[str, Any]:
        """A decision of somebody else."""
        answer = httpx.post(
            f"{self.url}/api/decisions",
            json={"reader": reader, "seen": self.state()["number"], "force": False, **decision},
            headers={"X-SAMX": "1"},
            trust_env=False,
        )
        assert answer.status_code == 200, answer.text
        return dict(answer.json())


def until(holds: Callable[[], bool]) -> None:
    """Wait until something holds; fails after ten seconds."""
    waiting = threading.Event()
    for _ in range(1000):
        try:
            if holds():
                return
        except httpx.TransportError:
            pass
        waiting.wait(0.01)
    pytest.fail("it did not come about in ten seconds")


@pytest.fixture
def server(finished_run: Path, tmp_path: Path) -> Iterator[Server]:
    shutil.copytree(finished_run, tmp_path / "run")
    server = Server(tmp_path / "run")
    yield server
    server.stop()


@pytest.fixture(scope="module")
def browser() -> Iterator[Any]:
    with playwright.sync_playwright() as running:
        browser = running.chromium.launch(executable_path=CHROMIUM, args=list(FLAGS))
        yield browser
        browser.close()


@contextmanager
def reading(
    browser: Any, server: Server, reader: str, *, shown: str = "#sheet .tile:visible", **options: Any
) -> Iterator[Page]:
    """A reader with the page open; at the end nothing went elsewhere and no script failed or was blocked."""
    context = browser.new_context(viewport={"width": 1280, "height": 800}, **options)
    context.set_default_timeout(10_000)
    page = context.new_page()
    complaints: list[str] = []
    addresses: list[str] = []
    page.on("console", lambda message: complaints.append(message.text))
    page.on("pageerror", lambda error: complaints.append(str(error)))
    page.on("request", lambda request: addresses.append(request.url))
    page.goto(server.url)
    page.get_by_label("Initials").fill(reader)
    page.keyboard.press("Enter")
    ready(page, shown)
    yield page
    context.close()
    expected = ("responded with a status of", "net::ERR_")
    assert [text for text in complaints if not any(part in text for part in expected)] == []
    assert [url for url in addresses if not url.startswith((server.url, "data:", f"blob:{server.url}"))] == []


@pytest.fixture
def page(browser: Any, server: Server) -> Iterator[Page]:
    with reading(browser, server, "ab") as page:
        yield page


def ready(page: Page, shown: str = "#sheet .tile:visible") -> None:
    page.locator("body[data-ready]").wait_for()
    page.locator(shown).first.wait_for()


def current(page: Page) -> int:
    return int(page.locator("#cluster-title").inner_text().split()[-1])


def press(page: Page, key: str) -> int:
    """A key that leads to another cluster; returns the one it was pressed on."""
    before = current(page)
    page.keyboard.press(key)
    page.wait_for_function(
        "(id) => document.getElementById('cluster-title').textContent !== `Cluster ${id}`", arg=before
    )
    sheet_is_shown(page)
    return before


def sheet_is_shown(page: Page) -> None:
    """The sheet is that of the cluster in the title."""
    page.wait_for_function(
        "() => document.getElementById('sheet').ariaLabel.startsWith("
        "document.getElementById('cluster-title').textContent + ':')"
    )


def saved(page: Page) -> None:
    page.locator("#saved[data-state=saved]").wait_for()


def go_to(page: Page, cluster_id: int) -> None:
    page.locator("#jump-to").fill(str(cluster_id))
    page.keyboard.press("Enter")
    page.locator("#cluster-title").get_by_text(f"Cluster {cluster_id}", exact=True).wait_for()
    sheet_is_shown(page)


def largest(server: Server) -> int:
    return int(max(server.state()["clusters"], key=lambda row: row["size"])["id"])


def test_two_letters_and_enter_name_a_cluster_and_the_next_one_comes(page: Page, server: Server) -> None:
    page.keyboard.type("hum")
    page.get_by_role("option", name="Humerus").wait_for()
    named = press(page, "Enter")
    saved(page)
    assert server.labels()[named] == "humerus"
    assert current(page) != named
    assert page.locator("#named").inner_text() == f"1 of {len(server.labels())}"


def test_suggestion_is_taken_by_its_key_alone(page: Page, server: Server) -> None:
    first = page.locator("#name-box .labels li").first
    suggested = first.locator(".option-name").inner_text()
    assert first.locator(".option-why").inner_text()  # says why
    assert set(server.labels().values()) == {None}  # showing it decides nothing
    named = press(page, "1")
    saved(page)
    row = next(row for row in server.state()["clusters"] if row["id"] == named)
    name = next(
        one["name"] for one in httpx.get(f"{server.url}/api/run").json()["labels"] if one["label"] == row["label"]
    )
    assert suggested.startswith(name)
    (entry,) = server.state()["history"]
    assert entry["clusters"] == [named]


def test_unknown_word_becomes_a_label_only_when_asked_twice(page: Page, server: Server) -> None:
    page.keyboard.type("Finger splint")
    page.keyboard.press("Enter")
    page.locator("#name-box li[aria-selected=true]").get_by_text("finger_splint").wait_for()
    assert set(server.labels().values()) == {None}
    named = press(page, "Enter")
    saved(page)
    assert server.labels()[named] == "finger_splint"
    page.keyboard.type("fin")
    page.get_by_role("option", name="Finger splint").wait_for()  # an own label is completed from then on


def test_same_name_merges_two_clusters_and_renaming_moves_both(page: Page, server: Server) -> None:
    page.keyboard.type("knee")
    first = press(page, "Enter")
    second = press(page, "=")
    saved(page)
    assert server.labels()[first] == server.labels()[second] == "knee"
    page.keyboard.press("Alt+5")
    page.get_by_text("merged from 2 clusters").wait_for()
    page.get_by_role("button", name="Rename or merge Knee").click()
    page.get_by_label("New name for Knee").fill("patel")
    page.keyboard.press("Enter")
    page.get_by_role("button", name="Rename or merge Patella").wait_for()
    saved(page)
    assert server.labels()[first] == server.labels()[second] == "patella"


def test_discard_mixed_and_skip_have_a_key_each(page: Page, server: Server) -> None:
    discarded, mixed, skipped = press(page, "Delete"), press(page, "-"), press(page, "Space")
    saved(page)
    labels = server.labels()
    assert (labels[discarded], labels[mixed], labels[skipped]) == ("discard", "mixed", None)
    for _ in range(sum(label is None for label in labels.values()) - 1):
        press(page, "Delete")
    assert current(page) == skipped  # it comes back at the end
    page.keyboard.press("Delete")
    page.get_by_role("heading", name="Every cluster is decided").wait_for()
    saved(page)
    assert None not in server.labels().values()


def test_letters_of_a_label_are_never_taken_for_commands(page: Page, server: Server) -> None:
    page.keyboard.type("lower leg-2=")
    assert page.locator("#name-box input").input_value() == "lower leg-2="
    page.keyboard.press("Escape")
    page.locator("#jump-to").focus()
    page.keyboard.press("-")
    page.keyboard.press("Delete")
    page.keyboard.press("?")
    assert page.locator("#jump-to").input_value() == "-?"
    assert not page.locator("#help").is_visible()
    page.keyboard.press("Tab")  # out of the box, into the tiles
    page.keyboard.press("?")
    page.locator("#help").wait_for()
    page.keyboard.press("Delete")
    page.keyboard.press("Escape")
    page.locator("#help").wait_for(state="hidden")
    assert set(server.labels().values()) == {None}


def test_key_that_is_held_down_decides_once(page: Page, server: Server) -> None:
    page.wait_for_load_state("networkidle")
    before = current(page)
    for _ in range(5):
        page.keyboard.down("Delete")  # without an up: the browser says that it repeats
        page.wait_for_function(
            "(id) => !document.getElementById('sheet').ariaLabel.startsWith(`Cluster ${id}:`)", arg=before
        )
    page.keyboard.up("Delete")
    saved(page)
    assert [number for number, label in server.labels().items() if label == "discard"] == [before]


def test_undo_goes_back_to_the_cluster_and_redo_names_it_again(page: Page, server: Server) -> None:
    page.keyboard.type("hip")
    named = press(page, "Enter")
    saved(page)
    press(page, "Control+z")
    assert current(page) == named
    saved(page)
    assert server.labels()[named] is None
    page.keyboard.press("Control+y")
    page.locator("#cluster-label").get_by_text("Hip").wait_for()
    saved(page)
    assert server.labels()[named] == "hip"
    assert [entry["action"] for entry in server.state()["history"]] == ["redo", "undo", "name"]


def test_split_is_seen_before_it_is_made(page: Page, server: Server) -> None:
    whole = largest(server)
    go_to(page, whole)
    page.keyboard.press("/")
    page.get_by_text("Part 2", exact=True).wait_for()
    page.keyboard.press("3")
    page.get_by_text("Part 3", exact=True).wait_for()
    assert whole in server.labels()  # so far it is only looked at
    page.keyboard.press("Escape")
    page.locator("#rows").wait_for(state="hidden")
    page.keyboard.press("/")
    page.get_by_text("Part 2", exact=True).wait_for()
    press(page, "Enter")
    saved(page)
    parts = [row["id"] for row in server.state()["clusters"] if row["parent"] == whole]
    assert len(parts) == 2
    assert whole not in server.labels()
    assert current(page) in parts


def test_group_is_named_at_once_without_the_row_taken_out(page: Page, server: Server) -> None:
    sure = [row for row in server.state()["clusters"] if row["size"] >= 4 and row["suggestion"]]
    for row in sorted(sure, key=lambda row: -row["suggestion"]["confidence"]):
        server.decide("ZZ", action="split", clusters=[row["id"]], parts=4)  # parts of a pure cluster look the same
        alike = max(server.state()["clusters"], key=lambda row: row["group_size"])
        if alike["group_size"] > 2:
            break
    assert alike["group_size"] > 1  # how many look alike depends on the processor: features are learned
    decisions = server.state()["progress"]["decisions"]
    page.reload()
    ready(page)
    go_to(page, alike["id"])
    page.keyboard.press("+")
    rows = page.locator(".group-row")
    rows.nth(1).wait_for()
    ids = [int(text.split()[-1]) for text in rows.locator("strong").all_inner_texts()]
    page.keyboard.press("2")
    assert rows.nth(1).get_attribute("aria-pressed") == "false"
    page.keyboard.type("wri")
    press(page, "Enter")
    saved(page)
    labels = server.labels()
    assert labels[ids[1]] is None
    assert {labels[number] for number in [ids[0], *ids[2:]]} == {"wrist"}
    assert server.state()["history"][0]["clusters"] == sorted([ids[0], *ids[2:]])
    assert server.state()["progress"]["decisions"] == decisions + 2  # a name, and a row taken out


def test_one_radiograph_is_moved_out_in_the_viewer(page: Page, server: Server) -> None:
    tile = page.locator("#sheet .tile:visible").first
    position = int(tile.get_attribute("data-position"))
    tile.click()
    page.locator("#viewer-facts").get_by_text("Similarity").wait_for()
    page.get_by_text("Window ", exact=False).first.wait_for()
    page.keyboard.press("m")
    page.keyboard.type("ank")
    page.keyboard.press("Enter")
    saved(page)
    answer = httpx.get(f"{server.url}/api/radiographs/{position}").json()
    assert answer["correction"] == "ankle"
    page.keyboard.press("Escape")
    page.locator("#viewer").wait_for(state="hidden")
    page.get_by_role("button", name=f"Radiograph {position}, random, moved to Ankle").wait_for()


def test_dragging_widens_the_window_and_reset_brings_it_back(page: Page) -> None:
    page.locator("#sheet .tile:visible").first.click()
    shown = page.locator("#viewer-window")
    shown.get_by_text("Window").wait_for()
    page.locator("#viewer-picture:not(.waiting)").wait_for()
    before, pixels = shown.inner_text(), grey_sum(page)
    box = page.locator("#viewer-stage").bounding_box()
    page.mouse.move(box["x"] + 100, box["y"] + 100)
    page.mouse.down()
    page.mouse.move(box["x"] + 350, box["y"] + 100)
    page.mouse.up()
    page.wait_for_function("(text) => document.getElementById('viewer-window').textContent !== text", arg=before)
    assert grey_sum(page) != pixels
    page.keyboard.press("r")
    page.wait_for_function("(text) => document.getElementById('viewer-window').textContent === text", arg=before)
    assert grey_sum(page) == pixels
    page.keyboard.press("i")
    page.wait_for_function(f"() => {GREY_SUM} !== {pixels}")


GREY_SUM = """(() => {
    const canvas = document.getElementById("viewer-picture");
    const copy = new OffscreenCanvas(canvas.width, canvas.height).getContext("2d", { willReadFrequently: true });
    copy.drawImage(canvas, 0, 0);
    const { data } = copy.getImageData(0, 0, canvas.width, canvas.height);
    return data.reduce((sum, value) => sum + value, 0);
})()"""


def grey_sum(page: Page) -> int:
    return int(page.evaluate(GREY_SUM))


def test_audit_confirms_moves_and_takes_back(page: Page, server: Server) -> None:
    clusters = list(server.labels())
    for cluster_id in clusters:
        label = ("knee", "hand")[cluster_id % 2]  # so that half of the neighbours disagree
        server.decide("ZZ", action="name", clusters=[cluster_id], label=label)
    until(lambda: bool(httpx.get(f"{server.url}/api/audit").json()["items"]))
    page.reload()
    page.locator("body[data-ready]").wait_for()
    page.keyboard.press("Alt+3")
    first, second = httpx.get(f"{server.url}/api/audit").json()["items"][:2]
    page.locator("#audit-question h3").wait_for()
    page.locator("#audit-strip .tile.here").wait_for()
    page.keyboard.press("Enter")
    page.locator("#audit-place").get_by_text(f"{len(first['together'])} moved").wait_for()
    page.keyboard.press("Space")
    page.locator("#audit-place").get_by_text("1 confirmed").wait_for()
    saved(page)
    corrections = [
        httpx.get(f"{server.url}/api/radiographs/{item['position']}").json()["correction"] for item in (first, second)
    ]
    assert corrections == [first["alternative"], second["label"]]
    page.keyboard.press("Control+z")
    page.locator("#audit-place").get_by_text("0 confirmed").wait_for()
    saved(page)
    assert httpx.get(f"{server.url}/api/radiographs/{second['position']}").json()["correction"] is None


def test_audit_moves_suspects_together_but_not_what_was_taken_out(browser: Any, tmp_path: Path) -> None:
    strays = (1, 13, 25)
    make_run(tmp_path, num_radiographs=240, strays=dict.fromkeys(strays, "foot"))
    server = Server(tmp_path / "run")
    try:
        for cluster_id in range(12):
            server.decide("ZZ", action="name", clusters=[cluster_id], label=KINDS[cluster_id % 6])
        until(lambda: bool(httpx.get(f"{server.url}/api/audit").json()["items"]))
        first = httpx.get(f"{server.url}/api/audit").json()["items"][0]
        assert sorted(first["together"]) == list(strays)
        with reading(browser, server, "ab", shown="text=Every cluster is decided") as page:
            page.keyboard.press("Alt+3")
            page.get_by_text("move all 3 out").wait_for()
            page.get_by_text("This is its tile, enlarged").wait_for()  # the source is not there
            tile = page.locator(".companions .tile").first
            tile.click()
            page.get_by_text("move all 2 out").wait_for()
            kept_in = int(tile.get_attribute("data-position"))
            page.keyboard.press("Enter")
            page.locator("#audit-place").get_by_text("2 moved").wait_for()
            saved(page)
        corrections = {
            position: httpx.get(f"{server.url}/api/radiographs/{position}").json()["correction"] for position in strays
        }
        assert corrections == {position: None if position == kept_in else "foot" for position in strays}
    finally:
        server.stop()


def test_map_names_what_is_selected_with_the_keyboard(page: Page, server: Server) -> None:
    page.keyboard.press("Alt+2")
    page.wait_for_function("() => performance.getEntriesByName('map').length > 0")
    page.keyboard.press("ArrowRight")
    page.keyboard.press("Space")
    page.locator("#map-picked").get_by_text("1 cluster selected").wait_for()
    page.keyboard.press("ArrowLeft")
    page.keyboard.press("Space")
    page.locator("#map-picked").get_by_text("2 clusters selected").wait_for()
    page.keyboard.press("Enter")  # takes no suggestion: many clusters are named by a word alone
    assert set(server.labels().values()) == {None}
    page.keyboard.type("should")
    page.keyboard.press("Enter")
    page.locator("#legend").get_by_text("Shoulder").wait_for()
    saved(page)
    assert sorted(server.labels().values(), key=str).count("shoulder") == 2


def test_rectangle_on_the_map_selects_every_cluster_in_it(page: Page, server: Server) -> None:
    page.keyboard.press("Alt+2")
    page.wait_for_function("() => performance.getEntriesByName('map').length > 0")
    page.get_by_text("Rectangle").click()
    box = page.locator("#map-canvas").bounding_box()
    page.mouse.move(box["x"] + 3, box["y"] + 3)
    page.mouse.down()
    page.mouse.move(box["x"] + box["width"] - 3, box["y"] + box["height"] - 3, steps=4)
    page.mouse.up()
    page.locator("#map-picked").get_by_text(f"{len(server.labels())} clusters selected").wait_for()


def test_second_reading_hides_the_label_and_gives_kappa(browser: Any, server: Server) -> None:
    first, second = list(server.labels())[:2]
    server.decide("AB", action="name", clusters=[first], label="knee")
    server.decide("AB", action="name", clusters=[second], label="hand")
    with reading(browser, server, "cd") as page:
        page.keyboard.press("Alt+4")
        page.locator("#reading-sheet .tile:visible").first.wait_for()
        assert "Knee" not in page.locator("#view-reading").inner_text()
        total = int(page.locator("#reading-place").inner_text().split()[2])
        for done in range(1, total + 1):
            page.keyboard.type("knee")
            page.keyboard.press("Enter")
            page.get_by_text(f"{done} of {total} read").wait_for()
        page.get_by_text("Cohen’s kappa").wait_for()  # noqa: RUF001
        saved(page)
        (pair,) = httpx.get(f"{server.url}/api/agreement").json()["pairs"]
        assert pair["clusters"] == total
        for one in pair["disagreements"]:
            assert page.locator("#agreement").get_by_role("link", name=f"Cluster {one['id']}").is_visible()


def test_reload_in_the_middle_loses_nothing(page: Page, server: Server) -> None:
    press(page, "Delete")
    saved(page)
    server.stop()
    page.keyboard.type("elb")
    waiting = press(page, "Enter")
    page.get_by_text("Not saved yet: 1").wait_for()
    stored = page.evaluate("JSON.stringify(Object.entries(localStorage))")
    assert "elbow" in stored
    server.start()
    page.reload()
    ready(page)
    saved(page)
    until(lambda: server.labels()[waiting] == "elbow")
    assert not [
        name
        for name, _ in json.loads(page.evaluate("JSON.stringify(Object.entries(localStorage))"))
        if "unsaved" in name
    ]


def test_server_that_goes_and_comes_back_gets_every_decision_in_order(page: Page, server: Server) -> None:
    page.wait_for_load_state("networkidle")  # the next sheets are there
    server.stop()
    first, second = press(page, "Delete"), press(page, "-")
    page.get_by_text("Not saved yet: 2").wait_for()
    taken_back = press(page, "Delete")
    page.get_by_text("Not saved yet: 3").wait_for()
    page.keyboard.press("Control+z")  # what was never sent is simply not sent
    page.get_by_text("Not saved yet: 2").wait_for()
    server.start()
    saved(page)
    labels = server.labels()
    assert (labels[first], labels[second], labels[taken_back]) == ("discard", "mixed", None)
    assert [entry["clusters"] for entry in server.state()["history"]] == [[second], [first]]  # newest first


def test_decision_whose_answer_is_lost_is_made_once(page: Page, server: Server) -> None:
    page.wait_for_load_state("networkidle")
    lost: list[int] = []

    def lose_the_first_answer(route: Any) -> None:
        answer = route.fetch()
        if lost:
            route.fulfill(response=answer)
        else:
            lost.append(answer.status)
            route.abort()

    page.route("**/api/decisions", lose_the_first_answer)
    named = press(page, "Delete")
    saved(page)
    assert lost == [200]
    (entry,) = server.state()["history"]
    assert entry["clusters"] == [named]


@pytest.mark.parametrize(("answer", "label"), [("Keep theirs", "knee"), ("Replace with mine", "hand")])
def test_second_reader_is_told_and_chooses(browser: Any, server: Server, answer: str, label: str) -> None:
    with reading(browser, server, "ab") as first, reading(browser, server, "cd") as second:
        cluster_id = largest(server)
        go_to(first, cluster_id)
        go_to(second, cluster_id)
        first.keyboard.type("knee")
        press(first, "Enter")
        saved(first)
        second.keyboard.type("hand")
        press(second, "Enter")
        bar = second.get_by_role("alert").filter(has_text="AB")
        bar.wait_for()
        assert "knee" in bar.inner_text()
        assert server.labels()[cluster_id] == "knee"
        second.reload()  # the question stays
        ready(second)
        bar.wait_for()
        bar.get_by_role("button", name=answer).click()
        bar.wait_for(state="hidden")
        saved(second)
        assert server.labels()[cluster_id] == label


def test_rest_is_left_out_after_a_question(page: Page, server: Server) -> None:
    press(page, "Delete")
    page.keyboard.press("Alt+5")
    page.get_by_role("button", name="Leave the rest out").click()
    page.get_by_role("button", name="Cancel").click()
    saved(page)
    assert None in server.labels().values()
    page.get_by_role("button", name="Leave the rest out").click()
    page.get_by_role("button", name="Leave them out").click()
    page.get_by_text("Every cluster is decided. Phase 2").wait_for()
    saved(page)
    assert sorted(set(server.labels().values())) == ["discard", "mixed"]
    assert page.locator("#command").inner_text() == "python -m training run --config small.toml"
    page.get_by_role("button", name="Undo entry 2").click()
    page.get_by_text("Phase 2 begins when").wait_for()
    saved(page)
    assert None in server.labels().values()


def test_run_that_was_named_on_the_page_goes_through_phase_2(page: Page, server: Server, export: Path) -> None:
    config = run_config(export, server.run.parent)
    page.keyboard.type("femur")
    named = press(page, "Enter")
    for _ in range(NUM_CLUSTERS - 2):
        press(page, "1" if page.locator("#name-box .option-why").count() else "=")
    saved(page)
    assert run_all(config) == "awaiting labels"  # one is left
    page.keyboard.press("-")
    page.get_by_text("Every cluster is decided").first.wait_for()
    saved(page)
    assert run_all(config) == "published"
    injected = Run(config).read_csv("label/labels.csv")
    assert {row["label"] for row in injected if int(row["cluster_id"]) == named} == {"femur"}
    assert len({row["label"] for row in injected}) >= 2
    page.reload()
    page.keyboard.press("Alt+5")
    page.locator("#continue").get_by_text("--again-from label").wait_for()


VIEWS = {1: 30, 2: 15, 3: 12, 4: 12, 5: 12}
"""Views and the controls each has at least, when some clusters are named."""


def open_view(page: Page, server: Server, view: int) -> None:
    """With some clusters named, so that there is something to audit, to read again and to undo."""
    for cluster_id in list(server.labels())[:6]:
        server.decide("ZZ", action="name", clusters=[cluster_id], label=("knee", "hand")[cluster_id % 2])
    page.reload()
    ready(page)
    page.keyboard.press(f"Alt+{view}")
    page.locator(f".tab[aria-current]:nth-child({view})").wait_for()
    page.wait_for_load_state("networkidle")


@pytest.mark.parametrize(("view", "at_least"), VIEWS.items())
def test_every_control_is_reached_by_tab_and_shows_it(page: Page, server: Server, view: int, at_least: int) -> None:
    open_view(page, server, view)
    wanted = page.evaluate(
        """() => [...document.querySelectorAll("button, input, a[href], select, canvas[tabindex]")]
            .filter((one) => one.offsetParent && !one.disabled && one.tabIndex >= 0)
            .filter((one) => one.type !== "radio" || one.checked)
            .map((one, index) => { one.dataset.control = index; return index; })"""
    )
    assert len(wanted) >= at_least
    reached, hidden = set(), []
    page.evaluate("document.activeElement.blur()")
    for _ in range(len(wanted) + 20):
        page.keyboard.press("Tab")
        number, visible = page.evaluate(
            """() => {
                const at = document.activeElement;
                const shown = at.type === "radio" ? at.nextElementSibling : at;
                const style = getComputedStyle(shown);
                return [at.dataset?.control, style.outlineStyle !== "none" || style.boxShadow !== "none"];
            }"""
        )
        if number is not None:
            reached.add(int(number))
            if not visible:
                hidden.append(number)
    missed = [page.locator(f'[data-control="{number}"]').inner_html()[:80] for number in set(wanted) - reached]
    assert missed == []
    assert hidden == []


@pytest.mark.parametrize("view", range(1, 6))
def test_page_fits_a_small_screen(page: Page, view: int) -> None:
    page.keyboard.press(f"Alt+{view}")
    page.locator(f".tab[aria-current]:nth-child({view})").wait_for()
    size = page.evaluate("[document.documentElement.scrollWidth, document.documentElement.scrollHeight]")
    assert size == [1280, 800]
    outside = page.evaluate(
        """() => [...document.querySelectorAll("header *, .decide > *, .actions *")]
            .filter((one) => one.offsetParent && !one.closest(".for-readers"))
            .filter((one) => one.getBoundingClientRect().right > innerWidth
                || (one.matches(".actions, header") && one.scrollWidth > one.clientWidth + 1))
            .map((one) => one.outerHTML.slice(0, 80))"""
    )
    assert outside == []


@pytest.mark.parametrize("scheme", ["light", "dark"])
@pytest.mark.parametrize("view", VIEWS)
def test_text_stands_out_from_its_ground(browser: Any, server: Server, scheme: str, view: int) -> None:
    with reading(browser, server, "ab", color_scheme=scheme) as page:
        open_view(page, server, view)
        pairs = page.evaluate(CONTRASTS)
    assert len(pairs) > 25
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
    return [...document.querySelectorAll("header *, main *")]
        .filter((one) => one.offsetParent && !one.disabled && !one.closest(":disabled"))
        .filter((one) => [...one.childNodes].some((node) => node.nodeType === 3 && node.textContent.trim()))
        .map((one) => {
            const both = [numbers(getComputedStyle(one).color), ground(one)].map(luminance);
            const [high, low] = both.sort((a, b) => b - a);
            return { text: one.textContent.trim().slice(0, 30), contrast: (high + 0.05) / (low + 0.05) };
        });
}"""


def test_next_sheet_was_fetched_before_it_is_asked_for(page: Page, server: Server) -> None:
    """So it is on the screen at once; how quickly, tests/benchmarks/labelling_page.py tells."""
    page.wait_for_load_state("networkidle")
    asked: list[str] = []
    page.on("request", lambda request: asked.append(request.url))
    press(page, "Delete")
    shown = httpx.get(f"{server.url}/api/clusters/{current(page)}").json()
    tiles = ",".join(map(str, [*shown["random"], *shown["nearest"], *shown["farthest"]]))
    assert [url for url in asked if f"of={tiles}&" in url] == []
    saved(page)
    assert page.evaluate("performance.getEntriesByName('next cluster').length") == 1
