"""The requests that a plan counts are those that a sort makes."""

import json
from collections import Counter
from pathlib import Path

import pytest

from samx.artifact import resolve
from samx.storage import open_storage
from service.sorting.request_counts import Work, of_listing, of_merge, of_shards, of_start
from service.sorting.summary_page import THUMBNAILS
from tests.faulty_proxy import faulty_proxy
from tests.s3_server import S3Server
from tests.service.files import dicom_file
from tests.service.sorting.conftest import fill, sort
from tests.small_artifact import synthetic_png

OBJECTS = {f"{number:02d}.png": synthetic_png(number) for number in range(9)} | {
    **{f"{number:02d}.dcm": dicom_file(rows=100 + number, BodyPartExamined="KNEE") for number in range(20, 22)},
    "90.txt": b"Dear colleague",
}


ALL_OUTPUTS = ("--copies", "--tags", "--dicom")
WHOLE, INDEXED = ((),), (("--shard", "0/2"), ("--shard", "1/2"), ("--merge",))


@pytest.mark.parametrize(
    ("shard_size", "outputs", "calls"),
    [(5, (), WHOLE), (2, ALL_OUTPUTS, WHOLE), (5, ALL_OUTPUTS, INDEXED)],
)
def test_a_sort_makes_the_requests_of_the_plan(
    s3_server: S3Server,
    s3_url: str,
    small_artifact: Path,
    monkeypatch: pytest.MonkeyPatch,
    shard_size: int,
    outputs: tuple[str, ...],
    calls: tuple[tuple[str, ...], ...],
) -> None:
    fill(open_storage(f"{s3_url}/in"), OBJECTS)
    version = resolve(open_storage(small_artifact))
    for item in version.list():
        open_storage(f"{s3_url}/model").write(item.key, version.read(item.key))
    num_model_files = len(list(version.list())) - 2
    seen = Counter[str]()
    for more in calls:
        with faulty_proxy(s3_server.endpoint, share=0) as proxy, monkeypatch.context() as patch:
            patch.setenv("AWS_ENDPOINT_URL", proxy.endpoint)
            arguments = (f"{s3_url}/in", f"{s3_url}/out", "--model", f"{s3_url}/model", "--job", "a", *more, *outputs)
            assert sort(*arguments, "--shard-size", str(shard_size), "--processes", "1") == 0
        assert proxy.kinds["progress"] >= (0 if more == ("--merge",) else 2)
        seen += Counter({kind: n for kind, n in proxy.kinds.items() if kind not in ("progress", "look")})
    rows = [json.loads(line) for line in open_storage(f"{s3_url}/out/_sort/a").read("manifest.jsonl").splitlines()]
    shown = Counter((row["decision"], row["label"]) for row in rows if row["decision"] in THUMBNAILS)
    work = Work(
        num_objects=len(OBJECTS),
        shard_size=shard_size,
        num_copied=sum(bool(row["copied_to"]) for row in rows),
        tags="--tags" in outputs,
        num_described=sum(bool(row["dicom_copied_to"]) for row in rows),
        num_model_files=num_model_files,
        num_thumbnails=sum(min(count, THUMBNAILS[decision]) for (decision, _), count in shown.items()),
    )
    assert (work.num_copied > 0) == bool(outputs)
    expected = of_start(work, is_first=True) + of_listing(work) + of_shards(work)
    expected += of_merge(work, alone=calls == INDEXED)
    if calls == INDEXED:
        expected += of_start(work, is_first=False)
    assert seen == expected
