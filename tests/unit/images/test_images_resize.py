"""The three resize policies, and that scaling while decoding is not seen in what the model gets."""

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from image_samples import difference, encoded, scene

from lookalike.errors import InvalidRequest
from lookalike.images.decode import Side, decode
from lookalike.images.limits import ImageLimits
from lookalike.images.prepare import prepare
from lookalike.images.resize import resize
from lookalike.images.thumbnails import thumbnail
from lookalike.types.models import ResizePolicy

LIMITS = ImageLimits()
SIDES = st.integers(1, 400)
WHITE = 255


@given(width=SIDES, height=SIDES, size=st.integers(1, 64), policy=st.sampled_from(list(ResizePolicy)))
def test_any_shape_becomes_the_square(width: int, height: int, size: int, policy: ResizePolicy) -> None:
    square = resize(scene(width, height), size, policy)
    assert square.shape == (size, size, 3)
    assert square.dtype == np.uint8


@given(width=SIDES, height=SIDES, size=st.integers(1, 64))
def test_letterbox_is_centred_on_black_in_the_images_own_proportions(width: int, height: int, size: int) -> None:
    square = resize(np.full((height, width, 3), WHITE, np.uint8), size, ResizePolicy.LETTERBOX)
    filled = square[:, :, 0] == WHITE
    assert np.isin(square, (0, WHITE)).all()
    across, down = filled.any(axis=0), filled.any(axis=1)
    assert np.array_equal(filled, np.outer(down, across)), "one rectangle"
    for line, side in ((across, width), (down, height)):
        first, last = int(line.argmax()), size - 1 - int(line[::-1].argmax())
        assert line[first : last + 1].all()
        assert 0 <= (size - 1 - last) - first <= 1, "the odd pixel of the border is at the end"
        assert abs((last + 1 - first) - max(1.0, side * size / max(width, height))) <= 0.5
    assert across.all() or down.all()


@given(width=SIDES, height=SIDES, size=st.integers(1, 64))
def test_squash_and_centre_crop_leave_no_border(width: int, height: int, size: int) -> None:
    for policy in (ResizePolicy.SQUASH, ResizePolicy.CENTER_CROP):
        assert (resize(np.full((height, width, 3), WHITE, np.uint8), size, policy) == WHITE).all()


@pytest.mark.parametrize(("width", "height"), [(300, 100), (100, 300), (1000, 10), (10, 1000), (301, 100)])
def test_centre_crop_takes_the_middle_square_only(width: int, height: int) -> None:
    image = np.zeros((height, width, 3), np.uint8)
    side = min(width, height)
    top, left = (height - side + 1) // 2, (width - side + 1) // 2
    image[top : top + side, left : left + side] = WHITE
    square = resize(image, 10, ResizePolicy.CENTER_CROP)
    # As when the whole is resized and then cropped, the outermost pixels average over the crop's edge.
    assert (square[1:-1, 1:-1] == WHITE).all()
    assert square.min() > 200


def test_squash_keeps_every_part_of_a_long_image() -> None:
    stripes = np.repeat(np.array([[10], [90], [170], [250]], np.uint8), 250, axis=0).reshape(1, 1000, 1)
    square = resize(np.broadcast_to(stripes, (3, 1000, 3)).copy(), 4, ResizePolicy.SQUASH)
    assert np.abs(square[:, :, 0].astype(int) - [10, 90, 170, 250]).max() <= 40
    assert (np.diff(square[0, :, 0].astype(int)) > 0).all()


def test_a_square_of_the_right_size_is_unchanged_by_all() -> None:
    image = scene(48, 48)
    for policy in ResizePolicy:
        np.testing.assert_array_equal(resize(image, 48, policy), image)


@settings(max_examples=30, deadline=None)
@given(
    width=st.integers(20, 1500),
    height=st.integers(20, 1500),
    size=st.sampled_from([16, 64, 224]),
    policy=st.sampled_from(list(ResizePolicy)),
)
def test_a_jpeg_scaled_while_decoding_gives_the_model_nearly_the_same(
    width: int, height: int, size: int, policy: ResizePolicy
) -> None:
    """For every aspect ratio and policy; the rule that only the longer side decided blurred long images."""
    data = encoded(textured(width, height), "JPEG", quality=92)
    whole = resize(decode(data, LIMITS), size, policy)
    assert difference(prepare(data, size=size, policy=policy, limits=LIMITS), whole) < 2.5


@pytest.mark.parametrize("policy", [ResizePolicy.SQUASH, ResizePolicy.CENTER_CROP])
@pytest.mark.parametrize(("width", "height"), [(2400, 300), (300, 2400)])
def test_the_short_side_of_a_long_image_is_never_decoded_below_the_target(
    width: int, height: int, policy: ResizePolicy
) -> None:
    data = encoded(textured(width, height), "JPEG", quality=92)
    assert min(decode(data, LIMITS, at_least=224, side=Side.SHORTER).shape[:2]) == 300
    np.testing.assert_array_equal(
        prepare(data, size=224, policy=policy, limits=LIMITS), resize(decode(data, LIMITS), 224, policy)
    )


@settings(max_examples=40, deadline=None)
@given(width=st.integers(1, 2000), height=st.integers(1, 300), at_least=st.integers(1, 400), side=st.sampled_from(Side))
def test_at_least_keeps_its_promise_and_the_aspect_ratio(width: int, height: int, at_least: int, side: Side) -> None:
    data = encoded(np.zeros((height, width, 3), np.uint8), "JPEG")
    scaled = decode(data, LIMITS, at_least=at_least, side=side).shape[:2]
    decides = max if side is Side.LONGER else min
    assert decides(scaled) >= min(decides(height, width), int(1.4 * at_least))
    eighths = max(scaled[0] * 8 / height, scaled[1] * 8 / width)
    assert scaled in [(-(-height * n // 8), -(-width * n // 8)) for n in range(1, 9)], eighths
    # Scales between one half and one are slower than none.
    assert scaled == (height, width) or scaled[1] <= (width + 1) // 2


def test_only_jpegs_are_scaled_and_only_when_asked() -> None:
    image = scene(1600, 1200)
    assert decode(encoded(image, "PNG", compress_level=1), LIMITS, at_least=50).shape == image.shape
    jpeg = encoded(image, "JPEG")
    assert decode(jpeg, LIMITS).shape == image.shape
    assert decode(jpeg, LIMITS, at_least=50).shape == (150, 200, 3)
    assert decode(jpeg, LIMITS, at_least=224).shape == (300, 400, 3)
    assert decode(jpeg, LIMITS, at_least=224, side=Side.SHORTER).shape == (450, 600, 3)
    assert decode(encoded(scene(640, 427), "JPEG"), LIMITS, at_least=224).shape == (214, 320, 3)


@pytest.mark.parametrize(("width", "height"), [(640, 480), (20, 10), (3000, 1), (1, 3000)])
def test_a_thumbnail_fits_and_never_grows(width: int, height: int) -> None:
    small = decode(thumbnail(encoded(scene(width, height), "PNG"), size=64, limits=LIMITS), LIMITS)
    assert max(small.shape[:2]) == min(64, max(width, height))
    assert min(small.shape[:2]) >= 1


@pytest.mark.parametrize("size", [31, 1025, 0, -1])
def test_a_thumbnail_of_another_size_is_refused(size: int) -> None:
    with pytest.raises(InvalidRequest):
        thumbnail(encoded(scene(8, 8), "PNG"), size=size, limits=LIMITS)


def textured(width: int, height: int) -> np.ndarray:
    """Detail at several scales, as photographs have."""
    down_HW, across_HW = np.mgrid[0:height, 0:width]
    waves = sum(
        np.sin(across_HW / period + 2 * np.cos(down_HW / (1.7 * period))) * period**0.5 for period in (3, 9, 27, 81)
    )
    greys = 127 + 110 * waves / np.abs(waves).max()
    return np.stack([greys, 255 - greys, (greys + across_HW) % 256 / 4 + 90], axis=2).astype(np.uint8)
