"""Reading the files of the source, in several processes: Pillow holds the interpreter's lock while it decodes.

What the index keeps of a file is made here, in a module light enough for the start of a process: no torch, no
scikit-learn.
"""

import hashlib
import multiprocessing
import re
from collections import deque
from collections.abc import Generator, Iterable
from concurrent.futures import Future, ProcessPoolExecutor
from dataclasses import dataclass
from functools import cache

import numpy as np
import numpy.typing as npt

from samx.anatomy import label_in_text
from samx.child_process import live_with_parent
from samx.cores import available_cores
from samx.errors import RadiographError
from samx.preprocessing import PreprocessingConfig, preprocess
from samx.radiograph import Radiograph, read_radiograph
from samx.storage import Storage, StoredObject, open_storage
from training.duplicates import perceptual_hash

BLANK_SPREAD = 0.02
"""A radiograph whose 1st and 99th percentile of grey lie no farther apart shows nothing.

One value, with or without a few burned-in characters, gives 0. Of 1,629 real pictures and 24 real DICOM files the least
is 0.215, a hand in a wide white frame; of blank exposures of the phantom, whose noise fills the range of grey, 0.856.
"""
_storage = cache(open_storage)


@dataclass(frozen=True, slots=True)
class Reading:
    """What came of one file: an image and its row, or the reason why not."""

    row: dict[str, object] | None
    """Columns of the index, without `duplicate_of`."""
    image: npt.NDArray[np.uint8] | None
    """Preprocessed, `(size, size)`."""
    rejected: dict[str, object] | None


@dataclass(frozen=True, slots=True)
class ReadingConfig:
    """What a process has to know to read a file."""

    source: str
    """Folder or s3:// URL."""
    preprocessing: PreprocessingConfig
    pseudonym_salt: str


def read_files(
    items: Iterable[StoredObject], config: ReadingConfig, *, num_workers: int, num_ahead: int
) -> Generator[Reading]:
    """Reads files and yields what came of them in the order of the items, whatever the number of processes.

    Closing the iterator cancels what is not yet begun and waits for the processes to end.

    Args:
        items: what to read.
        config: how.
        num_workers: processes; 0: one per core, 1: this one alone.
        num_ahead: how many files are under way, or read and not yet taken, at most.

    Raises:
        StorageError: the source is out of reach or refuses.
        BrokenProcessPool: a process died.
    """
    if num_workers == 1:
        source = open_storage(config.source)
        yield from (read_file(source, item, config) for item in items)
        return
    # Spawned, not forked: the caller may hold threads (torch, boto3).
    context = multiprocessing.get_context("spawn")
    pool = ProcessPoolExecutor(num_workers or available_cores(), context, initializer=live_with_parent)
    pending: deque[Future[Reading]] = deque()
    try:
        for item in items:
            if len(pending) >= num_ahead:
                yield pending.popleft().result()
            pending.append(pool.submit(_read_in_child, item, config))
        while pending:
            yield pending.popleft().result()
    finally:
        pool.shutdown(cancel_futures=True)


def read_file(source: Storage, item: StoredObject, config: ReadingConfig) -> Reading:
    """Reads one file; what is wrong with it is part of the answer.

    Raises:
        StorageError: the source is out of reach or refuses, or the file is gone.
    """
    data = source.read(item.key)
    try:
        radiograph = read_radiograph(data, working_size=config.preprocessing.working_size)
    except RadiographError as error:
        return _rejected(item, error.code, error.detail)
    if nothing := _nothing_shown(radiograph.pixels):
        return _rejected(item, "blank", nothing)
    image = preprocess(radiograph, config.preprocessing)
    row = _row(item, data, radiograph, config.pseudonym_salt) | {"perceptual_hash": perceptual_hash(image)}
    return Reading(row, image, None)


def age_group(patient_age: str) -> str:
    """The decade of a Patient's Age (0010,1010), `40-49`, and `90+` for all above; "" where there is none.

    PS3.5 section 6.2, VR AS: three digits and D, W, M or Y. An exact age, above all a great one, may name a person.
    """
    found = re.fullmatch(r"(\d{3})([DWMY])", patient_age)
    if found is None:
        return ""
    years = int(found[1]) // {"D": 365.25, "W": 52.18, "M": 12, "Y": 1}[found[2]]
    decade = int(years) // 10 * 10
    return "90+" if decade >= 90 else f"{decade}-{decade + 9}"


def pseudonym(patient: str, salt: str) -> str:
    """Sixteen hexadecimal digits that stand for a patient, the same in every file of theirs."""
    return hashlib.sha256(f"{salt}/{patient}".encode()).hexdigest()[:16]


def _nothing_shown(pixels: npt.NDArray[np.float32]) -> str:
    """Why a radiograph is blank; empty if it is not. `(H, W)` in [0, 1]."""
    low, high = np.percentile(pixels, (1, 99))
    if high - low <= BLANK_SPREAD:
        return f"98 % of the pixels differ by {high - low:.3f} of the range of grey; allowed is above {BLANK_SPREAD}"
    return ""


def _rejected(item: StoredObject, code: str, detail: str) -> Reading:
    return Reading(None, None, {"key": item.key, "code": code, "detail": detail})


def _row(item: StoredObject, data: bytes, radiograph: Radiograph, salt: str) -> dict[str, object]:
    attributes = radiograph.attributes
    return {
        "key": item.key,
        "etag": item.etag,
        "sha256": hashlib.sha256(data).hexdigest(),
        "format": radiograph.format,
        "rows": radiograph.rows,
        "columns": radiograph.columns,
        "was_negative": int(radiograph.was_negative),
        "patient": pseudonym(attributes.patient_id or f"file/{item.key}", salt),
        "site": attributes.institution_name,
        "body_part_examined": attributes.body_part_examined,
        "view_position": attributes.view_position,
        "laterality": attributes.laterality,
        "sex": attributes.patient_sex if attributes.patient_sex in ("F", "M", "O") else "",
        "age_group": age_group(attributes.patient_age),
        # The label alone: what people type there may hold more than they should.
        "described_label": label_in_text(f"{attributes.series_description} {attributes.protocol_name}") or "",
    }


def _read_in_child(item: StoredObject, config: ReadingConfig) -> Reading:
    return read_file(_storage(config.source), item, config)
