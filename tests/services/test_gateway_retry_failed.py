"""Trying failed images again over HTTP: as the same job where it failed, as another where it succeeded."""

from fastapi.testclient import TestClient
from gateway_calls import problem, wait


def submit(client: TestClient, kind: str, **params: object) -> str:
    answer = client.post("/v1/jobs", json={"kind": kind, "gallery": "colors", "params": params})
    assert answer.status_code == 202, answer.text
    job_id: str = answer.json()["job_id"]
    return job_id


def test_a_job_that_succeeded_is_another_one_then(client: TestClient) -> None:
    job = wait(client, submit(client, "embed", model="color_edges"))
    assert job["state"] == "succeeded"
    problem(client.post(f"/v1/jobs/{job['job_id']}/retry"), 409, "wrong_job_state")
    again = client.post(f"/v1/jobs/{job['job_id']}/retry", json={"retry_failed": True}).json()
    assert again["job_id"] != job["job_id"]
    assert again["params"] == {"model": "color_edges", "retry_failed": True}
    assert wait(client, again["job_id"])["state"] == "succeeded"
    assert client.get(f"/v1/jobs/{job['job_id']}").json()["attempt"] == 1


def test_a_kind_without_a_ledger_has_nothing_to_try_again(client: TestClient) -> None:
    job = wait(client, submit(client, "evaluate", k=3, num_queries=2))
    answer = client.post(f"/v1/jobs/{job['job_id']}/retry", json={"retry_failed": True})
    problem(answer, 422, "invalid_request")
