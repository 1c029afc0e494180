"""Pages of images, and what browsers may keep of them."""

import io
import json

from fastapi.testclient import TestClient
from gateway_calls import first_image, png, wait
from PIL import Image

IMAGES = "/v1/galleries/colors/images"


def test_pages_hold_every_image_once_in_the_order_of_keys(client: TestClient) -> None:
    for condition in (None, {"field": "supercategory", "equals": "cold"}):
        said = {} if condition is None else {"filter": json.dumps(condition)}
        keys: list[str] = []
        cursor = None
        for _ in range(10):
            wanted = {**said, "limit": "7", **({} if cursor is None else {"cursor": cursor})}
            page = client.get(IMAGES, params=wanted).json()
            keys += [image["key"] for image in page["images"]]
            cursor = page["cursor"]
            if cursor is None:
                break
        assert keys == sorted(set(keys))
        assert len(keys) == (24 if condition is None else 16)


def test_a_page_that_ends_with_the_last_image_has_no_cursor(client: TestClient) -> None:
    assert client.get(IMAGES, params={"limit": 24}).json()["cursor"] is None
    assert client.get(IMAGES, params={"limit": 23}).json()["cursor"] is not None


def test_a_replaced_image_is_not_shown_from_a_cache(client: TestClient) -> None:
    image_id = first_image(client)["image_id"]
    for what in ("content", "thumbnail?size=64"):
        before = client.get(f"{IMAGES}/{image_id}/{what}")
        assert before.headers["cache-control"] == "private, no-cache"
        kept = {"If-None-Match": before.headers["etag"]}
        assert client.get(f"{IMAGES}/{image_id}/{what}", headers=kept).status_code == 304
    details = json.dumps([{"key": "cold/blue/0.png"}])
    answer = client.post(IMAGES, files={"image": ("x", png((1, 2, 3)))}, data={"details": details}).json()
    assert answer["images"][0]["image_id"] == image_id
    wait(client, answer["job"])
    assert client.get(f"{IMAGES}/{image_id}/content").content == png((1, 2, 3))
    assert client.get(f"{IMAGES}/{image_id}/thumbnail?size=64", headers=kept).status_code == 200


def test_a_thumbnail_has_the_size_that_was_asked_for(client: TestClient) -> None:
    image_id = first_image(client)["image_id"]
    for size, expected in ((32, (32, 24)), (1024, (64, 48))):
        data = client.get(f"{IMAGES}/{image_id}/thumbnail", params={"size": size}).content
        with Image.open(io.BytesIO(data)) as image:
            assert image.size == expected
