"""Pictures of radiographs within the page: JPEG in data URLs, as many as the page may hold."""

import base64
import html
import io

import numpy as np
from PIL import Image

from samx.errors import ObjectNotFound
from training.report.facts import GALLERY, Facts
from training.report.markup import figure, paragraph, words
from training.run import Run

LARGEST_BYTES = 6_000_000
"""Of all pictures together, as they stand in the page; with the rest it stays below 8 MB."""
_WIDTH = 1000
_QUALITY = 78
_NUM_SHEETS = 4


def galleries(run: Run, facts: Facts) -> str:
    """Heat maps per class, right, wrong and uncertain, until three quarters of the room are taken."""
    entries = [(entry["file"], words(entry["label"])) for entry in facts.at_list(GALLERY)]
    return _pictures(run, entries, LARGEST_BYTES * 3 // 4, "Radiographs beside their heat maps: answered ")


def cluster_sheets(run: Run) -> str:
    """Contact sheets of clusters, evenly chosen, in the quarter that is left."""
    keys = sorted(item.key for item in run.storage.list("cluster/sheets/"))
    chosen = np.unique(np.linspace(0, len(keys) - 1, min(_NUM_SHEETS, len(keys))).astype(int))
    entries = [(keys[i], f"{i + 1} of {len(keys)}") for i in chosen]
    return _pictures(run, entries, LARGEST_BYTES // 4, "Contact sheet ")


def _pictures(run: Run, entries: list[tuple[str, str]], room: int, caption: str) -> str:
    shown, left_out = [], []
    for key, name in entries:
        try:
            url, width, height = _data_url(run.read(key))
        except ObjectNotFound:
            left_out.append(name)
            continue
        if len(url) > room:
            left_out.append(name)
            continue
        room -= len(url)
        alt = html.escape(caption + name)
        picture = f'<img src="{url}" width="{width}" height="{height}" alt="{alt}">'
        shown.append(figure(picture, caption + name, "picture"))
    found = f'<div class="pair">{"".join(shown)}</div>'
    if left_out:
        found += paragraph(f"For want of room only in the run's folder: {', '.join(left_out)}.", "quiet")
    return found


def _data_url(png: bytes) -> tuple[str, int, int]:
    image = Image.open(io.BytesIO(png)).convert("RGB")
    if image.width > _WIDTH:
        image = image.resize((_WIDTH, round(image.height * _WIDTH / image.width)), Image.Resampling.LANCZOS)
    buffer = io.BytesIO()
    image.save(buffer, format="JPEG", quality=_QUALITY)
    return f"data:image/jpeg;base64,{base64.b64encode(buffer.getvalue()).decode()}", image.width, image.height
