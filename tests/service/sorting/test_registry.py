import json
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

import pytest

from samx.errors import SortRefused
from samx.storage import open_storage
from service.sorting.job import Job, SortRequest
from service.sorting.registry import MOST_ATTEMPTS, JobRecord, Registry


@pytest.fixture(params=["folder", "s3"])
def url(request: pytest.FixtureRequest, tmp_path: Path) -> str:
    return f"{tmp_path if request.param == 'folder' else request.getfixturevalue('s3_url')}/jobs"


@pytest.fixture
def folder(tmp_path: Path) -> str:
    return str(tmp_path / "jobs")


def job(number: int, tmp_path: Path) -> Job:
    request = SortRequest(source=str(tmp_path / "in"), destination=str(tmp_path / "out"), model="model")
    return Job(f"job-{number:05d}", request)


def set_fields(url: str, job_id: str, **fields: object) -> None:
    """What another replica, at another time, could have written."""
    key, jobs = f"jobs/{job_id}.json", open_storage(url)
    jobs.write(key, json.dumps(json.loads(jobs.read(key)) | fields).encode())


def test_a_job_is_found_by_every_replica(url: str, tmp_path: Path) -> None:
    record = Registry(url).add(job(1, tmp_path))
    assert record.state == "waiting"
    assert Registry(url).get("job-00001") == record
    assert Registry(url).page(10) == [record]


def test_a_job_added_again_stays_as_it_is(url: str, tmp_path: Path) -> None:
    jobs = Registry(url)
    jobs.add(job(1, tmp_path))
    claimed = jobs.claim()
    assert jobs.add(job(1, tmp_path)) == claimed
    assert len(jobs.page(10)) == 1


@pytest.mark.parametrize("name", ["job-9", "", "../jobs/job-00001", "Job", "a" * 70])
def test_an_unknown_or_odd_name_is_no_job(folder: str, tmp_path: Path, name: str) -> None:
    Registry(folder).add(job(1, tmp_path))
    with pytest.raises(SortRefused) as refused:
        Registry(folder).get(name)
    assert refused.value.code == "no_job"


def test_pages_hold_every_job_once_the_newest_first(url: str, tmp_path: Path) -> None:
    jobs = Registry(url)
    created = [jobs.add(job(number, tmp_path)).created_at for number in range(25)]
    assert created == sorted(created)
    found: list[JobRecord] = []
    while page := jobs.page(10, after=found[-1].id if found else ""):
        assert len(page) <= 10
        found += page
    assert [record.created_at for record in found] == pytest.approx(created[::-1])
    assert {record.id for record in found} == {f"job-{number:05d}" for number in range(25)}


def test_the_oldest_waiting_job_is_claimed_by_one_of_many(url: str, tmp_path: Path) -> None:
    for number in (2, 1):
        Registry(url).add(job(number, tmp_path))
    replicas = [Registry(url) for _ in range(8)]
    with ThreadPoolExecutor(8) as pool:
        claimed = [record for record in pool.map(Registry.claim, replicas) if record]
    ids = [record.id for record in claimed]
    assert sorted(ids) == sorted(set(ids)), "nobody has what another has"
    assert "job-00002" in ids
    assert all(record.state == "running" and record.started_at for record in claimed)
    rest = [record.id for _ in range(2) if (record := Registry(url).claim())]
    assert sorted(ids + rest) == ["job-00001", "job-00002"]


def test_a_job_whose_holder_fell_silent_is_taken_over(folder: str, tmp_path: Path) -> None:
    first, second = Registry(folder), Registry(folder)
    first.add(job(1, tmp_path))
    assert first.claim()
    assert second.claim() is None
    set_fields(folder, "job-00001", held_until=0.0)
    taken = second.claim()
    assert taken is not None
    assert second.is_ours(taken)
    assert not first.is_ours(first.keep("job-00001"))
    first.finish("job-00001", "failed", "late", "an opinion of one who has lost the job")
    assert first.get("job-00001").state == "running"


def test_keeping_prolongs_and_releasing_ends_the_hold(folder: str, tmp_path: Path) -> None:
    first, second = Registry(folder), Registry(folder)
    first.add(job(1, tmp_path))
    first.claim()
    set_fields(folder, "job-00001", held_until=0.0)
    first.keep("job-00001")
    assert second.claim() is None
    first.release("job-00001")
    assert second.claim() is not None


def test_a_finished_job_is_not_claimed_again(url: str, tmp_path: Path) -> None:
    jobs = Registry(url)
    jobs.add(job(1, tmp_path))
    jobs.claim()
    jobs.finish("job-00001", "done")
    assert jobs.claim() is None
    record = jobs.get("job-00001")
    assert record.state == "done"
    assert record.finished_at
    assert not list(open_storage(url).list("open/"))


def test_a_mark_that_was_left_behind_is_removed(folder: str, tmp_path: Path) -> None:
    jobs = Registry(folder)
    jobs.add(job(1, tmp_path))
    set_fields(folder, "job-00001", state="done")
    assert jobs.claim() is None
    assert not list(open_storage(folder).list("open/"))


def test_failures_that_may_pass_are_tried_again_a_few_times(folder: str, tmp_path: Path) -> None:
    jobs = Registry(folder)
    jobs.add(job(1, tmp_path))
    for number in range(1, MOST_ATTEMPTS + 1):
        assert jobs.claim() is not None
        jobs.try_later("job-00001", "storage_unavailable", "no answer")
        assert jobs.claim() is None, "not at once"
        assert jobs.get("job-00001").num_attempts == number
        if number < MOST_ATTEMPTS:
            assert jobs.get("job-00001").state == "waiting"
            set_fields(folder, "job-00001", held_until=0.0)
    record = jobs.get("job-00001")
    assert (record.state, record.code, record.detail) == ("failed", "storage_unavailable", "no answer")


def test_a_cancelled_job_says_so_in_its_destination(url: str, tmp_path: Path) -> None:
    jobs = Registry(url)
    jobs.add(job(1, tmp_path))
    claimed = jobs.claim()
    assert claimed is not None
    record = Registry(url).cancel("job-00001")
    assert record.state == "cancelled"
    assert record.job.is_cancelled
    assert not jobs.is_ours(jobs.keep("job-00001")), "who works on it sees it"
    assert jobs.claim() is None
    assert jobs.cancel("job-00001") == record, "twice is once"


def test_a_job_that_is_done_cannot_be_cancelled(folder: str, tmp_path: Path) -> None:
    jobs = Registry(folder)
    jobs.add(job(1, tmp_path))
    jobs.claim()
    jobs.finish("job-00001", "done")
    with pytest.raises(SortRefused) as refused:
        jobs.cancel("job-00001")
    assert refused.value.code == "job_finished"
