"""An evaluation measures what users get: its hits are those of searches over HTTP, on every backend."""

import numpy as np
import pytest
from fastapi.testclient import TestClient
from gateway_calls import SEARCH
from gateway_store import BACKENDS

from lookalike.pipeline.evaluate import evaluate_gallery
from lookalike.pipeline.ground import ground_of, sample
from lookalike.pipeline.measure import hits
from lookalike.pipeline.workspace import Workspace
from lookalike.types.ids import unpack_ids

K = 6


@pytest.mark.parametrize("backend", BACKENDS)
@pytest.mark.parametrize("exclude_self", [True, False])
def test_hits_are_those_of_the_endpoint(
    client: TestClient, workspace: Workspace, backend: str, exclude_self: bool
) -> None:
    served = workspace.serving.refresh("colors")
    _, index = served.index(None, backend)
    ground = ground_of(workspace, served, index, sample(served.table.items()[:, :16], None, 0))
    found = hits(served, index, ground, K, exclude_self=exclude_self)
    assert ground.num_queries == 24
    for query, image_id in enumerate(unpack_ids(ground.ids_Q16)):
        wanted = {"image_id": image_id, "backend": backend, "k": K, "exclude_self": exclude_self}
        answered = client.post(SEARCH, json=wanted).json()["hits"]
        assert unpack_ids(index.living.ids_N16[found.rows_QK[query]]) == [hit["image_id"] for hit in answered]
        similarities = np.array([hit["similarity"] for hit in answered], np.float32)
        np.testing.assert_array_equal(found.similarities_QK[query], similarities)


@pytest.mark.parametrize("backend", BACKENDS)
def test_precision_is_that_of_the_labels_in_the_answers(client: TestClient, workspace: Workspace, backend: str) -> None:
    """Also after a deletion: counted from the JSON of the answers alone."""
    images = client.get("/v1/galleries/colors/images", params={"limit": 100}).json()["images"]
    gone, *queries = images
    assert client.delete(f"/v1/galleries/colors/images/{gone['image_id']}").status_code in (200, 204)
    relevant = []
    for image in queries:
        wanted = {"image_id": image["image_id"], "backend": backend, "k": K, "exclude_self": True}
        answered = client.post(SEARCH, json=wanted).json()["hits"]
        assert gone["image_id"] not in [hit["image_id"] for hit in answered]
        relevant += [hit["labels"]["subcategory"] == image["labels"]["subcategory"] for hit in answered]
    made = evaluate_gallery(workspace, "colors", backends=[backend], k=K)
    result = next(one for one in made.document.results if one.relevance == "single-label")
    assert result.level == "subcategory"
    assert result.metrics[f"precision@{K}"].mean == pytest.approx(np.mean(relevant), abs=1e-12)
    assert result.num_scored == 23
