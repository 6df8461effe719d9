"""LitServe with pydicom and eager torch: `python -m tests.benchmarks.peers.litserve_server --port 8000`.

Follows LitServe's documentation, "LitAPI" (`setup`, `decode_request`, `predict`, `encode_response`) and "Request,
response format" (forms with files): one worker on the CPU, no batching, every setting default. The library is no
dependency of the project; `tests/benchmarks/README.md` says how to install it elsewhere.
"""

import argparse
import os
import sys

import litserve  # type: ignore[import-not-found,unused-ignore]  # in an environment of its own
from fastapi import Request
from starlette.datastructures import FormData, UploadFile
from starlette.formparsers import MultiPartParser

from tests.benchmarks.peers.plain import ARTIFACT_VARIABLE, PlainClassifier


class PlainApi(litserve.LitAPI):  # type: ignore[misc,unused-ignore]
    """POST /predict, a form with the field `file`."""

    def setup(self, device: str) -> None:  # noqa: ARG002  # LitServe's signature
        """Load the model in the worker."""
        self._classifier = PlainClassifier(os.environ[ARTIFACT_VARIABLE])

    def decode_request(self, request: Request) -> bytes:
        """The file's bytes; LitServe hands over the form in place of the request."""
        assert isinstance(request, FormData)
        upload = request["file"]
        assert isinstance(upload, UploadFile)
        return upload.file.read()

    def predict(self, data: bytes) -> dict[str, float]:
        """The probability of every class."""
        return self._classifier.probabilities(data)

    def encode_response(self, output: dict[str, float]) -> dict[str, float]:
        """As it is."""
        return output


def main() -> None:
    """Serve until the process is told to end."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--port", type=int, default=8000)
    options = parser.parse_args()
    # LitServe keeps files in memory to send them to its worker, by the name this limit had in older Starlettes.
    MultiPartParser.spool_max_size = sys.maxsize
    server = litserve.LitServer(PlainApi(), accelerator="cpu")
    server.run(host="127.0.0.1", port=options.port, generate_client_file=False)


if __name__ == "__main__":
    main()
