"""MATLAB files, against those that scipy writes."""

import io
import struct

import numpy as np
import pytest
from numpy.typing import NDArray
from scipy.io import loadmat, savemat

from segdistill.decoding.matlab import MatlabFileError, read_matlab_array


def matlab(arrays: dict[str, object], *, compressed: bool = False) -> bytes:
    buffer = io.BytesIO()
    savemat(buffer, arrays, do_compression=compressed)
    return buffer.getvalue()


@pytest.mark.parametrize("compressed", [False, True])
@pytest.mark.parametrize("kind", ["u1", "i1", "u2", "i2", "u4", "i4", "u8", "i8", "f4", "f8"])
@pytest.mark.parametrize("shape", [(1, 1), (3, 1), (5, 7), (4, 6, 4)])
def test_arrays_read_as_they_were_written(
    kind: str, shape: tuple[int, ...], compressed: bool
) -> None:
    array = np.random.default_rng(0).integers(0, 100, shape).astype(kind)
    others = {"first": np.zeros((2, 3)), "a_text": "words", "parts": {"x": 1}}
    content = matlab({**others, "img": array}, compressed=compressed)
    read = read_matlab_array(content, "img")
    assert read.dtype == array.dtype
    np.testing.assert_array_equal(read, array)


def big_endian(values: NDArray[np.uint8]) -> bytes:
    """A file as MATLAB writes one: doubles stored in bytes, the name packed into its tag."""
    height, width = values.shape
    stored = values.tobytes(order="F")
    body = struct.pack(">IIII", 6, 8, 6, 0)
    body += struct.pack(">IIii", 5, 8, height, width)
    body += struct.pack(">HH", 1, 1) + b"g\0\0\0"
    body += struct.pack(">II", 2, len(stored)) + stored + b"\0" * (-len(stored) % 8)
    header = b"MATLAB 5.0 MAT-file".ljust(124) + b"\x01\x00MI"
    return header + struct.pack(">II", 14, len(body)) + body


def test_other_byte_order_and_doubles_stored_in_bytes() -> None:
    values = np.arange(15, dtype=np.uint8).reshape(5, 3)
    content = big_endian(values)
    np.testing.assert_array_equal(loadmat(io.BytesIO(content))["g"], values)
    read = read_matlab_array(content, "g")
    assert read.dtype == np.float64
    np.testing.assert_array_equal(read, values)


@pytest.mark.parametrize(
    ("arrays", "reason"),
    [
        ({"gt": np.ones((2, 2))}, "no array 'img', only 'gt'"),
        ({}, "only nothing"),
        ({"img": "text"}, "real numbers"),
        ({"img": {"a": 1}}, "real numbers"),
        ({"img": np.array([[1, "x"]], object)}, "real numbers"),
        ({"img": np.ones((2, 2)) * 1j}, "real numbers"),
        ({"img": np.zeros((0, 4))}, "unusable shape"),
    ],
)
def test_what_is_no_array_of_numbers_is_refused(arrays: dict[str, object], reason: str) -> None:
    with pytest.raises(MatlabFileError, match=reason):
        read_matlab_array(matlab(arrays), "img")


def test_the_version_that_cannot_be_read_is_told() -> None:
    content = b"MATLAB 7.3 MAT-file".ljust(124) + b"\x00\x02IM" + b"\x89HDF" + bytes(600)
    with pytest.raises(MatlabFileError, match="save it again with -v7"):
        read_matlab_array(content, "img")


def test_a_huge_size_is_refused_before_memory_is_taken() -> None:
    content = bytearray(matlab({"img": np.ones((4, 4), np.uint8)}))
    place = content.index(struct.pack("<ii", 4, 4))
    content[place : place + 8] = struct.pack("<ii", 2**30, 2**30)
    with pytest.raises(MatlabFileError, match="unusable shape"):
        read_matlab_array(bytes(content), "img")


@pytest.mark.parametrize("compressed", [False, True])
def test_every_truncation_is_noticed(compressed: bool) -> None:
    array = np.random.default_rng(0).integers(0, 255, (6, 5, 4), np.uint8)
    content = matlab({"img": array}, compressed=compressed)
    for length in range(0, len(content), 3):
        with pytest.raises(MatlabFileError):
            read_matlab_array(content[:length], "img")


@pytest.mark.parametrize("compressed", [False, True])
def test_random_damage_ends_in_one_kind_of_error(compressed: bool) -> None:
    # scipy's own reader ends the process on some of these.
    random = np.random.default_rng(0)
    array = random.integers(0, 255, (6, 5, 4), np.uint8)
    content = matlab({"gt": np.ones((3, 3)), "img": array}, compressed=compressed)
    refused = 0
    for _ in range(1500):
        damaged = bytearray(content)
        for place in random.integers(100, min(len(content), 400), 3):
            damaged[place] = random.integers(256)
        try:
            read = read_matlab_array(bytes(damaged), "img")
        except MatlabFileError:
            refused += 1
        else:
            assert read.ndim >= 2
    assert refused > 500
