"""Fills the S3 of the dev overlay: the buckets, and synthetic radiographs in one of them."""

import contextlib
import os
import tempfile
from pathlib import Path

import boto3

from samx.phantom import export_phantom
from samx.storage import open_storage

if __name__ == "__main__":
    client = boto3.client("s3")
    for bucket in ("radiographs", "samx", "sorted"):
        with contextlib.suppress(client.exceptions.BucketAlreadyOwnedByYou):
            client.create_bucket(Bucket=bucket)
    with tempfile.TemporaryDirectory() as folder:
        export_phantom(Path(folder), num_radiographs=int(os.environ["NUM_RADIOGRAPHS"]), seed=1)
        exported = open_storage(f"{folder}/radiographs")
        target = open_storage("s3://radiographs/export")
        for item in exported.list():
            target.write(item.key, exported.read(item.key))
