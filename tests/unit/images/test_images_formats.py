"""Every format and kind of pixel arrives as the RGB picture that it shows."""

import io
import struct

import numpy as np
import pytest
from image_samples import difference, encoded, interlaced_png, png, png_chunk, scene
from PIL import Image, ImageCms

from lookalike.images.decode import decode
from lookalike.images.limits import ImageLimits
from lookalike.images.probe import ImageInfo, probe

LIMITS = ImageLimits()
SCENE = scene(97, 61)
GREY = SCENE[:, :, 0]


def test_jpegs_baseline_progressive_and_subsampled_show_the_scene() -> None:
    for options in ({}, {"progressive": True}, {"subsampling": 0}, {"subsampling": 2}, {"optimize": True}):
        data = encoded(SCENE, "JPEG", quality=95, **options)
        assert probe(data, LIMITS) == ImageInfo("jpeg", 97, 61, 1)
        assert difference(decode(data, LIMITS), SCENE) < 3, options


def test_a_grey_jpeg_has_three_equal_channels() -> None:
    pixels = decode(encoded(GREY, "JPEG", quality=95), LIMITS)
    assert pixels.shape == (61, 97, 3)
    assert np.ptp(pixels, axis=2).max() == 0
    assert difference(pixels[:, :, 0], GREY) < 2


def test_a_cmyk_jpeg_is_read_as_adobe_writes_it_inverted() -> None:
    # Pure cyan, magenta, yellow and black ink in four quarters, 0 to 255.
    inks = np.zeros((32, 32, 4), np.uint8)
    for ink, quarter in enumerate([(0, 0), (0, 16), (16, 0), (16, 16)]):
        inks[quarter[0] : quarter[0] + 16, quarter[1] : quarter[1] + 16, ink] = 255
    data = encoded(Image.fromarray(inks, "CMYK"), "JPEG", quality=100)
    assert b"Adobe" in data
    pixels = decode(data, LIMITS)
    seen = [tuple(pixels[y, x].tolist()) for y, x in ((8, 8), (8, 24), (24, 8), (24, 24))]
    for found, expected in zip(seen, [(0, 255, 255), (255, 0, 255), (255, 255, 0), (0, 0, 0)], strict=True):
        assert np.abs(np.subtract(found, expected)).max() <= 4


def test_a_ycck_jpeg_is_read_as_adobe_writes_it() -> None:
    """Adobe's YCCK is the YCbCr of the inks: Y = 200, Cb = Cr = 128 is 200 of each colour, that is grey 55."""
    stored = np.zeros((16, 16, 4), np.uint8)
    stored[:] = (255 - 200, 255 - 128, 255 - 128, 0)  # Pillow stores the complements
    data = encoded(Image.fromarray(stored, "CMYK"), "JPEG", quality=100)
    transform = data.index(b"Adobe") + 11
    assert data[transform] == 0
    ycck = data[:transform] + b"\2" + data[transform + 1 :]
    assert np.abs(decode(ycck, LIMITS).astype(int) - 55).max() <= 3


def test_the_first_picture_of_an_mpo_is_taken() -> None:
    first, second = Image.fromarray(SCENE), Image.fromarray(255 - SCENE)
    data = encoded(first, "MPO", save_all=True, append_images=[second], quality=95)
    assert probe(data, LIMITS) == ImageInfo("jpeg", 97, 61, 1)
    assert difference(decode(data, LIMITS), SCENE) < 3


def test_a_jpeg_with_a_video_behind_it_is_whole() -> None:
    data = encoded(SCENE, "JPEG", quality=95) + bytes(100_000)
    assert probe(data, LIMITS).width == 97
    assert difference(decode(data, LIMITS), SCENE) < 3


@pytest.mark.parametrize("options", [{}, {"compress_level": 0}, {"bits": 8}])
def test_a_png_is_exact(options: dict[str, int]) -> None:
    np.testing.assert_array_equal(decode(encoded(SCENE, "PNG", **options), LIMITS), SCENE)


def test_an_interlaced_png_is_exact() -> None:
    data = interlaced_png(SCENE)
    with Image.open(io.BytesIO(data)) as image:
        assert image.info["interlace"] == 1
    np.testing.assert_array_equal(decode(data, LIMITS), SCENE)


def test_a_palette_png_has_its_colours_and_its_transparent_entry_is_white() -> None:
    image = Image.new("P", (3, 1))
    image.putpalette([255, 0, 0, 0, 255, 0, 0, 0, 255])
    image.putdata([0, 1, 2])
    np.testing.assert_array_equal(decode(encoded(image, "PNG"), LIMITS), [[[255, 0, 0], [0, 255, 0], [0, 0, 255]]])
    np.testing.assert_array_equal(
        decode(encoded(image, "PNG", transparency=1), LIMITS), [[[255, 0, 0], [255, 255, 255], [0, 0, 255]]]
    )


@pytest.mark.parametrize("format", ["PNG", "WEBP", "TIFF"])
def test_alpha_is_laid_over_white(format: str) -> None:
    pixels = np.zeros((2, 2, 4), np.uint8)
    pixels[0, 0] = (10, 20, 30, 255)
    pixels[0, 1] = (10, 20, 30, 0)
    pixels[1, 0] = (0, 0, 0, 128)
    pixels[1, 1] = (255, 255, 255, 77)
    options = {"lossless": True, "exact": True} if format == "WEBP" else {}
    found = decode(encoded(Image.fromarray(pixels), format, **options), LIMITS)
    expected = [[[10, 20, 30], [255, 255, 255]], [[127, 127, 127], [255, 255, 255]]]
    assert np.abs(found.astype(int) - expected).max() <= 1


def test_grey_with_alpha_and_one_bit_pngs() -> None:
    grey_alpha = Image.merge("LA", [Image.new("L", (1, 1), 40), Image.new("L", (1, 1), 0)])
    np.testing.assert_array_equal(decode(encoded(grey_alpha, "PNG"), LIMITS), [[[255, 255, 255]]])
    bits = Image.fromarray(np.array([[0, 255], [255, 0]], np.uint8)).convert("1")
    np.testing.assert_array_equal(decode(encoded(bits, "PNG"), LIMITS)[:, :, 0], [[0, 255], [255, 0]])


GREYS_16 = np.array([[0, 128, 129, 257], [32768, 65407, 65278, 65535]], np.uint16)
GREYS_8 = [[0, 0, 1, 1], [128, 255, 254, 255]]  # by 257, rounded: 65407 / 257 = 254.502, 65278 / 257 = 254.0


def test_greys_of_16_bits_keep_their_range() -> None:
    for data in (
        encoded(Image.fromarray(GREYS_16), "PNG"),
        encoded(Image.fromarray(GREYS_16), "TIFF"),
        encoded(Image.fromarray(GREYS_16.astype(np.int32)), "TIFF"),
    ):
        assert decode(data, LIMITS)[:, :, 0].tolist() == GREYS_8
        assert np.ptp(decode(data, LIMITS), axis=2).max() == 0


def test_integers_outside_16_bits_are_clipped() -> None:
    wide = np.array([[-5, 70_000]], np.int32)
    assert decode(encoded(Image.fromarray(wide), "TIFF"), LIMITS)[0, :, 0].tolist() == [0, 255]


def test_rgb_and_alpha_of_16_bits_in_a_png() -> None:
    rows = b"\0" + struct.pack(">6H", 65535, 0, 32768, 257, 514, 65278)
    found = decode(png(2, 1, depth=16, color_type=2, rows=rows), LIMITS)
    assert np.abs(found.astype(int) - [[[255, 0, 128], [1, 2, 254]]]).max() <= 1
    rows = b"\0" + struct.pack(">8H", 0, 0, 0, 65535, 0, 0, 0, 0)
    found = decode(png(2, 1, depth=16, color_type=6, rows=rows), LIMITS)
    assert found.tolist() == [[[0, 0, 0], [255, 255, 255]]]


def test_floats_in_a_tiff_by_0_to_1_or_their_own_finite_range() -> None:
    for values, expected in (
        ([[0.0, 0.5, 1.0]], [0, 128, 255]),
        ([[0.2, 0.2, 0.2]], [51, 51, 51]),
        ([[-10.0, 0.0, 10.0]], [0, 128, 255]),
        ([[7.0, 7.0, 7.0]], [0, 0, 0]),
        ([[np.nan, np.inf, -np.inf]], [0, 255, 0]),
        ([[np.nan, 300.0, 100.0]], [0, 255, 0]),
        ([[np.inf, 300.0, 100.0]], [255, 255, 0]),
    ):
        data = encoded(Image.fromarray(np.array(values, np.float32)), "TIFF")
        assert decode(data, LIMITS)[0, :, 0].tolist() == expected, values


def test_webp_lossy_lossless_and_the_first_frame_of_an_animation() -> None:
    assert difference(decode(encoded(SCENE, "WEBP", quality=95), LIMITS), SCENE) < 4
    np.testing.assert_array_equal(decode(encoded(SCENE, "WEBP", lossless=True), LIMITS), SCENE)
    frames = [Image.fromarray(SCENE), Image.fromarray(255 - SCENE)]
    data = encoded(frames[0], "WEBP", save_all=True, append_images=frames[1:], lossless=True)
    np.testing.assert_array_equal(decode(data, LIMITS), SCENE)
    assert probe(data, LIMITS) == ImageInfo("webp", 97, 61, 1)


def test_the_first_frame_of_a_gif_with_its_transparent_parts_white() -> None:
    first = Image.new("P", (2, 1))
    first.putpalette([200, 0, 0, 0, 0, 200])
    first.putdata([0, 1])
    second = first.copy()
    second.putdata([1, 0])
    data = encoded(first, "GIF", save_all=True, append_images=[second], transparency=1, duration=100)
    with Image.open(io.BytesIO(data)) as image:
        assert image.n_frames == 2
    assert decode(data, LIMITS).tolist() == [[[200, 0, 0], [255, 255, 255]]]


def test_a_gif_frame_that_is_larger_than_its_canvas_has_the_size_that_was_probed() -> None:
    data = bytearray(encoded(Image.fromarray(SCENE).convert("P"), "GIF"))
    data[6:10] = struct.pack("<HH", 5, 5)
    info = probe(bytes(data), LIMITS)
    assert decode(bytes(data), LIMITS).shape == (info.height, info.width, 3)


@pytest.mark.parametrize("mode", ["RGB", "L", "P", "1"])
def test_bmp(mode: str) -> None:
    image = Image.fromarray(SCENE).convert(mode)
    np.testing.assert_array_equal(decode(encoded(image, "BMP"), LIMITS), np.asarray(image.convert("RGB")))


@pytest.mark.parametrize("compression", ["raw", "tiff_lzw", "tiff_adobe_deflate", "packbits", "jpeg"])
def test_tiffs_of_every_compression(compression: str) -> None:
    options = {"quality": 95} if compression == "jpeg" else {}
    found = decode(encoded(SCENE, "TIFF", compression=compression, **options), LIMITS)
    assert difference(found, SCENE) < (3 if compression == "jpeg" else 1e-9)


def test_a_cmyk_tiff_and_the_first_page_of_several() -> None:
    inks = Image.new("CMYK", (4, 4), (255, 0, 0, 0))
    assert decode(encoded(inks, "TIFF"), LIMITS)[0, 0].tolist() == [0, 255, 255]
    pages = [Image.fromarray(SCENE), Image.fromarray(255 - SCENE)]
    data = encoded(pages[0], "TIFF", save_all=True, append_images=pages[1:], compression="tiff_lzw")
    np.testing.assert_array_equal(decode(data, LIMITS), SCENE)


@pytest.mark.parametrize("format", ["JPEG", "PNG", "WEBP", "GIF", "BMP", "TIFF"])
def test_one_pixel_and_lines_of_every_format(format: str) -> None:
    for width, height in ((1, 1), (1, 300), (300, 1)):
        data = encoded(np.full((height, width, 3), 200, np.uint8), format)
        info = probe(data, LIMITS)
        pixels = decode(data, LIMITS)
        assert pixels.shape == (height, width, 3) == (info.height, info.width, 3)
        assert pixels.flags.c_contiguous
        assert np.abs(pixels.astype(int) - 200).max() <= 3


@pytest.mark.parametrize("format", ["JPEG", "PNG", "WEBP", "GIF", "BMP", "TIFF"])
def test_the_extension_or_a_metadata_block_does_not_matter_the_bytes_do(format: str) -> None:
    options: dict[str, object] = {}
    if format in ("JPEG", "PNG", "WEBP", "TIFF"):
        options["icc_profile"] = ImageCms.ImageCmsProfile(ImageCms.createProfile("sRGB")).tobytes()
    info = probe(encoded(SCENE, format, **options), LIMITS)
    assert (info.format, info.width, info.height) == (format.lower(), 97, 61)


def test_text_in_a_png_does_no_harm() -> None:
    text = png_chunk(b"tEXt", b"Comment\0" + b"x" * 2_000)
    data = png(1, 1, depth=8, color_type=2, rows=b"\0\x01\x02\x03", before=text)
    assert decode(data, LIMITS).tolist() == [[[1, 2, 3]]]
