"""The page's pieces: well formed, escaped, and without anything that runs."""

import base64
import io
import json

import numpy as np
import pytest
from PIL import Image

from lookalike.errors import InvalidRequest
from lookalike.evaluation.labels import LabelArrays
from lookalike.types.images import Labels
from services.trainer.study.answers import Queries
from services.trainer.study.models import Origin, RawEmbeddings, StudyModel
from services.trainer.study.page import Picture, figure, page, paragraphs, table
from services.trainer.study.pictures import histogram, loss_curve
from services.trainer.study.showing import curve_of, shown_queries

EVIL = '<script>alert("x")</script>&'


def opened(data):
    image = Image.open(io.BytesIO(data))
    image.load()
    return image


def test_everything_is_escaped():
    picture = Picture("a.png", b"data")
    made = page(EVIL, [(EVIL, table(EVIL, [EVIL], [[EVIL]]) + paragraphs([EVIL]) + figure(picture, EVIL))])
    assert "<script" not in made
    assert made.count("&lt;script&gt;alert(&quot;x&quot;)&lt;/script&gt;&amp;") == 9


def test_a_picture_is_in_the_page_itself():
    source = Picture("a.jpg", b"\x00\xffdata").source
    kind, _, encoded = source.partition(",")
    assert kind == "data:image/jpeg;base64"
    assert base64.b64decode(encoded) == b"\x00\xffdata"


def test_a_row_with_another_number_of_cells_is_refused():
    with pytest.raises(ValueError, match="zip"):
        table("", ["a", "b"], [["1"]])


def test_a_histogram_is_higher_with_more_bars():
    few, many = (opened(histogram({f"name ${n}$": n + 1 for n in range(size)})) for size in (3, 30))
    assert few.format == many.format == "PNG"
    assert few.size[0] == many.size[0]
    assert few.size[1] < many.size[1]
    assert opened(histogram({})).size[0] == few.size[0]


def test_a_loss_curve_is_drawn_from_events(tmp_path):
    events = tmp_path / "events.jsonl"
    lines = [{"event": "step", "step": step, "loss": 1 / step} for step in range(1, 20)]
    events.write_text("\n".join(json.dumps(line) for line in [{"event": "start"}, *lines]) + "\n")
    drawn = loss_curve(events)
    assert opened(drawn).format == "PNG"
    model = StudyModel("a", Origin.TRAINED, "a@1", events=events)
    assert curve_of(model, 2) == Picture("loss-2.png", drawn)
    # A curve that was drawn already is taken as it is.
    curve = tmp_path / "loss.png"
    curve.write_bytes(b"png")
    assert curve_of(StudyModel("a", Origin.TRAINED, "a@1", events=events, loss_curve=curve), 1).data == b"png"
    assert curve_of(StudyModel("a", Origin.PRETRAINED, "a@1"), 1) is None


@pytest.mark.parametrize("text", ["", '{"event": "start"}\n', "not json\n", '{"loss": "low"}\n'])
def test_events_without_a_loss_are_refused(tmp_path, text):
    events = tmp_path / "events.jsonl"
    events.write_text(text)
    with pytest.raises(InvalidRequest, match=r"events\.jsonl"):
        loss_curve(events)


def test_a_missing_loss_curve_is_refused(tmp_path):
    with pytest.raises(InvalidRequest, match="loss curve of a"):
        curve_of(StudyModel("a", Origin.TRAINED, "a@1", loss_curve=tmp_path / "none.png"), 1)


def test_a_sheet_shows_queries_of_each_supercategory_in_turns():
    names = ["animal"] * 5 + ["food"] * 2 + [None] * 4
    labels = LabelArrays.from_labels(Labels.single(name, name) for name in names).supercategory
    queries = Queries(np.arange(1, 11), np.zeros(10, "S16"))
    shown = shown_queries(labels, queries, seed=0)
    supers = [names[row] for row in queries.rows_Q[shown]]
    assert supers == ["animal", "food", "animal", "food", "animal"]
    assert len(set(shown.tolist())) == 5
    assert shown.tolist() == shown_queries(labels, queries, seed=0).tolist()


def test_what_is_said_of_a_model_must_fit():
    with pytest.raises(InvalidRequest, match="in the store or unavailable"):
        StudyModel("a", Origin.TRAINED, None, "why")
    with pytest.raises(InvalidRequest, match="in the store or unavailable"):
        StudyModel("a", Origin.UNAVAILABLE, "a@1", "why")
    with pytest.raises(InvalidRequest, match="what to do"):
        StudyModel("a", Origin.UNAVAILABLE, None)
    with pytest.raises(InvalidRequest, match="2 keys"):
        RawEmbeddings(("a", "b"), np.zeros((3, 2), np.float32))
    with pytest.raises(InvalidRequest, match="NaN"):
        RawEmbeddings(("a",), np.full((1, 2), np.nan, np.float32))
