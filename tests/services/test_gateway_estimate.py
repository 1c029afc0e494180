"""What a re-embedding would take, over HTTP."""

from fastapi.testclient import TestClient
from gateway_calls import problem

from lookalike.pipeline.models import import_model
from lookalike.pipeline.workspace import Workspace

ESTIMATE = "/v1/galleries/colors/estimate"


def test_an_estimate_says_what_a_reembedding_would_take(client: TestClient, workspace: Workspace) -> None:
    import_model(workspace, "baseline:pixels16")
    asked = {"model": "pixels16", "backends": ["exact", "faiss"]}
    said = client.post(ESTIMATE, json=asked).json()
    assert (said["model"], said["num_images"], said["to_embed"]) == ("pixels16@1", 24, 24)
    assert (said["images_per_s"], said["embed_s"]) == (None, None)
    assert sorted(said["indexes"]) == ["exact", "faiss"]
    assert said["new_bytes"] > said["embedding_bytes"] > 0
    measured = client.post(ESTIMATE, json={**asked, "sample_images": 4}).json()
    assert measured["images_per_s"] > 0
    assert measured["embed_s"] > 0
    nothing = client.post(ESTIMATE, json={"model": "color_edges"}).json()
    assert (nothing["to_embed"], nothing["new_bytes"]) == (0, 0)
    assert client.get("/v1/jobs").json() == []


def test_what_cannot_be_estimated_is_refused(module_client: TestClient) -> None:
    for path, asked, status, code in (
        (ESTIMATE, {"model": "none"}, 404, "model_not_found"),
        ("/v1/galleries/none/estimate", {"model": "color_edges"}, 404, "gallery_not_found"),
        (ESTIMATE, {"model": "color_edges", "backends": ["none"]}, 404, "backend_not_found"),
        (ESTIMATE, {"model": "color_edges", "params": {"faiss": {"none": 1}}}, 422, "unknown_parameter"),
        (ESTIMATE, {"model": "color_edges", "sample_images": 1000}, 422, "invalid_request"),
    ):
        problem(module_client.post(path, json=asked), status, code)
