"""PNGs of the right size that hold what was given."""

import numpy as np
import pytest
from PIL import Image

from lookalike.errors import InvalidRequest, InvalidSource
from services.trainer.progress import EVENTS, Reporter
from services.trainer.progress.curves import loss_curves, read_curves
from services.trainer.progress.event_log import EventLog
from services.trainer.progress.pictures import (
    CAPTION,
    FRAME,
    GAP,
    OTHER,
    QUERY,
    SAME,
    UNLABELLED,
    nearest,
    reconstruction_sheet,
    retrieval_sheet,
    shown_side,
)

COLOURS = np.array([(250, 0, 0), (0, 250, 0), (0, 0, 250), (250, 250, 0), (0, 250, 250), (90, 60, 30)], np.uint8)


def squares(colours: np.ndarray, side: int = 32) -> np.ndarray:
    return np.broadcast_to(colours[:, None, None], (len(colours), side, side, 3)).copy()


def pixels(path) -> np.ndarray:
    with Image.open(path) as image:
        assert image.format == "PNG"
        assert image.mode == "RGB"
        return np.asarray(image)


@pytest.mark.parametrize(("side", "shown"), [(32, 96), (33, 99), (95, 190), (96, 96), (128, 128), (224, 224)])
def test_small_images_are_shown_larger(side, shown):
    assert shown_side(side) == shown


def test_reconstructions_stand_below_their_originals(tmp_path):
    originals = squares(COLOURS.repeat(2, axis=0))  # twelve: a row of eight and one of four
    reconstructions = 255 - originals
    reconstruction_sheet(originals, reconstructions, tmp_path / "sheet.png")
    sheet = pixels(tmp_path / "sheet.png")
    cell = 96 + GAP
    assert sheet.shape == (2 * (2 * 96 + 2 * GAP) + GAP, 8 * cell + GAP, 3)
    for number in range(12):
        left, top = GAP + number % 8 * cell, GAP + number // 8 * (2 * 96 + 2 * GAP)
        assert (sheet[top : top + 96, left : left + 96] == originals[number, 0, 0]).all()
        below = top + 96 + GAP // 2
        assert (sheet[below : below + 96, left : left + 96] == reconstructions[number, 0, 0]).all()
    assert (sheet[-90:, -90:] == 255).all()  # no thirteenth


def test_one_pixel_stays_one_square(tmp_path):
    originals = squares(COLOURS[:1])
    originals[0, 2, 5] = (1, 2, 3)
    reconstruction_sheet(originals, originals, tmp_path / "sheet.png")
    cell = pixels(tmp_path / "sheet.png")[GAP : GAP + 96, GAP : GAP + 96]
    rows, columns = np.nonzero((cell == (1, 2, 3)).all(axis=2))
    assert (rows.min(), rows.max(), columns.min(), columns.max(), len(rows)) == (6, 8, 15, 17, 9)


def test_neighbours_are_by_cosine_without_the_query_and_ties_by_row():
    embeddings = np.array([[1, 0], [0, 1], [10, 1], [0.5, 0], [-1, 0], [0, 3]], np.float32)
    rows, cosines = nearest(embeddings, [0, 1], 3)
    # of (1, 0): row 3 points the same way, row 2 nearly, rows 1 and 5 are at right angles
    assert rows.tolist() == [[3, 2, 1], [5, 2, 0]]
    assert cosines[0] == pytest.approx([1, 10 / 101**0.5, 0])


def test_a_query_and_its_neighbours_with_frames_by_label(tmp_path):
    images = squares(COLOURS)
    angles = np.deg2rad([0, 10, 20, 30, 40, 180])
    embeddings = np.stack([np.cos(angles), np.sin(angles)], axis=1).astype(np.float32)
    codes = np.array([0, 0, 1, -1, 0, 1])
    retrieval_sheet(images, codes, embeddings, [0, 5], 3, tmp_path / "sheet.png", ("cat", "dog"))
    sheet = pixels(tmp_path / "sheet.png")
    side = 96 + 2 * FRAME
    assert sheet.shape == (2 * (side + CAPTION + GAP) + GAP, 4 * (side + GAP) + 3 * GAP, 3)
    expected = [
        [(0, QUERY), (1, SAME), (2, OTHER), (3, UNLABELLED)],
        [(5, QUERY), (4, OTHER), (3, UNLABELLED), (2, SAME)],
    ]
    for line, cells in enumerate(expected):
        for column, (row, frame) in enumerate(cells):
            left = GAP + column * (side + GAP) + (2 * GAP if column else 0)
            top = GAP + line * (side + CAPTION + GAP)
            cell = sheet[top : top + side, left : left + side]
            assert (cell[FRAME:-FRAME, FRAME:-FRAME] == COLOURS[row]).all()
            edge = np.concatenate([cell[:FRAME].reshape(-1, 3), cell[-FRAME:].reshape(-1, 3), cell[FRAME:-FRAME, 0]])
            assert (edge == frame).all()
            caption = sheet[top + side : top + side + CAPTION, left : left + side]
            has_text = (caption < 128).any()
            assert has_text  # a name or at least a cosine


@pytest.mark.parametrize(
    ("images", "codes", "rows", "k"),
    [
        (squares(COLOURS)[:, :16], 6, [0], 2),
        (squares(COLOURS).astype(np.float32), 6, [0], 2),
        (squares(COLOURS), 5, [0], 2),
        (squares(COLOURS), 6, [6], 2),
        (squares(COLOURS), 6, [-1], 2),
        (squares(COLOURS), 6, [], 2),
        (squares(COLOURS), 6, [0], 6),
        (squares(COLOURS), 6, [0], 0),
    ],
)
def test_what_does_not_fit_is_refused(tmp_path, images, codes, rows, k):
    with pytest.raises(InvalidRequest):
        retrieval_sheet(images, np.zeros(codes, int), np.eye(6, dtype=np.float32), rows, k, tmp_path / "x.png", ("a",))
    assert not (tmp_path / "x.png").exists()


def test_reconstructions_may_be_floats(tmp_path):
    reconstructions = np.full((1, 96, 96, 3), (1.5, 0.2, -1), np.float32)
    reconstruction_sheet(squares(COLOURS[:1], 96), reconstructions, tmp_path / "sheet.png")
    assert pixels(tmp_path / "sheet.png")[-20, 50].tolist() == [255, 51, 0]


def test_reconstructions_of_other_images_are_refused(tmp_path):
    with pytest.raises(InvalidRequest):
        reconstruction_sheet(squares(COLOURS), squares(COLOURS[:3]), tmp_path / "x.png")


def events_of(tmp_path, losses: list[float]):
    reporter = Reporter([EventLog(tmp_path / EVENTS)])
    for step, loss in enumerate(losses, start=1):
        reporter.step((step - 1) // 4, (step - 1) % 4 + 1, 4, {"loss": loss}, 10.0, 0.1)
        if step % 4 == 0:
            reporter.epoch(step // 4 - 1, len(losses) // 4, {"loss": loss, "mAP": step / 100}, 1.0)
    reporter.close()
    return tmp_path / EVENTS


def test_steps_and_epochs_share_an_axis(tmp_path):
    losses, metrics = read_curves(events_of(tmp_path, [4, 3, 2, 1, 1, 1, float("nan"), 0.5]))
    assert losses == {"loss": [(0.25, 4), (0.5, 3), (0.75, 2), (1, 1), (1.25, 1), (1.5, 1), (2, 0.5)]}
    assert metrics == {"mAP": [(1, 0.04), (2, 0.08)]}


def test_curves_are_drawn(tmp_path):
    loss_curves(events_of(tmp_path, [4, 3, 2, 1] * 4), tmp_path / "loss.png")
    with Image.open(tmp_path / "loss.png") as image:
        assert (image.format, image.size) == ("PNG", (900, 700))
        drawn = np.asarray(image.convert("RGB"))
    # matplotlib's first colour, in both halves: the loss above, the metric below
    is_line = (drawn == (31, 119, 180)).all(axis=2)
    assert is_line[:350].sum() > 200
    assert is_line[350:].sum() > 100


def test_a_falling_loss_is_drawn_falling(tmp_path):
    loss_curves(events_of(tmp_path, [10.0 - step for step in range(8)]), tmp_path / "loss.png")
    with Image.open(tmp_path / "loss.png") as image:
        above = (np.asarray(image.convert("RGB")) == (31, 119, 180)).all(axis=2)[:350]
    rows, columns = np.nonzero(above[:, :700])  # without the legend
    left, right = rows[columns == columns.min()].mean(), rows[columns == columns.max()].mean()
    assert right > left + 100


@pytest.mark.parametrize("losses", [[], [float("nan")]])
def test_without_steps_there_is_nothing_to_draw(tmp_path, losses):
    with pytest.raises(InvalidSource):
        loss_curves(events_of(tmp_path, losses), tmp_path / "loss.png")
    assert not (tmp_path / "loss.png").exists()


def test_the_same_events_give_the_same_picture(tmp_path):
    events = events_of(tmp_path, [4, 3, 2, 1] * 2)
    for name in ("a.png", "b.png"):
        loss_curves(events, tmp_path / name)
    assert (tmp_path / "a.png").read_bytes() == (tmp_path / "b.png").read_bytes()
