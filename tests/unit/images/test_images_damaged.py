"""Whatever the bytes are: an image comes out, or an error of ours."""

import random

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from image_samples import encoded, exif, interlaced_png, scene
from PIL import Image

from lookalike.errors import ImageTooLarge, InvalidImage, UnsupportedImage
from lookalike.images.decode import decode
from lookalike.images.limits import ImageLimits
from lookalike.images.prepare import prepare
from lookalike.images.probe import probe
from lookalike.types.models import ResizePolicy

LIMITS = ImageLimits(max_pixels=1_000_000)
SCENE = scene(80, 60)


def _samples() -> dict[str, bytes]:
    picture = Image.fromarray(SCENE)
    frames = {"save_all": True, "append_images": [Image.fromarray(255 - SCENE)]}
    return {
        "jpeg": encoded(SCENE, "JPEG", exif=exif(6)),
        "progressive jpeg": encoded(SCENE, "JPEG", progressive=True),
        "grey jpeg": encoded(SCENE[:, :, 0], "JPEG"),
        "cmyk jpeg": encoded(picture.convert("CMYK"), "JPEG"),
        "mpo": encoded(picture, "MPO", **frames),
        "png": encoded(SCENE, "PNG", exif=exif(6)),
        "palette png": encoded(picture.convert("P"), "PNG", transparency=3),
        "interlaced png": interlaced_png(SCENE),
        "16-bit png": encoded(Image.fromarray(SCENE[:, :, 0].astype("uint16") * 257), "PNG"),
        "webp": encoded(SCENE, "WEBP"),
        "lossless webp": encoded(SCENE, "WEBP", lossless=True, exif=exif(6)),
        "animated webp": encoded(picture, "WEBP", **frames),
        "gif": encoded(picture.convert("P"), "GIF"),
        "animated gif": encoded(picture.convert("P"), "GIF", **frames),
        "bmp": encoded(SCENE, "BMP"),
        "palette bmp": encoded(picture.convert("P"), "BMP"),
        "tiff": encoded(SCENE, "TIFF", exif=exif(6)),
        "lzw tiff": encoded(SCENE, "TIFF", compression="tiff_lzw"),
        "deflate tiff": encoded(SCENE, "TIFF", compression="tiff_adobe_deflate"),
        "jpeg tiff": encoded(SCENE, "TIFF", compression="jpeg"),
        "cmyk tiff": encoded(picture.convert("CMYK"), "TIFF"),
        "fax tiff": encoded(picture.convert("1"), "TIFF", compression="group4"),
    }


SAMPLES = _samples()


def outcome(data: bytes) -> str:
    """The code of the first error, or "fine"; any error that is not ours goes up and fails the test."""
    try:
        probe(data, LIMITS)
        pixels = prepare(data, size=16, policy=ResizePolicy.SQUASH, limits=LIMITS)
    except InvalidImage as error:
        return error.code
    assert pixels.shape == (16, 16, 3)
    return "fine"


@pytest.mark.parametrize("name", SAMPLES)
def test_the_samples_are_fine(name: str) -> None:
    assert outcome(SAMPLES[name]) == "fine"


@pytest.mark.parametrize("tenths", range(1, 10))
@pytest.mark.parametrize("name", [name for name in SAMPLES if not name.startswith(("animated", "mpo"))])
def test_a_file_that_is_cut_off_is_refused_never_half_grey(name: str, tenths: int) -> None:
    data = SAMPLES[name]
    cut = data[: len(data) * tenths // 10]
    try:
        pixels = decode(cut, LIMITS)
    except InvalidImage:
        pixels = None
    if pixels is not None:  # every pixel was there, and only a checksum or an end chunk is not
        np.testing.assert_array_equal(pixels, decode(data, LIMITS))
        assert tenths == 9
    if name.endswith(("jpeg", "png", "webp")):
        with pytest.raises(InvalidImage):
            probe(cut, LIMITS)


@pytest.mark.parametrize("name", ["jpeg", "progressive jpeg", "png", "webp", "gif", "bmp", "tiff"])
def test_the_last_bytes_matter(name: str) -> None:
    data = SAMPLES[name]
    assert outcome(data[: -max(20, len(data) // 100)]) == "invalid_image"


def test_an_end_marker_of_a_thumbnail_does_not_stand_for_that_of_the_image() -> None:
    thumbnail = encoded(scene(16, 12), "JPEG")
    block = b"Exif\0\0" + thumbnail
    data = encoded(SCENE, "JPEG", exif=block)
    assert outcome(data) == "fine"
    assert data.count(b"\xff\xd9") == 2
    with pytest.raises(InvalidImage):
        probe(data[:-200], LIMITS)


@pytest.mark.parametrize(
    "data",
    [
        b"hello, this is text",
        b"<svg xmlns='http://www.w3.org/2000/svg'/>",
        b"%PDF-1.7\n%\xe2\xe3\xcf\xd3\n",
        b"%!PS-Adobe-3.0 EPSF-3.0\n%%BoundingBox: 0 0 10 10\n",
        b"PK\x03\x04" + bytes(60),
        b"\0" * 100,
        b"\0",
        bytes(range(256)),
        encoded(SCENE, "ICO"),
        encoded(SCENE, "PPM"),
        encoded(SCENE, "TGA"),
        b"<html><body>not found</body></html>",
    ],
)
def test_what_is_no_image_that_is_read_is_unsupported(data: bytes) -> None:
    with pytest.raises(UnsupportedImage) as caught:
        probe(data, LIMITS)
    assert caught.value.code == "unsupported_image"


@pytest.mark.parametrize(
    "data", [b"", b"\xff\xd8\xff", b"\x89PNG\r\n\x1a\n", b"GIF89a", b"BM", b"II*\0", b"RIFF\0\0\0\0WEBP"]
)
def test_an_empty_file_and_bare_beginnings_are_damaged(data: bytes) -> None:
    with pytest.raises(InvalidImage) as caught:
        probe(data, LIMITS)
    assert caught.value.code == "invalid_image"


def test_damaged_pixels_of_a_png_are_refused() -> None:
    data = bytearray(SAMPLES["png"])
    data[data.index(b"IDAT") + 20] ^= 0xFF
    with pytest.raises(InvalidImage):
        decode(bytes(data), LIMITS)


@settings(max_examples=300, deadline=None)
@given(data=st.binary(max_size=200))
def test_random_bytes(data: bytes) -> None:
    assert outcome(data) in ("unsupported_image", "invalid_image")


@settings(max_examples=300, deadline=None)
@given(name=st.sampled_from(sorted(SAMPLES)), length=st.integers(0, 64), tail=st.binary(max_size=120))
def test_a_true_beginning_with_random_bytes_behind_it(name: str, length: int, tail: bytes) -> None:
    outcome(SAMPLES[name][:length] + tail)


@pytest.mark.parametrize("name", SAMPLES)
def test_hundreds_of_mutations(name: str) -> None:
    """Bytes changed, cut out, doubled and overwritten, most of them in the header, where the decisions are."""
    chance = random.Random(name)
    seen = set()
    for _ in range(250):
        data = bytearray(SAMPLES[name])
        for _ in range(chance.randint(1, 6)):
            reach = len(data) if chance.random() < 0.4 else min(len(data), 200)
            at = chance.randrange(max(1, reach))
            match chance.randrange(5):
                case 0:
                    data[at : at + 1] = bytes([chance.randrange(256)])
                case 1:
                    data[at : at + 4] = chance.choice([b"\xff" * 4, bytes(4), b"\x7f\xff\xff\xff", b"\1\0\0\0"])
                case 2:
                    del data[at : at + chance.randint(1, 40)]
                case 3:
                    data[at:at] = data[at : at + chance.randint(1, 40)]
                case 4:
                    data[at : at + 8] = chance.randbytes(8)
        seen.add(outcome(bytes(data)))
    assert len(seen) > 1, "mutations of which none, or all, do harm test nothing"


def test_errors_say_what_is_wrong_and_keep_their_kind() -> None:
    with pytest.raises(InvalidImage, match="empty"):
        probe(b"", LIMITS)
    with pytest.raises(ImageTooLarge, match="1000001 x 1 pixels are over the limit of 1000000"):
        probe(_png_header(1_000_001, 1), LIMITS)
    with pytest.raises(InvalidImage, match="has no end"):
        probe(SAMPLES["jpeg"][:-300], LIMITS)


def _png_header(width: int, height: int) -> bytes:
    from image_samples import png

    return png(width, height, depth=8, color_type=2, rows=b"")
