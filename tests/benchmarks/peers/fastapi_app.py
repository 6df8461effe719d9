"""FastAPI with pydicom and eager torch: `uvicorn tests.benchmarks.peers.fastapi_app:app`.

Follows FastAPI's documentation: "Lifespan Events" (a model loaded before the first request), "Request Files"
(`UploadFile`), and "Concurrency and async / await": a route that computes is a plain `def`, run in the thread pool.
"""

import os
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager

from fastapi import FastAPI, UploadFile

from tests.benchmarks.peers.plain import ARTIFACT_VARIABLE, PlainClassifier

models: dict[str, PlainClassifier] = {}


@asynccontextmanager
async def lifespan(_: FastAPI) -> AsyncIterator[None]:
    """Load the model."""
    models["classifier"] = PlainClassifier(os.environ[ARTIFACT_VARIABLE])
    yield
    models.clear()


app = FastAPI(lifespan=lifespan)


@app.post("/classify")
def classify(file: UploadFile) -> dict[str, float]:
    """The probability of every class."""
    return models["classifier"].probabilities(file.file.read())
