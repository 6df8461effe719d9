"""Buckets as they are: keys of all kinds, versions, encryption, permissions that are missing or run out."""

import json
import threading
from collections.abc import Callable
from pathlib import Path
from typing import Any
from uuid import uuid4

import boto3
import pytest
from botocore.exceptions import ClientError

from samx.storage import open_storage
from service.sorting.job import create_job, make_request
from service.sorting.manifest import freeze
from tests.faulty_proxy import faulty_proxy
from tests.s3_server import S3Server
from tests.service.sorting.conftest import BAD, fill, merged, sort
from tests.small_artifact import synthetic_png

SMALL = ("--shard-size", "4", "--processes", "1")


@pytest.fixture
def client(s3_url: str) -> Any:
    del s3_url  # sets the environment
    return boto3.client("s3")


@pytest.fixture
def bucket(client: Any) -> str:
    """A bucket of its own with six radiographs below in/."""
    name = f"samx-{uuid4().hex[:12]}"
    client.create_bucket(Bucket=name)
    for number in range(6):
        client.put_object(Bucket=name, Key=f"in/{number}.png", Body=synthetic_png(number))
    return name


@pytest.fixture
def deny(s3_server: S3Server, client: Any, bucket: str) -> Callable[..., None]:
    """Forbids everybody an action on a part of the bucket, or allows all again."""
    if s3_server.name != "ceph":
        pytest.skip("moto's server enforces no bucket policy")

    def deny(action: str = "", part: str = "") -> None:
        if not action:
            client.delete_bucket_policy(Bucket=bucket)
            return
        statement = {
            "Effect": "Deny",
            "Principal": "*",
            "Action": [f"s3:{action}"],
            "Resource": [f"arn:aws:s3:::{bucket}{part}"],
        }
        policy = {"Version": "2012-10-17", "Statement": [statement]}
        client.put_bucket_policy(Bucket=bucket, Policy=json.dumps(policy))

    return deny


def rows_of(destination: str) -> list[dict[str, Any]]:
    return [json.loads(line) for line in merged(destination, "job")["manifest.jsonl"].splitlines()]


def test_any_key_is_sorted_and_copied(s3_url: str, client: Any, small_artifact: Path) -> None:
    bucket, _, prefix = s3_url.removeprefix("s3://").partition("/")
    start = f"{prefix}/in/"
    keys = ["a/../b.png", "..", "./c", " space first", "space last ", "//double", "50%2F50 + 1?a=b#c&d", "R\u00f6ntgen"]
    keys += [
        "Ro\u0308ntgen",
        "\u30ec\u30f3\u30c8\u30b2\u30f3/\U0001f9b4.png",
        "quotes\"'`$(id)",
        "l" * (1024 - len(start)),
    ]
    for number, key in enumerate(keys):
        client.put_object(Bucket=bucket, Key=start + key, Body=synthetic_png(number))
    arguments = (f"{s3_url}/in", f"{s3_url}/out", "--model", str(small_artifact), "--job", "job", "--copies", *SMALL)
    assert sort(*arguments) == 0
    rows = rows_of(f"{s3_url}/out")
    assert {row["key"] for row in rows} == set(keys)
    assert [row for row in rows if row["code"] or row["copy_code"]] == []
    out = open_storage(f"{s3_url}/out")
    for row in rows:
        assert out.read(row["copied_to"]) == synthetic_png(keys.index(row["key"]))


def test_a_version_is_sorted_and_copied_as_it_was_listed_and_the_reader_pays(
    client: Any, bucket: str, small_artifact: Path
) -> None:
    client.put_bucket_request_payment(Bucket=bucket, RequestPaymentConfiguration={"Payer": "Requester"})
    client.put_bucket_versioning(Bucket=bucket, VersioningConfiguration={"Status": "Enabled"})
    for number in range(6):
        client.put_object(Bucket=bucket, Key=f"in/{number}.png", Body=synthetic_png(10 + number))
    source, destination = f"s3://{bucket}/in", f"s3://{bucket}/out"
    request = make_request(
        source=source,
        destination=destination,
        model=str(small_artifact / "1.0.0"),
        copies=True,
        requester_pays=True,
        shard_size=4,
    )
    freeze(create_job(request, "job"), threading.Event())
    client.put_object(Bucket=bucket, Key="in/0.png", Body=b"something else")
    client.delete_object(Bucket=bucket, Key="in/1.png")
    arguments = ("--model", str(small_artifact), "--job", "job", "--copies", "--requester-pays", *SMALL)
    assert sort(source, destination, *arguments) == 0
    rows = rows_of(destination)
    assert len(rows) == 6
    assert all(row["version_id"] and row["label"] and not row["code"] for row in rows)
    out = open_storage(destination)
    assert [out.read(row["copied_to"]) for row in rows] == [synthetic_png(10 + number) for number in range(6)]


def test_encrypted_objects_are_sorted(client: Any, bucket: str, small_artifact: Path) -> None:
    """SSE-S3 where the server has it: moto; Ceph 16 has not."""
    try:
        client.put_object(Bucket=bucket, Key="in/0.png", Body=synthetic_png(0), ServerSideEncryption="AES256")
        assert client.head_object(Bucket=bucket, Key="in/0.png").get("ServerSideEncryption") == "AES256"
    except (ClientError, AssertionError):
        pytest.skip("this server does not encrypt by SSE-S3")
    assert sort(f"s3://{bucket}/in", f"s3://{bucket}/out", "--model", str(small_artifact), "--job", "job", *SMALL) == 0
    assert [row["code"] for row in rows_of(f"s3://{bucket}/out")] == [""] * 6


def test_an_object_that_may_not_be_read_is_a_row_and_done_once_it_may(
    bucket: str, small_artifact: Path, deny: Callable[..., None]
) -> None:
    deny("GetObject", "/in/2.png")
    arguments = (f"s3://{bucket}/in", f"s3://{bucket}/out", "--model", str(small_artifact), "--copies", *SMALL)
    assert sort(*arguments, "--job", "job") == 0
    rows = rows_of(f"s3://{bucket}/out")
    assert [row["code"] for row in rows] == ["", "", "access_denied", "", "", ""]
    assert [bool(row["copied_to"]) for row in rows] == [row["code"] == "" for row in rows]
    deny()
    assert sort(*arguments, "--job", "again") == 0
    again = open_storage(f"s3://{bucket}/out/_sort/again").read("manifest.jsonl").splitlines()
    assert [json.loads(line)["code"] for line in again] == [""] * 6


@pytest.mark.parametrize(("action", "part"), [("ListBucket", ""), ("PutObject", "/out/*")])
def test_no_permission_is_said_at_once(
    bucket: str,
    small_artifact: Path,
    deny: Callable[..., None],
    capfd: pytest.CaptureFixture[str],
    action: str,
    part: str,
) -> None:
    deny(action, part)
    assert sort(f"s3://{bucket}/in", f"s3://{bucket}/out", "--model", str(small_artifact), *SMALL) == 2
    assert "samx sort: access_denied: " in capfd.readouterr().err


def test_credentials_that_expire_end_the_sort_and_fresh_ones_finish_it(
    s3_server: S3Server,
    s3_url: str,
    objects: dict[str, bytes],
    small_artifact: Path,
    monkeypatch: pytest.MonkeyPatch,
    capfd: pytest.CaptureFixture[str],
) -> None:
    fill(open_storage(f"{s3_url}/in"), objects)
    arguments = (f"{s3_url}/in", f"{s3_url}/out", "--model", str(small_artifact), "--job", "job", "--copies")
    with faulty_proxy(s3_server.endpoint, share=0) as proxy:
        proxy.refuse_after = 60
        monkeypatch.setenv("AWS_ENDPOINT_URL", proxy.endpoint)
        assert sort(*arguments, "--shard-size", "8", "--processes", "2") == 2
        assert proxy.num_calls > 60
    shown = capfd.readouterr().err
    assert "samx sort: credentials_refused: " in shown
    assert "ExpiredToken" in shown
    assert "Traceback" not in shown
    monkeypatch.setenv("AWS_ENDPOINT_URL", s3_server.endpoint)
    assert sort(*arguments, "--shard-size", "8", "--processes", "2") == 0
    rows = rows_of(f"{s3_url}/out")
    assert {row["key"] for row in rows} == set(objects)
    assert {row["key"]: row["code"] for row in rows if row["code"]} == BAD
    assert [row for row in rows if row["copy_code"]] == []
