"""EXIF orientation: every image is upright, in every format that carries it, and is turned once only."""

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from image_samples import ORIENTATIONS, difference, encoded, exif, png_chunk, scene, stored_for

from lookalike.images.decode import Side, decode
from lookalike.images.limits import ImageLimits
from lookalike.images.prepare import prepare
from lookalike.images.probe import probe
from lookalike.images.thumbnails import thumbnail
from lookalike.types.models import ResizePolicy

LIMITS = ImageLimits()
UPRIGHT = scene(90, 60)
EXACT = {"PNG": {}, "WEBP": {"lossless": True}, "TIFF": {"compression": "tiff_lzw"}}


@pytest.mark.parametrize("orientation", ORIENTATIONS)
@pytest.mark.parametrize("format", ["JPEG", "MPO", "PNG", "WEBP", "TIFF"])
def test_all_eight_orientations_are_undone(format: str, orientation: int) -> None:
    options = EXACT.get(format, {"quality": 95})
    data = encoded(stored_for(UPRIGHT, orientation), format, exif=exif(orientation), **options)
    info = probe(data, LIMITS)
    assert (info.width, info.height) == (90, 60)
    assert difference(decode(data, LIMITS), UPRIGHT) < (1e-9 if format in EXACT else 3)


@pytest.mark.parametrize("orientation", ORIENTATIONS)
def test_an_uncompressed_tiff_is_turned_once(orientation: int) -> None:
    data = encoded(stored_for(UPRIGHT, orientation), "TIFF", exif=exif(orientation))
    np.testing.assert_array_equal(decode(data, LIMITS), UPRIGHT)


@pytest.mark.parametrize("orientation", ORIENTATIONS)
@pytest.mark.parametrize("side", Side)
def test_a_jpeg_that_is_scaled_while_decoding_is_upright_too(orientation: int, side: Side) -> None:
    large = scene(1200, 800)
    data = encoded(stored_for(large, orientation), "JPEG", exif=exif(orientation), quality=95)
    scaled = decode(data, LIMITS, at_least=100, side=side)
    assert scaled.shape[0] * 3 == scaled.shape[1] * 2
    assert scaled.shape[1] < 1200
    assert difference(scaled, scene(scaled.shape[1], scaled.shape[0])) < 4


@pytest.mark.parametrize("orientation", ORIENTATIONS)
def test_a_thumbnail_is_upright_and_says_nothing_of_orientation(orientation: int) -> None:
    data = encoded(stored_for(UPRIGHT, orientation), "JPEG", exif=exif(orientation), quality=95)
    small = thumbnail(data, size=45, limits=LIMITS)
    assert b"Exif" not in small
    assert difference(decode(small, LIMITS), scene(45, 30)) < 5


def test_exif_behind_the_pixels_of_a_png_counts() -> None:
    plain = encoded(stored_for(UPRIGHT, 6), "PNG")
    end = plain.index(b"IEND") - 4
    data = plain[:end] + png_chunk(b"eXIf", exif(6).removeprefix(b"Exif\0\0")) + plain[end:]
    assert probe(data, LIMITS).width == 90
    np.testing.assert_array_equal(decode(data, LIMITS), UPRIGHT)


def test_orientation_in_xmp_counts_where_there_is_no_exif() -> None:
    packet = b'<x:xmpmeta><rdf:Description tiff:Orientation="6"/></x:xmpmeta>'
    data = encoded(stored_for(UPRIGHT, 6), "WEBP", lossless=True, xmp=packet)
    assert probe(data, LIMITS).width == 90
    np.testing.assert_array_equal(decode(data, LIMITS), UPRIGHT)


@pytest.mark.parametrize("nonsense", [0, 9, 255, 65535])
def test_an_orientation_that_makes_no_sense_is_none(nonsense: int) -> None:
    data = encoded(UPRIGHT, "JPEG", exif=exif(nonsense), quality=95)
    assert probe(data, LIMITS).orientation == 1
    assert difference(decode(data, LIMITS), UPRIGHT) < 3


@pytest.mark.parametrize(
    "block", [b"Exif\0\0", b"Exif\0\0II*\0\xff\xff\xff\xff", b"Exif\0\0MM\0*\0\0\0\x08\xff\xff", b"x"]
)
def test_a_damaged_exif_block_is_passed_over(block: bytes) -> None:
    for format in ("JPEG", "PNG", "WEBP"):
        data = encoded(UPRIGHT, format, exif=block)
        assert probe(data, LIMITS).orientation == 1
        assert decode(data, LIMITS).shape == (60, 90, 3)


@given(
    orientation=st.sampled_from(list(ORIENTATIONS)),
    policy=st.sampled_from(list(ResizePolicy)),
    width=st.integers(1, 60),
    height=st.integers(1, 60),
)
def test_orientation_and_preparation_commute(orientation: int, policy: ResizePolicy, width: int, height: int) -> None:
    """A turned file gives the model the very pixels of the upright one."""
    upright = scene(width, height)
    turned = encoded(stored_for(upright, orientation), "PNG", exif=exif(orientation))
    np.testing.assert_array_equal(
        prepare(turned, size=24, policy=policy, limits=LIMITS),
        prepare(encoded(upright, "PNG"), size=24, policy=policy, limits=LIMITS),
    )
