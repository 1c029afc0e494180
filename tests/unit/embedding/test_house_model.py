"""The model that ships: small, safe to load, made by the recipe that its card names, and as good as the card says."""

import csv
import io
import json
import re
from pathlib import Path

import numpy as np
import pytest
import torch

from lookalike.embedding.archive import read_manifest, read_program
from lookalike.embedding.house import house_archive
from lookalike.embedding.torch_local import TorchEmbedder
from lookalike.galleries.demo import generate
from lookalike.galleries.open import open_source
from lookalike.galleries.port import SourceImage
from lookalike.images.limits import ImageLimits
from lookalike.images.prepare import prepare
from lookalike.types.models import ResizePolicy

CARD = Path(__file__).resolve().parents[3] / "docs" / "reference" / "house-model.md"


def test_it_is_small() -> None:
    program, manifest = read_program(house_archive())
    tensors = torch.export.load(io.BytesIO(program)).state_dict.values()
    assert sum(tensor.numel() for tensor in tensors) <= 5_000_000
    assert house_archive().stat().st_size <= 8_000_000
    assert (manifest.name, manifest.dimension) == ("house", 256)


def test_its_manifest_says_what_made_it_and_names_no_machine() -> None:
    manifest = read_manifest(house_archive())
    assert manifest.recipe["source"] == "trainer:house"
    data = manifest.recipe["data"]
    assert isinstance(data, dict)
    assert len(data["held_out_classes"]) == 33
    assert data["num_held_out"] > 1000
    assert "CC BY 4.0" in manifest.training_data
    assert manifest.licence
    assert manifest.metrics["export_cosine"] >= 0.9999
    assert manifest.resize_policy is ResizePolicy.SQUASH
    assert not re.search(r"/(home|root|work|tmp)/", json.dumps(manifest.model_dump(mode="json")))


def test_the_card_is_of_this_archive() -> None:
    card = CARD.read_text(encoding="utf-8")
    assert read_manifest(house_archive()).digest in card
    assert f"{house_archive().stat().st_size:,} bytes" in card


def test_it_finds_what_shows_the_same(tmp_path: Path) -> None:
    """Drawings of thirty things, five of each: by chance 3 of 100 nearest ones would show the same."""
    drawn = generate(tmp_path, num_images=150, workers=1)
    source = open_source(str(drawn.annotations), images_root=drawn.images, fetcher=lambda url: b"")
    found = [item for item in source.images() if isinstance(item, SourceImage)]
    size = read_manifest(house_archive()).input_size
    images = [prepare(source.read(item), size=size, policy=ResizePolicy.SQUASH, limits=ImageLimits()) for item in found]
    source.close()
    embedder = TorchEmbedder(house_archive())
    try:
        embeddings_ND = embedder.embed(np.stack(images))
    finally:
        embedder.close()
    cosines_NN = embeddings_ND @ embeddings_ND.T
    np.fill_diagonal(cosines_NN, -np.inf)
    shown_N = np.array([item.labels.subcategory for item in found])
    assert (shown_N[cosines_NN.argmax(axis=1)] == shown_N).mean() > 0.5


@pytest.mark.shared_data
def test_none_of_its_weights_is_its_teacher_s(shared_data: Path) -> None:
    teacher = torch.load(shared_data / "weights" / "mobilenet_v2-imagenet.pth", weights_only=True)
    program, _ = read_program(house_archive())
    own = torch.export.load(io.BytesIO(program)).state_dict
    compared = 0
    for theirs in teacher.values():
        if theirs.ndim != 4 or theirs.numel() < 1000:
            continue
        for ours in own.values():
            if ours.shape == theirs.shape:
                compared += 1
                # Norms are folded into our weights: each filter is compared by its direction. Inside a block there are
                # many ways to the same map. The last block is one layer between two maps, which determine it: what it
                # learned lies near the teacher's filters, a thousand times as far as float16's rounding would put it.
                cosines = torch.nn.functional.cosine_similarity(ours.float().flatten(1), theirs.float().flatten(1))
                is_last_block = theirs.shape == (1280, 320, 1, 1)
                assert float(cosines.median()) < (0.9999 if is_last_block else 0.9)
    assert compared > 15


@pytest.mark.shared_data
def test_it_is_as_good_on_photographs_as_its_card_says(shared_data: Path) -> None:
    coco = shared_data / "data" / "coco-asf"
    with (coco / "labels.csv").open(newline="", encoding="utf-8") as file:
        rows = [row for row in csv.DictReader(file) if row["single_label"]]
    taxonomy = json.loads((coco / "taxonomy.json").read_text(encoding="utf-8"))
    manifest = read_manifest(house_archive())
    images = [
        prepare(
            (coco / "images" / row["file"]).read_bytes(),
            size=manifest.input_size,
            policy=manifest.resize_policy,
            limits=ImageLimits(),
        )
        for row in rows
    ]
    embedder = TorchEmbedder(house_archive())
    try:
        embeddings_ND = np.concatenate(
            [embedder.embed(np.stack(images[start : start + 128])) for start in range(0, len(images), 128)]
        )
    finally:
        embedder.close()
    cosines_NN = embeddings_ND @ embeddings_ND.T
    np.fill_diagonal(cosines_NN, -np.inf)
    first_N4 = np.argsort(-cosines_NN, axis=1, kind="stable")[:, :4]
    card = CARD.read_text(encoding="utf-8")
    for level, labels in (
        ("subcategory", [row["single_label"] for row in rows]),
        ("supercategory", [taxonomy[row["single_label"]] for row in rows]),
    ):
        names = np.array(labels)
        said = re.search(rf"^\| coco-asf \| house \| {level} \| ([0-9.]+) ", card, re.MULTILINE)
        assert said is not None
        assert float((names[first_N4] == names[:, None]).mean()) == pytest.approx(float(said[1]), abs=0.005)
