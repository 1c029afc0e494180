"""Images that kill a process are found by letting them kill one."""

import io
import os
from pathlib import Path

import pytest
from PIL import Image

from lookalike.images.limits import ImageLimits
from lookalike.images.quarantine import deadly_images
from lookalike.types.models import ResizePolicy

# Runs in every Python process that finds it on its path: what a bug in a decoder would do.
_BUG = """
import os, signal, time
import lookalike.images.prepare as module

decode = module.decode_image

def with_a_bug(data, *arguments, **more):
    if b"kills" in data:
        os.kill(os.getpid(), signal.SIGKILL)
    if b"hangs" in data:
        time.sleep(600)
    return decode(data, *arguments, **more)

module.decode_image = with_a_bug
"""


def jpeg(comment: str) -> bytes:
    file = io.BytesIO()
    Image.new("RGB", (40, 30), (10, 120, 200)).save(file, "jpeg", comment=comment.encode())
    return file.getvalue()


@pytest.fixture
def buggy(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    (tmp_path / "sitecustomize.py").write_text(_BUG)
    monkeypatch.setenv("PYTHONPATH", os.pathsep.join([str(tmp_path), str(Path.cwd())]))


def found(images: list[tuple[str, bytes]], timeout_s: float = 60) -> list[str]:
    limits = ImageLimits()
    return list(deadly_images(images, size=16, policy=ResizePolicy.SQUASH, limits=limits, timeout_s=timeout_s))


@pytest.mark.usefixtures("buggy")
def test_the_images_that_kill_are_named_and_the_others_looked_at() -> None:
    images = [("a", jpeg("fine")), ("b", jpeg("kills")), ("c", jpeg("kills")), ("d", jpeg("fine")), ("e", b"no image")]
    assert found(images) == ["b", "c"]


@pytest.mark.usefixtures("buggy")
def test_one_that_does_not_come_to_an_end_is_named() -> None:
    assert found([("a", jpeg("fine"))]) == []  # the time that a child needs to begin is not the image's
    assert found([("a", jpeg("hangs"))], timeout_s=8) == ["a"]


def test_damaged_images_kill_nobody() -> None:
    whole = jpeg("fine")
    assert found([("cut", whole[: len(whole) // 2]), ("empty", b""), ("text", b"text"), ("whole", whole)]) == []
