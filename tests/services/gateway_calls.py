"""What several suites of the gateway do with a client."""

import io
import json
from typing import Any

import httpx
import numpy as np
from fastapi.testclient import TestClient
from PIL import Image

SEARCH = "/v1/galleries/colors/search"


def problem(response: httpx.Response, status: int, code: str) -> dict[str, Any]:
    """The problem document, which must have this status and code."""
    assert response.status_code == status, response.text
    assert response.headers["content-type"] == "application/problem+json"
    body: dict[str, Any] = response.json()
    assert body["code"] == code, body
    assert body["status"] == status
    assert body["detail"]
    return body


def first_image(client: TestClient, key: str = "cold/blue/0.png") -> dict[str, Any]:
    """The record of the image under ``key``."""
    wanted = json.dumps({"field": "key", "equals": key})
    image: dict[str, Any] = client.get("/v1/galleries/colors/images", params={"filter": wanted}).json()["images"][0]
    return image


def wait(client: TestClient, job: str) -> dict[str, Any]:
    """The job when it has ended: its event stream ends with it."""
    with client.stream("GET", f"/v1/jobs/{job}/events") as events:
        for _ in events.iter_lines():
            pass
    ended: dict[str, Any] = client.get(f"/v1/jobs/{job}").json()
    return ended


def png(color: tuple[int, int, int] = (200, 40, 40), size: tuple[int, int] = (64, 48)) -> bytes:
    """A picture of one colour with a few marks on it."""
    pixels = np.full((size[1], size[0], 3), color, np.uint8)
    pixels[::7, ::5] = 255 - np.array(color)
    buffer = io.BytesIO()
    Image.fromarray(pixels).save(buffer, "PNG")
    return buffer.getvalue()
