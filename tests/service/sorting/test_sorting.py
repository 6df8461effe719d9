"""Sorting from the command line: one row per object, whatever happens."""

import csv
import io
import json
import random
import threading
import time
from pathlib import Path
from typing import Any

import pyarrow.parquet as pq
import pytest

from samx.storage import open_storage
from service.__main__ import main
from tests.faulty_proxy import faulty_proxy
from tests.s3_server import S3Server
from tests.service.files import PATIENT
from tests.service.sorting.conftest import BAD, fill, listing, merged, sort, start_sort
from tests.small_artifact import synthetic_png, write_small_artifact

pytestmark = pytest.mark.slow

SMALL = ("--shard-size", "16", "--processes", "2")


def rows_of(destination: str, job: str) -> list[dict[str, Any]]:
    return [json.loads(line) for line in merged(destination, job)["manifest.jsonl"].splitlines()]


def test_every_object_has_one_row_in_order(
    places: tuple[str, str], objects: dict[str, bytes], small_artifact: Path, capfd: pytest.CaptureFixture[str]
) -> None:
    source, destination = places
    before = listing(open_storage(source))
    assert sort(source, destination, "--model", str(small_artifact), "--job", "first", *SMALL) == 0
    files, rows = merged(destination, "first"), rows_of(destination, "first")
    assert [row["key"] for row in rows] == sorted(objects)
    assert {row["key"]: row["etag"] for row in rows} == before == listing(open_storage(source))
    assert {row["key"]: row["code"] for row in rows if row["decision"] == "unreadable"} == BAD
    assert all(row["label"] and 0 < row["probability"] <= 1 for row in rows if row["decision"] != "unreadable")
    assert {row["model"] for row in rows} == {"small 1.0.0"}
    knees = [row for row in rows if row["key"].startswith("dicom/")]
    assert {(row["tag_body_part_examined"], row["laterality"]) for row in knees} == {("KNEE", "L")}
    assert all(row["tag_agrees"] == (row["label"] == "knee") for row in knees)
    table = list(csv.DictReader(io.StringIO(files["manifest.csv"].decode())))
    assert [(row["key"], row["label"]) for row in table] == [(row["key"], row["label"]) for row in rows]
    assert pq.read_table(io.BytesIO(files["manifest.parquet"])).to_pylist() == rows
    shown = capfd.readouterr()
    assert PATIENT.lower() not in (files["summary.html"].decode() + shown.out + shown.err).lower()


def test_a_row_is_what_the_classifier_answers(tmp_path: Path, small_artifact: Path) -> None:
    from samx.classifier import load_classifier

    fill(open_storage(tmp_path / "in"), {f"{number:02d}.png": synthetic_png(number) for number in range(40)})
    assert sort(str(tmp_path / "in"), str(tmp_path / "out"), "--model", str(small_artifact), "--job", "a") == 0
    classifier, _ = load_classifier(small_artifact)
    for number, row in enumerate(rows_of(str(tmp_path / "out"), "a")):
        (prediction,) = classifier.classify([classifier.read(synthetic_png(number))[1]])
        assert (row["label"], row["decision"]) == (prediction.label, prediction.decision)
        assert row["probability"] == pytest.approx(float(prediction.probabilities.max()), abs=2e-5)


def test_one_of_a_model_s_two_networks_gives_all_rows(
    tmp_path: Path, small_engines: dict[str, bytes], capfd: pytest.CaptureFixture[str]
) -> None:
    model = write_small_artifact(tmp_path / "models", engine=small_engines["fp32"], student_seed=0)
    fill(open_storage(tmp_path / "in"), {"a.png": synthetic_png(1)})
    begun = tmp_path / "out" / "_sort" / "a" / "work" / "network.json"
    begun.parent.mkdir(parents=True)
    begun.write_text('{"network": "reference"}')  # by a worker on a GPU
    command = (str(tmp_path / "in"), str(tmp_path / "out"), "--model", str(model), "--job", "a")
    assert sort(*command) == 2
    assert "begun by the model's reference network, and its student network would answer here" in capfd.readouterr().err
    begun.unlink()
    assert sort(*command) == sort(*command) == 0
    assert json.loads(begun.read_text()) == {"network": "student"}


def test_copies_are_made_once_and_undo_takes_them_back(
    places: tuple[str, str], objects: dict[str, bytes], small_artifact: Path
) -> None:
    source, destination = places
    out = open_storage(destination)
    out.write("notes.txt", b"was here before")
    before, originals = listing(out), listing(open_storage(source))
    outputs = ("--copies", "--dicom") + (("--tags",) if source.startswith("s3:") else ())
    assert sort(source, destination, "--model", str(small_artifact), "--job", "first", *outputs, *SMALL) == 0
    rows = rows_of(destination, "first")
    copies = {row["copied_to"] for row in rows}
    assert "" not in copies
    assert len(copies) == len(set(objects.values())), "twins share their copy"
    assert all(out.read(row["copied_to"]) == objects[row["key"]] for row in rows)
    described = {row["dicom_copied_to"] for row in rows} - {""}
    made = set(listing(out)) - set(before)
    assert {key for key in made if not key.startswith(("_sort/", "_jobs/", "_latest/"))} == copies | described
    assert all(row["copied_to"].startswith("_unreadable/") for row in rows if row["code"])
    assert main(["undo", destination, "first"]) == 0
    assert listing(out) == before
    assert listing(open_storage(source)) == originals


def test_parts_of_an_indexed_job_merge_to_the_same(places: tuple[str, str], small_artifact: Path) -> None:
    source, destination = places
    options = ("--model", str(small_artifact), "--shard-size", "8", "--processes", "1", "--job", "job", "--copies")
    assert sort(source, f"{destination}-one", *options) == 0
    parts = (source, f"{destination}-parts", *options)
    assert sort(*parts, "--merge") == 2, "nothing is sorted yet"
    for index in (0, 5, 7, 3, 1, 2, 6, 4):
        assert sort(*parts, "--shard", f"{index}/8") == 0
    assert sort(*parts, "--merge") == 0
    assert merged(f"{destination}-one", "job") == merged(f"{destination}-parts", "job")


def test_the_same_source_again_does_what_is_new_or_changed(
    places: tuple[str, str], small_artifact: Path, capfd: pytest.CaptureFixture[str]
) -> None:
    source, destination = places
    model = ("--model", str(small_artifact))
    assert sort(source, destination, *model, *SMALL) == 0
    capfd.readouterr()
    storage = open_storage(source)
    storage.delete("png/005.png")
    storage.write("png/006.png", synthetic_png(600))
    storage.write("zz.png", synthetic_png(601))
    assert sort(source, destination, *model, *SMALL) == 0
    shown = capfd.readouterr().out
    assert "66 objects" in shown
    assert "64 of them as they were" in shown
    job = shown.split("Job ")[1].split(":")[0]
    assert sort(source, f"{destination}-afresh", *model, *SMALL, "--job", "afresh") == 0
    assert merged(destination, job)["manifest.jsonl"] == merged(f"{destination}-afresh", "afresh")["manifest.jsonl"]
    earlier = job[:-1] + "1"
    assert main(["undo", destination, earlier]) == 2
    assert f"job {job} builds on {earlier}" in capfd.readouterr().err
    assert main(["undo", destination, job]) == 0
    assert main(["undo", destination, earlier]) == 0
    assert listing(open_storage(destination)) == {}


def test_a_dry_run_does_nothing(
    places: tuple[str, str], small_artifact: Path, capfd: pytest.CaptureFixture[str]
) -> None:
    source, destination = places
    assert sort(source, destination, "--model", str(small_artifact), "--dry-run", "--limit", "10") == 0
    assert "Would sort 10 objects" in capfd.readouterr().out
    assert listing(open_storage(destination)) == {}


@pytest.mark.parametrize("place", ["", "/in", "/in/below"])
def test_places_inside_each_other_are_refused(
    tmp_path: Path, small_artifact: Path, place: str, capfd: pytest.CaptureFixture[str]
) -> None:
    assert sort(f"{tmp_path}/in", f"{tmp_path}{place}", "--model", str(small_artifact)) == 2
    assert "lie inside each other" in capfd.readouterr().err


def test_an_empty_source_and_a_missing_bucket_say_so_at_once(
    s3_url: str, small_artifact: Path, capfd: pytest.CaptureFixture[str]
) -> None:
    model = ("--model", str(small_artifact))
    for source, code in ((f"{s3_url}/nothing", "source_empty"), ("s3://no-such-bucket-here/x", "no_bucket")):
        began = time.monotonic()
        assert sort(source, f"{s3_url}/out", *model) == 2
        assert f"samx sort: {code}: " in capfd.readouterr().err
        assert time.monotonic() - began < 5
    assert sort(f"{s3_url}/nothing", "s3://no-such-bucket-here/out", *model) == 2
    assert "no_bucket" in capfd.readouterr().err


def test_what_is_deleted_or_replaced_after_the_listing_is_recorded(
    tmp_path: Path, objects: dict[str, bytes], small_artifact: Path
) -> None:
    from service.sorting.command import make_request
    from service.sorting.job import create_job
    from service.sorting.manifest import freeze

    source, destination = str(tmp_path / "in"), str(tmp_path / "out")
    fill(open_storage(source), objects)
    request = make_request(source=source, destination=destination, model=str(small_artifact / "1.0.0"), shard_size=16)
    freeze(create_job(request, "late"), threading.Event())
    open_storage(source).delete("png/003.png")
    open_storage(source).write("png/004.png", synthetic_png(77))
    assert sort(source, destination, "--model", str(small_artifact), "--job", "late", *SMALL) == 0
    codes = {row["key"]: row["code"] for row in rows_of(destination, "late") if row["code"]}
    assert codes == BAD | {"png/003.png": "object_gone", "png/004.png": "object_changed"}


def test_killed_at_any_moment_and_done_twice_at_once_gives_the_same_bytes(
    tmp_path: Path, objects: dict[str, bytes], small_artifact: Path
) -> None:
    """kill -9 of one of two workers on the same shards, again and again, until one of them comes through."""
    source = str(tmp_path / "in")
    fill(open_storage(source), objects)
    arguments = ("--model", str(small_artifact), "--job", "job", "--copies", "--shard-size", "4", "--processes", "1")
    assert sort(source, str(tmp_path / "calm"), *arguments) == 0
    random_moments = random.Random(7)
    disturbed, num_kills = str(tmp_path / "disturbed"), 0
    for _ in range(5):
        workers = [start_sort(source, disturbed, *arguments) for _ in range(2)]
        time.sleep(random_moments.uniform(2.5, 5.5))
        for worker in workers:
            num_kills += worker.poll() is None
            worker.kill()
            worker.communicate()
    assert num_kills
    assert sort(source, disturbed, *arguments) == 0
    assert merged(str(tmp_path / "calm"), "job") == merged(disturbed, "job")
    calm, other = (set(listing(open_storage(tmp_path / name))) for name in ("calm", "disturbed"))
    assert {key for key in calm ^ other if not key.startswith("_sort/job/work/")} == set()


def test_failing_calls_change_nothing(
    s3_server: S3Server, s3_url: str, objects: dict[str, bytes], small_artifact: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """One call in twenty is throttled, fails, is reset before or within its answer, or is done and not answered."""
    source = f"{s3_url}/in"
    fill(open_storage(source), objects)
    arguments = ("--model", str(small_artifact), "--job", "job", "--copies", "--shard-size", "8", "--processes", "2")
    assert sort(source, f"{s3_url}/calm", *arguments) == 0
    with faulty_proxy(s3_server.endpoint, share=0.05, seed=3) as proxy:
        monkeypatch.setenv("AWS_ENDPOINT_URL", proxy.endpoint)
        assert sort(source, f"{s3_url}/disturbed", *arguments) == 0
    monkeypatch.setenv("AWS_ENDPOINT_URL", s3_server.endpoint)
    assert sum(proxy.faults.values()) > 0.02 * proxy.num_calls
    assert merged(f"{s3_url}/calm", "job") == merged(f"{s3_url}/disturbed", "job")
    calm, other = (set(listing(open_storage(f"{s3_url}/{name}"))) for name in ("calm", "disturbed"))
    assert {key for key in calm ^ other if not key.startswith("_sort/job/work/shards/")} == set()
    assert main(["undo", f"{s3_url}/disturbed", "job"]) == 0
    assert listing(open_storage(f"{s3_url}/disturbed")) == {}


def test_a_cancelled_job_ends_before_it_is_done(
    tmp_path: Path, objects: dict[str, bytes], small_artifact: Path
) -> None:
    from service.sorting.command import make_request
    from service.sorting.job import Job

    source, destination = str(tmp_path / "in"), str(tmp_path / "out")
    fill(open_storage(source), {f"{number:05d}.png": synthetic_png(number) for number in range(3000)})
    worker = start_sort(source, destination, "--model", str(small_artifact), "--job", "long", "--processes", "1")
    job = Job("long", make_request(source=source, destination=destination, model=str(small_artifact / "1.0.0")))
    deadline = time.monotonic() + 60
    while not list(job.work.list("progress/")) and time.monotonic() < deadline:
        time.sleep(0.1)
    time.sleep(1)
    assert worker.poll() is None
    job.cancel()
    output, _ = worker.communicate(timeout=60)
    assert worker.returncode == 75
    assert b"job long was cancelled" in output
    assert not job.is_done


def test_a_merge_waits_for_its_parts_as_long_as_it_is_told(tmp_path: Path, small_artifact: Path) -> None:
    fill(open_storage(tmp_path / "in"), {f"{number:02d}.png": synthetic_png(number) for number in range(20)})
    places = (str(tmp_path / "in"), str(tmp_path / "out"), "--model", str(small_artifact), "--job", "parts")
    places += ("--shard-size", "10", "--processes", "1")
    assert sort(*places, "--shard", "0/2") == 0
    assert sort(*places, "--merge") == 2
    waiting, stopped = (start_sort(*places, "--merge", "120") for _ in range(2))
    for process in (waiting, stopped):
        assert process.stdout is not None
        assert process.stdout.readline().startswith(b"Job parts: 20 objects")
    stopped.terminate()
    output, _ = stopped.communicate(timeout=30)
    assert (stopped.returncode, b"waited for its parts and was interrupted" in output) == (75, True)
    assert waiting.poll() is None
    assert sort(*places, "--shard", "1/2") == 0
    output, _ = waiting.communicate(timeout=60)
    assert waiting.returncode == 0, output.decode()
    assert len(rows_of(places[1], "parts")) == 20
