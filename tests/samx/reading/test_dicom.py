"""Elements of a data set: attributes as text, structures that lie, bombs."""

import io
import pickle
import random
import struct
import threading
import tracemalloc
import warnings
import zipfile
import zlib
from concurrent.futures import ThreadPoolExecutor
from typing import Any

import imagecodecs
import numpy as np
import pytest
from pydicom.sequence import Sequence
from pydicom.uid import (
    JPEG2000,
    DeflatedExplicitVRLittleEndian,
    DigitalXRayImageStorageForPresentation,
    HTJ2KLossless,
    ImplicitVRLittleEndian,
    JPEG2000Lossless,
    JPEGExtended12Bit,
    JPEGLosslessSV1,
    JPEGLSLossless,
    RLELossless,
)

from samx.errors import (
    NotARadiographFormat,
    RadiographError,
    RadiographTooLarge,
    UnreadableRadiograph,
)
from samx.radiograph import Radiograph, read_radiograph
from tests.samx.files import RAMP, WIDE, Array, dataset_of, dicom, lut, picture


def test_attributes_are_text() -> None:
    file = dicom(
        RAMP,
        SOPClassUID=DigitalXRayImageStorageForPresentation,
        Modality="DX",
        BodyPartExamined="HAND ",
        ViewPosition="PA",
        ImageLaterality="R",
        Laterality="L",
        InstitutionName="Universitätsklinikum",
        SpecificCharacterSet="ISO_IR 100",
        StationName="  ROOM 1 ",
        Manufacturer="x" * 300,
        PatientID="12345",
        StudyInstanceUID="1.2.840.1",
        ProtocolName="Hand\r\npa",
    )
    attributes = read_radiograph(file).attributes
    assert attributes.modality == "DX"
    assert attributes.body_part_examined == "HAND"
    assert attributes.view_position == "PA"
    assert attributes.laterality == "R"
    assert attributes.institution_name == "Universitätsklinikum"
    assert attributes.station_name == "ROOM 1"
    assert attributes.manufacturer == "x" * 64
    assert attributes.manufacturer_model_name == ""
    assert attributes.sop_instance_uid == "1.2.3"
    assert attributes.study_instance_uid == "1.2.840.1"
    assert attributes.protocol_name == "Handpa"
    assert attributes.photometric_interpretation == "MONOCHROME2"
    assert attributes.patient_id == "12345"
    assert "12345" not in repr(attributes)


def test_laterality_of_the_series_where_the_image_has_none() -> None:
    assert read_radiograph(dicom(RAMP, Laterality="L")).attributes.laterality == "L"


@pytest.mark.parametrize("charset", ["ISO_IR 192", "ISO_IR 999", "ISO 2022 IR 87", "\\\\", "\xff\xfe"])
def test_broken_text_is_empty_and_does_no_harm(charset: str) -> None:
    file = dicom(RAMP, InstitutionName="PLACEHOLDER", SOPInstanceUID="1.2.3", SpecificCharacterSet=charset)
    file = file.replace(b"PLACEHOLDER", b"\xff\xfe\xc3\x28\x1b\x24\x42\xff\xff\xff\xff").replace(b"1.2.3\0", b"1.x.3\0")
    radiograph = read_radiograph(file)
    assert radiograph.attributes.sop_instance_uid == ""
    assert "\ufffd" not in radiograph.attributes.institution_name


SCAN, TILE = b"\xff\xda\0\x08\1\1\0\0\0\0\0\0", b"\xff\x90\0\x0a" + b"\0" * 8


@pytest.mark.parametrize(
    ("syntax", "bomb"),
    [
        (JPEGLosslessSV1, b"\xff\xd8\xff\xc3\0\x0b\x0c\xff\xff\xff\xff\1\1\x11\0" + SCAN),
        (JPEGLSLossless, b"\xff\xd8\xff\xf7\0\x0b\x0c\xff\xff\xff\xff\1\1\x11\0" + SCAN),
        (
            JPEG2000,
            b"\xff\x4f\xff\x51\0\x29\0\0"
            + struct.pack(">4I", 10**9, 10**9, 0, 0)
            + b"\0" * 16
            + b"\0\1\x0b\1\1"
            + TILE,
        ),
    ],
)
def test_a_codestream_larger_than_its_attributes_is_not_decoded(syntax: str, bomb: bytes) -> None:
    with pytest.raises(UnreadableRadiograph, match=r"the codestream has .* the attributes say 48 and 64"):
        read_radiograph(dicom(RAMP, syntax, bomb))


def test_run_lengths_cannot_outgrow_the_image() -> None:
    segment = b"\x81\0" * 1_000_000  # 128 million zeros
    header = struct.pack("<16I", 2, 64, 64 + len(segment), *[0] * 13)
    with pytest.raises(UnreadableRadiograph, match="broken"):
        read_radiograph(dicom(RAMP, RLELossless, header + segment * 2))


def deflated(data: bytes, zeros: int = 0) -> bytes:
    """A deflated file of a data set and, after it, millions of zeros."""
    deflater = zlib.compressobj(9, zlib.DEFLATED, -15)
    parts = [deflater.compress(data), *(deflater.compress(b"\0" * 1_000_000) for _ in range(zeros)), deflater.flush()]
    meta = dicom(RAMP, DeflatedExplicitVRLittleEndian)
    return meta[: len(meta) - len(dataset_of(meta))] + b"".join(parts)


def test_what_is_deflated_is_inflated_no_further_than_the_pixels() -> None:
    plain = dataset_of(dicom(RAMP, **WIDE))
    expected = read_radiograph(dicom(RAMP, **WIDE)).pixels
    np.testing.assert_array_equal(read_radiograph(deflated(plain, zeros=30)).pixels, expected)


@pytest.mark.parametrize(
    ("element", "code"),
    [
        (b"\xe0\x7f\x10\0OW\0\0\xfe\xff\xff\xff", "inflates_too_large"),
        (b"\xe0\x7f\x10\0OW\0\0\xff\xff\xff\xff", "inflates_too_large"),
        (b"\xe0\x7f\x10\0OW\0\0\0\0\0\4", "wrong_size"),
        (b"\x09\0\x10\0OB\0\0\xfe\xff\xff\xff", "inflates_too_large"),
        (b"", "too_many_elements"),
    ],
    ids=["pixels", "pixels without end", "64 MiB of pixels", "a private element", "empty elements"],
)
def test_a_deflated_bomb_is_not_inflated(element: bytes, code: str) -> None:
    bomb = deflated(dataset_of(dicom(RAMP, PixelData=None)) + element, zeros=200)
    tracemalloc.start()
    with pytest.raises(RadiographError) as refused:
        read_radiograph(bomb)
    _, peak = tracemalloc.get_traced_memory()
    tracemalloc.stop()
    assert refused.value.code == code
    assert peak < 50_000_000


def _zip() -> bytes:
    buffer = io.BytesIO()
    with zipfile.ZipFile(buffer, "w") as archive:
        archive.writestr("radiograph.dcm", b"x" * 1000)
    return buffer.getvalue()


@pytest.mark.parametrize(
    "data",
    [
        b"",
        b"\0",
        b"\0" * 200,
        b"a text file\n" * 100,
        b"%PDF-1.7\n",
        _zip(),
        pickle.dumps({"pixels": [1, 2, 3]}),
        b"\xff\xd8",
        b"GIF89a" + b"\0" * 50,
        b"\x08\0\0\0 no data set that begins like one" * 10,
    ],
    ids=["empty", "byte", "zeros", "text", "pdf", "zip", "pickle", "two bytes", "gif", "almost"],
)
def test_other_files_are_no_radiographs(data: bytes) -> None:
    with pytest.raises(NotARadiographFormat) as refused:
        read_radiograph(data)
    assert refused.value.code == "unknown_format"


def test_a_truncated_file_is_unreadable_wherever_it_ends() -> None:
    frames = {
        JPEGLSLossless: imagecodecs.jpegls_encode(RAMP),
        JPEGLosslessSV1: imagecodecs.jpeg_encode(RAMP, lossless=True, predictor=1, bitspersample=12),
        JPEGExtended12Bit: imagecodecs.jpeg_encode(RAMP, level=95, bitspersample=12),
    }
    files = [dicom(RAMP), dicom(RAMP, RLELossless), *(dicom(RAMP, syntax, frame) for syntax, frame in frames.items())]
    for file in files:
        for end in (132, 140, 200, 400, len(file) // 2, len(file) - 9):
            with pytest.raises(UnreadableRadiograph):
                read_radiograph(file[:end])


def test_sequences_nested_without_end() -> None:
    item = b"\x08\0\x40\x11SQ\0\0\xff\xff\xff\xff\xfe\xff\x00\xe0\xff\xff\xff\xff"
    file = dicom(RAMP)
    start = 144 + int.from_bytes(file[140:144], "little")
    with pytest.raises(RadiographTooLarge, match="nested deeper than 32"):
        read_radiograph(file[:start] + item * 100_000)


def test_lengths_that_lie() -> None:
    file = dicom(RAMP, Modality="CR", BodyPartExamined="HAND")
    where = file.index(b"\x18\0\x15\0CS") + 6
    for length in (b"\xff\xff", b"\xfe\xff", b"\x00\x00", b"\x03\x00"):
        with pytest.raises(RadiographError):
            read_radiograph(file[:where] + length + file[where + 2 :])
    pixels = file.index(b"\xe0\x7f\x10\0OW") + 8
    for long_length in (b"\x00\x00\x00\x00", b"\x00\x10\x00\x00", b"\xfe\xff\xff\xff"):
        with pytest.raises(UnreadableRadiograph):
            read_radiograph(file[:pixels] + long_length + file[pixels + 4 :])
    assert read_radiograph(file[:pixels] + b"\xff\xff\xff\xff" + file[pixels + 4 :]).pixels.shape == (48, 64)


def _seeds() -> list[bytes]:
    smooth = (np.add.outer(np.arange(40), np.arange(30)) * 50).astype(np.uint16)
    sequences: dict[str, Any] = {
        "VOILUTSequence": Sequence([lut(0, [0, 5, 9])]),
        "ModalityLUTSequence": Sequence([lut(0, [1, 2])]),
    }
    attributes: dict[str, Any] = {"BodyPartExamined": "HAND", "PatientID": "7", "PixelPaddingValue": 0, **WIDE}
    return [
        dicom(smooth, **attributes, **sequences),
        dicom(smooth, ImplicitVRLittleEndian, **attributes, **sequences),
        dicom(smooth, DeflatedExplicitVRLittleEndian, **attributes),
        dicom(smooth, RLELossless, **attributes),
        dicom(smooth, JPEGLosslessSV1, imagecodecs.jpeg_encode(smooth, lossless=True, bitspersample=12), **attributes),
        dicom(smooth, JPEGExtended12Bit, imagecodecs.jpeg_encode(smooth, level=90, bitspersample=12), **attributes),
        dicom(smooth, JPEGLSLossless, imagecodecs.jpegls_encode(smooth), **attributes),
        dicom(smooth, JPEG2000Lossless, imagecodecs.jpeg2k_encode(smooth, codecformat="j2k"), **attributes),
        dicom(smooth, HTJ2KLossless, imagecodecs.htj2k_encode(smooth), **attributes),
        picture(smooth),
        picture((smooth >> 4).astype(np.uint8), "jpeg"),
    ]


@pytest.mark.parametrize("seed", range(4))
def test_mutated_files_are_read_or_refused(seed: int) -> None:
    generator = random.Random(seed)
    seeds = _seeds()
    read = 0
    for _ in range(150):
        data = bytearray(generator.choice(seeds))
        for _ in range(generator.randint(1, 6)):
            place = generator.randrange(len(data))
            action = generator.random()
            if action < 0.7:
                data[place] = generator.randrange(256)
            elif action < 0.8:
                data[place : place + 4] = generator.choice([b"\xff\xff\xff\xff", b"\0\0\0\0", b"\xfe\xff\x00\xe0"])
            elif action < 0.9:
                del data[place : place + generator.randint(1, 40)]
            else:
                data[place:place] = generator.randbytes(generator.randint(1, 40))
        try:
            radiograph = read_radiograph(bytes(data))
        except RadiographError:
            pass
        else:
            read += 1
            assert isinstance(radiograph, Radiograph)
            assert np.isfinite(radiograph.pixels).all()
            assert radiograph.pixels.min() >= 0
            assert radiograph.pixels.max() <= 1
    assert 10 < read < 140


def test_threads_read_side_by_side_and_leave_the_warning_filters_alone() -> None:
    files = [*_seeds(), dicom(RAMP, InstitutionName="Ä", SpecificCharacterSet="ISO_IR 999")]
    before = list(warnings.filters)
    start = threading.Barrier(4)

    def read_all(_: int) -> list[Array]:
        start.wait()
        return [read_radiograph(file).pixels for file in files * 5]

    with ThreadPoolExecutor(4) as threads:
        first, *others = threads.map(read_all, range(4))
    assert all(np.array_equal(a, b) for other in others for a, b in zip(first, other, strict=True))
    assert warnings.filters == before


# ------------------------------------------------------------------------------------------------- as files really are


def test_a_preamble_may_be_the_header_of_a_tiff() -> None:
    """PS3.10 section 7.1: dual-purpose files; they are DICOM."""
    file = dicom(RAMP, **WIDE)
    dual = b"II*\0\x08\0\0\0" + file[8:]
    np.testing.assert_array_equal(read_radiograph(dual).pixels, read_radiograph(file).pixels)


def element(tag: int, vr: bytes, value: bytes, *, implicit: bool = False) -> bytes:
    head = struct.pack("<HH", tag >> 16, tag & 0xFFFF)
    if implicit:
        return head + struct.pack("<I", len(value)) + value
    return (
        head
        + vr
        + (b"\0\0" + struct.pack("<I", len(value)) if vr in (b"SQ", b"UN", b"OB") else struct.pack("<H", len(value)))
        + value
    )


def with_element(extra: bytes) -> bytes:
    """A file with something before Rows (0028,0010)."""
    file = dicom(RAMP, **WIDE)
    place = file.index(b"\x28\0\x10\0US")
    return file[:place] + extra + file[place:]


UNDEFINED = b"\xff\xff\xff\xff"
NESTED = b"\x19\0\x07\x10SQ\0\0" + UNDEFINED
CT_WITHOUT_VR = element(0x00080060, b"", b"CT", implicit=True)
ITEM, END_OF_ITEM, END = b"\xfe\xff\x00\xe0", b"\xfe\xff\x0d\xe0\0\0\0\0", b"\xfe\xff\xdd\xe0\0\0\0\0"


@pytest.mark.parametrize(
    "extra",
    [
        element(0x00190010, b"LO", b"CREATOR "),
        element(0x00191001, b"", b"abcd", implicit=True),
        b"\x19\0\x02\x10UN\0\0" + UNDEFINED + ITEM + UNDEFINED + CT_WITHOUT_VR + END_OF_ITEM + END,
        b"\x19\0\x03\x10SQ\0\0" + UNDEFINED + ITEM + struct.pack("<I", 10) + element(0x00080060, b"CS", b"CT") + END,
        b"\x19\0\x04\x10SQ\0\0" + UNDEFINED + END,
        b"\x19\0\x05\x10SQ\0\0\0\0\0\0",
        b"\x19\0\x06\x10OB\0\0" + UNDEFINED + ITEM + struct.pack("<I", 4) + b"abcd" + END,
        NESTED + (ITEM + UNDEFINED + NESTED) * 20 + (END + END_OF_ITEM) * 20 + END,
    ],
    ids=["private", "no VR", "UN without end", "items of known length", "no items", "empty", "fragments", "20 deep"],
)  # fmt: skip
def test_elements_are_stepped_over_whatever_they_hold(extra: bytes) -> None:
    radiograph = read_radiograph(with_element(extra))
    np.testing.assert_array_equal(radiograph.pixels, read_radiograph(dicom(RAMP, **WIDE)).pixels)
    assert radiograph.attributes.modality == "CR"


def test_a_transfer_syntax_that_contradicts_the_data_set() -> None:
    explicit, implicit = dicom(RAMP, **WIDE), dicom(RAMP, ImplicitVRLittleEndian, **WIDE)
    expected = read_radiograph(explicit).pixels
    meta_says_implicit = implicit[: len(implicit) - len(dataset_of(implicit))] + dataset_of(explicit)
    meta_says_explicit = explicit[: len(explicit) - len(dataset_of(explicit))] + dataset_of(implicit)
    np.testing.assert_array_equal(read_radiograph(meta_says_implicit).pixels, expected)
    np.testing.assert_array_equal(read_radiograph(meta_says_explicit).pixels, expected)


def test_pixels_of_an_icon_are_not_those_of_the_radiograph() -> None:
    icon = element(0x00280010, b"US", b"\1\0") + element(0x7FE00010, b"OB", b"\0\0")
    sequence = element(0x00880200, b"SQ", ITEM + struct.pack("<I", len(icon)) + icon)
    file = dicom(RAMP, **WIDE)
    place = file.index(b"\xe0\x7f\x10\0OW")
    radiograph = read_radiograph(file[:place] + sequence + file[place:])
    assert (radiograph.rows, radiograph.columns) == (48, 64)


def test_what_follows_the_pixels_is_not_read() -> None:
    file = dicom(RAMP, **WIDE)
    np.testing.assert_array_equal(read_radiograph(file + b"\xff" * 999).pixels, read_radiograph(file).pixels)


def test_a_file_of_endless_small_elements_is_refused() -> None:
    with pytest.raises(RadiographTooLarge, match="more than 50000 data elements"):
        read_radiograph(with_element(element(0x00191001, b"LO", b"") * 200_000))


def test_a_value_is_taken_without_copying_it() -> None:
    stored = np.zeros((2000, 2000), np.uint16)
    file = dicom(stored)
    read_radiograph(file)
    tracemalloc.start()
    read_radiograph(file, working_size=224)
    _, peak = tracemalloc.get_traced_memory()
    tracemalloc.stop()
    assert peak < 0.8 * stored.nbytes
