"""Limits hold before anything is decoded: a small file can't fill the memory."""

import os
import struct
import subprocess
import sys
import zlib
from pathlib import Path

import numpy as np
import pytest
from image_samples import encoded, png_chunk, scene

from lookalike.errors import ImageTooLarge
from lookalike.images.decode import decode
from lookalike.images.limits import ImageLimits
from lookalike.images.probe import probe

FORMATS = ["JPEG", "PNG", "WEBP", "GIF", "BMP", "TIFF"]
# 16,000 x 11,000: over our 100 million pixels, under Pillow's 178 million, 528 MB as RGB.
WIDTH, HEIGHT = 16_000, 11_000


@pytest.mark.parametrize("format", FORMATS)
def test_both_limits_are_inclusive_and_hold_for_probing_and_decoding(format: str) -> None:
    data = encoded(scene(20, 10), format)
    exactly = ImageLimits(max_bytes=len(data), max_pixels=200)
    assert probe(data, exactly).width == 20
    assert decode(data, exactly).shape == (10, 20, 3)
    for limits in (ImageLimits(max_bytes=len(data) - 1), ImageLimits(max_pixels=199)):
        with pytest.raises(ImageTooLarge) as caught:
            probe(data, limits)
        with pytest.raises(ImageTooLarge):
            decode(data, limits)
        assert caught.value.code == "image_too_large"


def png_bomb() -> bytes:
    header = struct.pack(">IIBBBBB", WIDTH, HEIGHT, 8, 2, 0, 0, 0)
    row = zlib.compress(bytes(WIDTH * 3 + 1), 9)
    return b"\x89PNG\r\n\x1a\n" + png_chunk(b"IHDR", header) + png_chunk(b"IDAT", row) + png_chunk(b"IEND", b"")


def png_text_bomb() -> bytes:
    """A small picture whose compressed text unpacks to 500 MB."""
    text = b"Comment\0\0" + zlib.compress(bytes(500_000_000), 9)
    header = struct.pack(">IIBBBBB", 1, 1, 8, 2, 0, 0, 0)
    pixels = png_chunk(b"IDAT", zlib.compress(bytes(4)))
    return (
        b"\x89PNG\r\n\x1a\n" + png_chunk(b"IHDR", header) + png_chunk(b"zTXt", text) + pixels + png_chunk(b"IEND", b"")
    )


def gif_bomb() -> bytes:
    small = bytearray(encoded(np.zeros((2, 2), np.uint8), "GIF"))
    small[6:10] = struct.pack("<HH", WIDTH, HEIGHT)
    return bytes(small)


def gif_frame_bomb() -> bytes:
    """The canvas is small, the first frame is not."""
    small = bytearray(encoded(np.zeros((2, 2), np.uint8), "GIF"))
    frame = small.rindex(b"\x2c\0\0\0\0\2\0\2\0")
    small[frame + 5 : frame + 9] = struct.pack("<HH", WIDTH, HEIGHT)
    return bytes(small)


def webp_bomb() -> bytes:
    """A lossless WebP of one colour: a real one, of a few hundred bytes."""
    canvas = struct.pack("<I", 0)[:4] + (WIDTH - 1).to_bytes(3, "little") + (HEIGHT - 1).to_bytes(3, "little")
    frame = encoded(np.zeros((2, 2, 3), np.uint8), "WEBP", lossless=True)[12:]
    body = b"WEBP" + b"VP8X" + struct.pack("<I", 10) + canvas + frame
    return b"RIFF" + struct.pack("<I", len(body)) + body


def webp_animation_bomb() -> bytes:
    """Says, truly, that it is an animation on a canvas of 176 million pixels."""
    small = [np.full((2, 2, 3), grey, np.uint8) for grey in (0, 255)]
    from PIL import Image

    frames = [Image.fromarray(pixels) for pixels in small]
    data = bytearray(encoded(frames[0], "WEBP", save_all=True, append_images=frames[1:], lossless=True))
    assert data[12:16] == b"VP8X"
    data[24:30] = (WIDTH - 1).to_bytes(3, "little") + (HEIGHT - 1).to_bytes(3, "little")
    return bytes(data)


def tiff_bomb() -> bytes:
    data = encoded(np.zeros((2, 2), np.uint8), "TIFF", compression="tiff_adobe_deflate")
    return _with_tiff_tags(data, {256: WIDTH, 257: HEIGHT, 278: HEIGHT})


def _with_tiff_tags(data: bytes, values: dict[int, int]) -> bytes:
    changed = bytearray(data)
    (start,) = struct.unpack_from("<I", data, 4)
    for number in range(struct.unpack_from("<H", data, start)[0]):
        entry = start + 2 + 12 * number
        tag = struct.unpack_from("<H", data, entry)[0]
        if tag in values:
            struct.pack_into("<HII", changed, entry + 2, 4, 1, values[tag])
    return bytes(changed)


def bmp_bomb() -> bytes:
    changed = bytearray(encoded(np.zeros((2, 2, 3), np.uint8), "BMP"))
    struct.pack_into("<ii", changed, 18, WIDTH, HEIGHT)
    return bytes(changed)


def jpeg_bomb() -> bytes:
    changed = bytearray(encoded(np.zeros((8, 8, 3), np.uint8), "JPEG", progressive=True))
    frame = changed.index(b"\xff\xc2")
    struct.pack_into(">HH", changed, frame + 5, HEIGHT, WIDTH)
    return bytes(changed)


BOMBS = {
    make.__name__: make
    for make in (png_bomb, gif_bomb, gif_frame_bomb, webp_bomb, webp_animation_bomb, tiff_bomb, bmp_bomb, jpeg_bomb)
}
_MEASURE = """
import sys
from pathlib import Path
from lookalike.errors import LookalikeError
from lookalike.images.decode import decode
from lookalike.images.limits import ImageLimits
from lookalike.images.probe import probe
from lookalike.images.thumbnails import thumbnail

def peak_kib():
    # Not getrusage: across a fork that counts the parent's memory too.
    return int(Path("/proc/self/status").read_text().partition("VmHWM:")[2].split()[0])

def tried(work, data):
    try:
        work(data)
    except LookalikeError as error:
        return error.code
    return "fine"

small = Path(sys.argv[1]).read_bytes()
limits = ImageLimits()
works = [lambda d: probe(d, limits), lambda d: decode(d, limits), lambda d: thumbnail(d, size=64, limits=limits)]
[tried(work, small) for work in works]
before = peak_kib()
for path in sys.argv[2:]:
    data = Path(path).read_bytes()
    print(Path(path).name, *[tried(work, data) for work in works])
print("grown_kib", peak_kib() - before)
"""


@pytest.mark.parametrize("name", BOMBS)
def test_a_bomb_is_refused(name: str) -> None:
    data = BOMBS[name]()
    assert len(data) < 300_000
    for work in (probe, decode):
        with pytest.raises(ImageTooLarge):
            work(data, ImageLimits())


@pytest.mark.skipif(not Path("/proc/self/status").exists(), reason="peak memory is read from Linux's /proc")
def test_no_bomb_grows_the_memory(tmp_path: Path) -> None:
    """Peak resident memory of a process of its own, over all bombs: each would be 176 to 704 MB when decoded."""
    small = tmp_path / "small"
    small.write_bytes(encoded(scene(64, 64), "PNG"))
    paths = []
    for name, make in {**BOMBS, "png_text_bomb": png_text_bomb}.items():
        paths.append(tmp_path / name)
        paths[-1].write_bytes(make())
    done = subprocess.run(
        [sys.executable, "-c", _MEASURE, str(small), *map(str, paths)],
        check=True,
        capture_output=True,
        text=True,
        timeout=120,
        env={**os.environ, "OMP_NUM_THREADS": "1"},
    )
    lines = [line.split() for line in done.stdout.splitlines()]
    for name, *codes in lines[:-2]:
        assert codes == ["image_too_large"] * 3, (name, codes)
    assert lines[-2] == ["png_text_bomb", *["invalid_image"] * 3]
    print(f"{len(paths)} bombs: {lines[-1][1]} KiB more")  # noqa: T201 -- with -s, for reports
    assert int(lines[-1][1]) < 24 * 1024, done.stdout
