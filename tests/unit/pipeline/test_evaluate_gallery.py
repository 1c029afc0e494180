"""An evaluation of a gallery: right figures, whatever was added, deleted and replaced since the build."""

import math

import numpy as np
import pytest
from labelled_gallery import BACKENDS, GALLERY, LabelledGallery, photo, random_gallery, unit

from lookalike.errors import EvaluationNotFound, IndexNotFound, InvalidRequest
from lookalike.pipeline.evaluate import evaluate_gallery, find_evaluation, list_evaluations

MODEL = "alpha@1"


@pytest.fixture
def gallery(tmp_path):
    made = LabelledGallery(tmp_path)
    yield made
    made.at.close()


def by_kind(made, backend="exact"):
    return {(one.level, one.relevance): one for one in made.document.results if one.backend == backend}


class Reference:
    """The same measures in plain Python, over the images that live and have an embedding."""

    def __init__(self, images, embeddings):
        keys = sorted(images)
        self.labels = [images[key] for key in keys]
        unit_ND = unit([embeddings[key] for key in keys]).astype(np.float64)
        self.similarities = (unit_ND @ unit_ND.T).astype(np.float32)
        # Hits with the same embedding tie; which comes first must not matter to what is compared.
        self.keys = keys

    def relevant(self, query, other, level, relevance):
        a, b = self.labels[query], self.labels[other]
        if relevance == "single-label":
            return getattr(a, level) is not None and getattr(a, level) == getattr(b, level)
        every = level.replace("category", "categories")
        return bool(set(getattr(a, every)) & set(getattr(b, every)))

    def ranked(self, query, ids):
        others = [other for other in range(len(self.keys)) if other != query]
        return sorted(others, key=lambda other: (-self.similarities[query, other], ids[self.keys[other]]))

    def means(self, level, relevance, k, ids):
        rows = []
        for query in range(len(self.keys)):
            order = [self.relevant(query, other, level, relevance) for other in self.ranked(query, ids)]
            wanted = sum(order)
            if wanted:
                first = order[:k]
                ideal = sum(1 / math.log2(rank + 2) for rank in range(min(k, wanted)))
                rows.append(
                    {
                        f"precision@{k}": sum(first) / k,
                        f"recall@{k}": sum(first) / wanted,
                        f"mAP@{k}": sum(sum(first[: i + 1]) / (i + 1) for i in range(k) if first[i]) / wanted,
                        f"nDCG@{k}": sum(1 / math.log2(i + 2) for i in range(k) if first[i]) / ideal,
                        f"hit rate@{k}": float(any(first)),
                        "R-precision": sum(order[:wanted]) / wanted,
                    }
                )
        return {name: float(np.mean([row[name] for row in rows])) for name in rows[0]}, len(rows)


def check_against_reference(gallery, images, embeddings, backends=("exact",), **options):
    made = evaluate_gallery(gallery.at, GALLERY, k=5, backends=backends, **options)
    ids = {
        record.key: record.image_id for record in gallery.at.galleries.records(gallery.at.galleries.version(GALLERY))
    }
    reference = Reference(images, embeddings)
    for backend in backends:
        for (level, relevance), result in by_kind(made, backend).items():
            means, num_scored = reference.means(level, relevance, 5, ids)
            assert result.num_scored == num_scored
            for name, mean in means.items():
                assert result.metrics[name].mean == pytest.approx(mean, abs=1e-9), (backend, level, relevance, name)
    return made


def test_every_backend_scores_what_plain_python_counts(gallery):
    images, embeddings = random_gallery(80)
    gallery.put(images)
    gallery.promote(gallery.embed(MODEL, embeddings))
    made = check_against_reference(gallery, images, embeddings, BACKENDS)
    assert len(made.document.results) == len(BACKENDS) * 4
    kinds = by_kind(made)
    lone = kinds["subcategory", "multi-label"]
    assert lone.num_without_relevant == 1  # the only cake
    assert lone.num_unlabelled == sum(not labels.subcategories for labels in images.values())
    assert lone.num_scored + lone.num_unlabelled + lone.num_without_relevant == len(images)
    assert {result.knn_recall for result in made.document.results} == {1.0}


def test_added_deleted_and_replaced_images_count_as_they_are_now(gallery):
    """Images wait to be folded in: relevance, R and knn recall are those of the living images."""
    images, embeddings = random_gallery(60)
    first = {key: images[key] for key in list(images)[:45]}
    gallery.put(first)
    gallery.promote(gallery.embed(MODEL, {key: embeddings[key] for key in first}))
    later = {key: images[key] for key in images if key not in first}
    gallery.put(later)
    gallery.take("0001", "0005", "0050")
    replaced = {"0002": photo("cat"), "0010": photo("dog", "pizza")}
    gallery.put(replaced, version=1)
    changed = {"0002": -embeddings["0002"], "0010": embeddings["0011"]}
    gallery.embed(MODEL, {**embeddings, **changed})
    living = {**images, **replaced}
    for gone in ("0001", "0005", "0050"):
        del living[gone]
    for search_depth in (1000, 0):
        made = check_against_reference(gallery, living, {**embeddings, **changed}, BACKENDS, search_depth=search_depth)
        assert {result.knn_recall for result in made.document.results} == {1.0}
        assert made.document.num_images == len(living)


def test_a_replaced_image_that_waits_for_its_embedding_is_no_query_and_relevant_to_none(gallery):
    images, embeddings = random_gallery(30)
    gallery.put(images)
    gallery.promote(gallery.embed(MODEL, embeddings), ["exact"])
    gallery.put({"0004": photo("cat"), "new": photo("cat")}, version=1)
    rest = {key: labels for key, labels in images.items() if key != "0004"}
    made = check_against_reference(gallery, rest, embeddings)
    assert {result.num_not_embedded for result in made.document.results} == {2}
    assert made.document.num_queries == len(images) + 1


def test_paper_with_and_without_the_query_itself(gallery):
    """12 images on an arc, cats and dogs in turns: the ten nearest are known by their angle."""
    angles = np.arange(12) * 0.05
    keys = [f"{number:02d}" for number in range(12)]
    gallery.put({key: photo("cat" if number % 2 == 0 else "dog") for number, key in enumerate(keys)})
    rows = {key: np.array([np.cos(angle), np.sin(angle)]) for key, angle in zip(keys, angles, strict=True)}
    gallery.promote(gallery.embed(MODEL, rows), ["exact"])
    for self_counts in (False, True):
        made = by_kind(evaluate_gallery(gallery.at, GALLERY, protocol="paper", self_counts=self_counts))
        precision, recall = [], []
        for query in range(12):
            others = sorted(range(12), key=lambda other: abs(other - query))
            # Equally far on both sides: both have the query's parity, or neither.
            ten = others[:10] if self_counts else others[1:11]
            relevant = [(other - query) % 2 == 0 for other in ten]
            precision.append(sum(relevant[:4]) / 10)
            recall.append(sum(relevant[:4]) / sum(relevant))
        result = made["subcategory", "single-label"]
        # Which of two at the same distance is tenth does not change its parity either.
        assert result.metrics["paper precision@4"].mean == pytest.approx(np.mean(precision), abs=1e-12)
        assert result.metrics["paper recall@4"].mean == pytest.approx(np.mean(recall), abs=1e-12)
        everything = made["supercategory", "single-label"]
        assert everything.metrics["paper precision@4"].mean == pytest.approx(0.4)
        assert everything.metrics["paper recall@4"].mean == pytest.approx(0.4)
        assert set(made) == {("subcategory", "single-label"), ("supercategory", "single-label")}


def test_a_sample_is_seeded_and_stated(gallery):
    images, embeddings = random_gallery(50)
    gallery.put(images)
    gallery.promote(gallery.embed(MODEL, embeddings), ["exact"])

    def figures(**options):
        made = evaluate_gallery(gallery.at, GALLERY, k=5, **options)
        return [(one.metrics, one.num_scored) for one in made.document.results], made.document

    one, document = figures(num_queries=20, seed=1)
    assert document.num_queries == 20
    assert document.seed == 1
    assert figures(num_queries=20, seed=1)[0] == one
    assert figures(num_queries=20, seed=2)[0] != one
    assert figures(num_queries=5000)[0] == figures()[0]


def test_an_evaluation_is_reused_while_it_measures_the_same(gallery):
    images, embeddings = random_gallery(20)
    gallery.put(images)
    gallery.promote(gallery.embed(MODEL, embeddings), ["exact"])
    first = evaluate_gallery(gallery.at, GALLERY, k=3).document
    assert evaluate_gallery(gallery.at, GALLERY, k=3, reuse=True).document == first
    # Measured again under the same name: what is kept is the last.
    again = evaluate_gallery(gallery.at, GALLERY, k=3).document
    assert again.evaluation_id == first.evaluation_id
    assert find_evaluation(gallery.at, first.evaluation_id) == again
    others = [
        evaluate_gallery(gallery.at, GALLERY, reuse=True, **options).document.evaluation_id
        for options in ({"k": 4}, {"k": 3, "seed": 1}, {"k": 3, "num_queries": 5}, {"protocol": "paper"})
    ]
    gallery.take("0003")
    others.append(evaluate_gallery(gallery.at, GALLERY, k=3, reuse=True).document.evaluation_id)
    gallery.promote(gallery.embed("beta@1", embeddings), ["exact"])
    others.append(evaluate_gallery(gallery.at, GALLERY, k=3, reuse=True).document.evaluation_id)
    assert len({first.evaluation_id, *others}) == 1 + len(others)
    assert {one.evaluation_id for one in list_evaluations(gallery.at)} == {first.evaluation_id, *others}


def test_a_gallery_without_labels_has_no_means_and_is_kept(gallery):
    gallery.put({f"{number}": photo() for number in range(5)})
    gallery.promote(gallery.embed(MODEL, {f"{number}": np.eye(5)[number] for number in range(5)}), ["exact"])
    made = evaluate_gallery(gallery.at, GALLERY, k=2)
    result = made.document.results[0]
    assert result.num_unlabelled == 5
    assert result.num_scored == 0
    assert result.metrics["precision@2"].mean is None
    assert result.knn_recall == 1
    assert find_evaluation(gallery.at, made.document.evaluation_id) == made.document
    assert made.rows()[0][0]["precision@2"] == "–"


def test_pairs_are_those_asked_for(gallery):
    images, embeddings = random_gallery(12)
    gallery.put(images)
    gallery.promote(gallery.embed(MODEL, embeddings), ["exact", "annoy"])
    gallery.promote(gallery.embed("beta@1", embeddings), ["exact"])

    def pairs(**options):
        found = evaluate_gallery(gallery.at, GALLERY, k=1, **options).document.results
        return sorted({(one.model, one.backend) for one in found})

    assert pairs() == [(MODEL, "annoy"), (MODEL, "exact"), ("beta@1", "exact")]
    assert pairs(models=["alpha"]) == [(MODEL, "annoy"), (MODEL, "exact")]
    assert pairs(models=["alpha", "alpha@1"], backends=["exact"]) == [(MODEL, "exact")]
    with pytest.raises(IndexNotFound, match="annoy"):
        pairs(models=["beta"], backends=["annoy"])
    with pytest.raises(IndexNotFound, match="gamma"):
        pairs(models=["gamma"])


def test_refusals(gallery):
    with pytest.raises(IndexNotFound, match="nothing is live"):
        evaluate_gallery(gallery.at, GALLERY)
    with pytest.raises(InvalidRequest, match="standard, paper"):
        evaluate_gallery(gallery.at, GALLERY, protocol="guess")
    with pytest.raises(InvalidRequest, match="self_counts"):
        evaluate_gallery(gallery.at, GALLERY, self_counts=True)
    for options in ({"k": 0}, {"num_queries": 0}, {"search_depth": -1}):
        with pytest.raises(InvalidRequest, match="at least"):
            evaluate_gallery(gallery.at, GALLERY, **options)
    with pytest.raises(EvaluationNotFound):
        find_evaluation(gallery.at, "0" * 32)
