"""On real photographs: the figures that the photographs' own README gives, to 0.01."""

import csv
import json

import pytest

from lookalike.bootstrap import wire
from lookalike.galleries.csv_labels import CsvSource
from lookalike.pipeline.evaluate import evaluate_gallery
from lookalike.pipeline.index_gallery import build_indexes, embed_gallery, newest_set, promote_indexes
from lookalike.pipeline.ingest import ingest
from lookalike.pipeline.models import import_model
from lookalike.settings import load
from lookalike.types.models import ResizePolicy


@pytest.fixture(scope="module")
def photographs(shared_data, tmp_path_factory):
    """The 1,395 photographs with one label, in a workspace."""
    coco, folder = shared_data / "data" / "coco-asf", tmp_path_factory.mktemp("photographs")
    with (coco / "labels.csv").open(newline="", encoding="utf-8") as file:
        rows = [row for row in csv.DictReader(file) if row["single_label"]]
    with (folder / "single.csv").open("w", newline="", encoding="utf-8") as file:
        writer = csv.DictWriter(file, rows[0])
        writer.writeheader()
        writer.writerows(rows)
    taxonomy = json.loads((coco / "taxonomy.json").read_text(encoding="utf-8"))
    environment = {"LOOKALIKE_STORAGE__FOLDER": f"{folder}/store", "LOOKALIKE_STORAGE__CACHE": f"{folder}/cache"}
    at = wire(load(environment, folder / "none.toml"))
    source = CsvSource(folder / "single.csv", coco / "images", taxonomy=taxonomy)
    assert ingest(at.store, at.galleries, at.ledger, "photographs", source, limits=at.limits).num_images == 1395
    source.close()
    yield at
    at.close()


def precision(at, model):
    """precision@4 at both levels."""
    embed_gallery(at, "photographs", model)
    made = newest_set(at, "photographs", model)
    promote_indexes(at, "photographs", made, build_indexes(at, "photographs", made, ["exact"]))
    document = evaluate_gallery(at, "photographs", protocol="standard", models=[model], k=4, search_depth=0).document
    found = {one.level: one.metrics["precision@4"].mean for one in document.results if one.relevance == "single-label"}
    return found["subcategory"], found["supercategory"]


def test_raw_pixels_score_what_is_published(photographs):
    import_model(photographs, "baseline:pixels16")
    assert precision(photographs, "pixels16") == pytest.approx((0.17, 0.57), abs=0.01)


def test_mobilenet_scores_what_is_published(photographs, shared_data):
    weights = shared_data / "weights" / "mobilenet_v2-imagenet.pth"
    half = "0.5,0.5,0.5"
    squash = ResizePolicy.SQUASH
    import_model(photographs, "torchvision:mobilenet_v2", weights=weights, resize_policy=squash, mean=half, std=half)
    assert precision(photographs, "mobilenet_v2") == pytest.approx((0.57, 0.89), abs=0.01)
