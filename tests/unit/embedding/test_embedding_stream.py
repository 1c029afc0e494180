"""The hot path: order, failures, bounded look-ahead, and threads that end."""

import io
import threading
from collections.abc import Iterator

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from PIL import Image

from lookalike.embedding.stream import Embedded, Failed, embed_stream
from lookalike.errors import DependencyUnavailable, InvalidImage, LookalikeError
from lookalike.images.limits import ImageLimits
from lookalike.types.models import ModelManifest, ResizePolicy


class ColourEmbedder:
    """The mean colour of an image: two dimensions tell images apart by their red."""

    def __init__(self, batch_size: int = 3) -> None:
        self.manifest = ModelManifest(
            name="colour", dimension=2, input_size=8, resize_policy=ResizePolicy.SQUASH, digest=""
        )
        self.batch_size = batch_size
        self.batches: list[int] = []

    def embed(self, images_NHWC: np.ndarray) -> np.ndarray:
        self.batches.append(len(images_NHWC))
        angle_N = images_NHWC[..., 0].mean(axis=(1, 2)) / 255
        return np.stack([np.cos(angle_N), np.sin(angle_N)], axis=1).astype(np.float32)

    def close(self) -> None: ...


def png(red: int) -> bytes:
    file = io.BytesIO()
    Image.new("RGB", (10, 10), (red, 0, 0)).save(file, "PNG")
    return file.getvalue()


PNGS = [png(red) for red in range(256)]


def read(item: int) -> bytes:
    """Negative items cannot be read, those from 1000 are no images."""
    if item < 0:
        raise InvalidImage("cannot be read", item=item)
    return PNGS[item] if item < 1000 else b"not an image"


def flat(outcomes: list[Embedded[int] | Failed[int]]) -> list[tuple[int, float | None]]:
    pairs: list[tuple[int, float | None]] = []
    for outcome in outcomes:
        if isinstance(outcome, Failed):
            pairs.append((outcome.item, None))
        else:
            assert len(outcome.items) == len(outcome.embeddings_ND) > 0
            reds = np.arctan2(outcome.embeddings_ND[:, 1], outcome.embeddings_ND[:, 0]) * 255
            pairs.extend(zip(outcome.items, reds.tolist(), strict=True))
    return pairs


@settings(max_examples=60, deadline=None)
@given(
    items=st.lists(st.one_of(st.integers(0, 255), st.just(-1), st.just(1000)), max_size=40),
    batch_size=st.integers(1, 7),
    workers=st.integers(1, 4),
)
def test_every_item_comes_once_in_order_with_its_own_embedding(items, batch_size, workers):
    pairs = flat(list(embed_stream(items, read, ColourEmbedder(batch_size), workers=workers)))
    assert [item for item, _ in pairs] == items
    for item, red in pairs:
        if 0 <= item < 256:
            assert red == pytest.approx(item, abs=0.01)
        else:
            assert red is None


def test_failures_say_why():
    outcomes = list(embed_stream([-1, 5, 1000], read, ColourEmbedder()))
    assert [type(outcome) for outcome in outcomes] == [Failed, Embedded, Failed]
    assert outcomes[0].error.details == {"item": -1}
    assert isinstance(outcomes[2].error, InvalidImage)


def test_limits_hold():
    (outcome,) = embed_stream([7], read, ColourEmbedder(), ImageLimits(max_pixels=99))
    assert isinstance(outcome, Failed)
    assert outcome.error.code == "image_too_large"


def test_no_items_no_outcomes():
    assert list(embed_stream([], read, ColourEmbedder())) == []


def test_items_are_taken_only_a_few_batches_ahead():
    taken = 0

    def items() -> Iterator[int]:
        nonlocal taken
        for item in range(200):
            taken += 1
            yield item

    outcomes = embed_stream(items(), read, ColourEmbedder(2), workers=3)
    next(outcomes)
    assert taken <= 2 * (3 + 1)
    assert len(flat(list(outcomes))) == 198


class Odd(Exception):
    pass


@pytest.mark.parametrize("error", [Odd("bug"), DependencyUnavailable("the store is down")])
def test_what_is_not_the_images_fault_ends_the_run_after_what_came_before(error):
    def failing(item: int) -> bytes:
        if item == 7:
            raise error
        return read(item)

    outcomes = embed_stream(range(20), failing, ColourEmbedder(2))
    assert [next(outcomes).items for _ in range(3)] == [(0, 1), (2, 3), (4, 5)]
    with pytest.raises(type(error)):
        next(outcomes)


def test_errors_of_the_embedder_end_the_run():
    class Broken(ColourEmbedder):
        def embed(self, images_NHWC: np.ndarray) -> np.ndarray:
            raise DependencyUnavailable("no embedder")

    with pytest.raises(LookalikeError, match="no embedder"):
        list(embed_stream([1, 2], read, Broken()))


def test_closing_early_stops_the_threads():
    before = set(threading.enumerate())
    outcomes = embed_stream(range(100), read, ColourEmbedder(1), workers=3)
    next(outcomes)
    assert any(thread.name.startswith("embed-stream") for thread in set(threading.enumerate()) - before)
    outcomes.close()
    assert set(threading.enumerate()) <= before


def test_one_slow_image_does_not_keep_the_others_from_being_decoded():
    others_done = threading.Event()

    def waiting(item: int) -> bytes:
        if item == 0:
            assert others_done.wait(timeout=30), "item 3 was not read while item 0 was"
        elif item == 3:
            others_done.set()
        return read(item)

    assert [item for item, _ in flat(list(embed_stream(range(6), waiting, ColourEmbedder(2), workers=2)))] == [
        *range(6)
    ]
