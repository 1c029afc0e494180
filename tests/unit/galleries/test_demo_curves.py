import math

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from PIL import Image

from lookalike.galleries.demo.canvas import Canvas, Frame, Pen
from lookalike.galleries.demo.curves import Tube, arc, polar, smooth

IDENTITY = Frame(1.0, 0.0, 0.0, 0.0, 1.0, 0.0)


def test_a_spline_passes_through_its_points():
    points = [(0.0, 0.0), (1.0, 2.0), (3.0, 1.0), (4.0, 4.0)]
    samples = smooth(points, steps=5)
    assert len(samples) == 3 * 5 + 1
    assert [samples[i] for i in (0, 5, 10, 15)] == [pytest.approx(point) for point in points]


def test_a_spline_through_points_on_a_line_stays_on_it():
    samples = smooth([(0.0, 0.0), (1.0, 1.0), (2.0, 2.0), (3.0, 3.0)])
    assert all(x == pytest.approx(y) for x, y in samples)


def test_angles_turn_clockwise_as_seen():
    assert polar(1.0, 1.0, 90.0, 2.0) == pytest.approx((1.0, 3.0))  # down
    assert arc(0, 0, 2, 1, 0, 90, num=2)[1] == pytest.approx((0.0, 1.0))


def test_a_tube_to_the_right_has_its_left_edge_above():
    tube = Tube.through([(0.0, 0.0), (10.0, 0.0)], [1.0, 3.0])
    assert tube.at(0.0, -1.0) == pytest.approx((0.0, -1.0))
    assert tube.at(0.5, 1.0) == pytest.approx((5.0, 2.0))
    xs = [x for x, _ in tube.outline()]
    assert min(xs) == pytest.approx(-1.0)
    assert max(xs) == pytest.approx(13.0)


@given(st.floats(0, 1), st.floats(-1, 1))
@settings(deadline=None, max_examples=50)
def test_every_position_on_a_tube_is_within_its_radius_of_the_spine(along, across):
    tube = Tube.through([(0.0, 0.0), (10.0, 0.0)], [2.0, 2.0])
    x, y = tube.at(along, across)
    assert (x, y) == pytest.approx((10 * along, 2 * across), abs=1e-9)


def test_a_part_is_turned_and_stretched_within_its_object():
    frame = Frame(10.0, 0.0, 100.0, 0.0, 10.0, 50.0).within(1.0, 2.0, 90.0, 2.0, 1.0)
    assert frame.apply([(0.0, 0.0), (1.0, 0.0), (0.0, 1.0)]) == [
        pytest.approx((110.0, 70.0)),
        pytest.approx((110.0, 90.0)),
        pytest.approx((100.0, 70.0)),
    ]
    assert frame.scale == pytest.approx(math.sqrt(200.0))


def test_the_canvas_knows_whose_pixels_are_seen():
    canvas = Canvas(Image.new("RGB", (20, 10), (9, 9, 9)))
    square = [(2.0, 2.0), (7.0, 2.0), (7.0, 7.0), (2.0, 7.0)]
    Pen(canvas, IDENTITY, owner=1).polygon(square, (200, 0, 0))
    Pen(canvas, IDENTITY, owner=2).polygon([(x + 3, y) for x, y in square], (0, 200, 0))
    owners = canvas.owners
    assert [owners.getpixel((x, 4)) for x in (0, 3, 6, 9, 12)] == [0, 1, 2, 2, 0]
    picture = canvas.picture()
    assert picture.size == (20, 10)
    assert [picture.getpixel((x, 4)) for x in (0, 3, 6)] == [(9, 9, 9), (200, 0, 0), (0, 200, 0)]


def test_a_ring_shows_what_is_behind_its_hole():
    canvas = Canvas(Image.new("RGB", (40, 40), (9, 9, 9)))
    Pen(canvas, IDENTITY, owner=1).ring(20, 20, 15, 15, 0.5, (0, 0, 200))
    assert canvas.owners.getpixel((20, 20)) == 0
    assert canvas.owners.getpixel((20, 9)) == 1
    assert canvas.picture().getpixel((20, 20)) == (9, 9, 9)
