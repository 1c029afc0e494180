"""Bad input over HTTP: each kind has its status and its stable code, and none is our fault."""

import io
import json
import struct
import zlib
from collections.abc import Iterator
from typing import Any

import pytest
from fastapi.testclient import TestClient
from gateway_calls import SEARCH, first_image, png, problem, wait
from gateway_store import MAX_BODY_BYTES
from PIL import Image

IMAGES = "/v1/galleries/colors/images"
AS_JSON = {"content-type": "application/json"}
NOBODY = "00000000-0000-0000-0000-000000000000"


@pytest.fixture(scope="module")
def client(module_client: TestClient) -> TestClient:
    """One for all: what is refused changes nothing, and the few images that are added have keys of their own."""
    return module_client


@pytest.fixture
def dimension(client: TestClient) -> int:
    return int(client.get("/v1/models/color_edges").json()["dimension"])


def upload(client: TestClient, data: bytes, request: str = "{}", name: str = "q.png") -> Any:
    return client.post(SEARCH, files={"image": (name, data)}, data={"request": request})


@pytest.mark.parametrize(
    ("body", "code"),
    [
        ({}, "invalid_request"),
        ({"image_id": NOBODY, "embedding": [1.0]}, "invalid_request"),
        ({"image_id": NOBODY, "image_url": "http://example.org/x.png"}, "invalid_request"),
        ({"image_id": "no-uuid"}, "invalid_request"),
        ({"image_id": "../../live.json"}, "invalid_request"),
        ({"image_id": NOBODY, "k": 0}, "invalid_request"),
        ({"image_id": NOBODY, "k": 1001}, "invalid_request"),
        ({"image_id": NOBODY, "k": 10**30}, "invalid_request"),
        ({"image_id": NOBODY, "k": "many"}, "invalid_request"),
        ({"image_id": NOBODY, "offset": -1}, "invalid_request"),
        ({"image_id": NOBODY, "offset": 10_001}, "invalid_request"),
        ({"image_id": NOBODY, "min_similarity": 1.1}, "invalid_request"),
        ({"image_id": NOBODY, "surprise": 1}, "invalid_request"),
        ({"image_id": NOBODY, "params": {"ef_search": [1]}}, "invalid_request"),
        ({"embedding": []}, "invalid_request"),
        ({"embedding": ["a"]}, "invalid_request"),
        ({"embedding": [1.0, 2.0]}, "invalid_embedding"),
        ({"embedding": [0.5] * 65_537}, "invalid_request"),
        ({"image_url": "http://" + "a" * 3000}, "invalid_request"),
        ({"image_url": "http://exa\nmple.org/"}, "invalid_request"),
    ],
)
def test_a_wrong_search_is_refused(client: TestClient, body: dict[str, object], code: str) -> None:
    problem(client.post(SEARCH, json=body), 422, code)


def test_an_upload_beside_another_query_is_refused(client: TestClient) -> None:
    found = problem(upload(client, png(), json.dumps({"image_id": NOBODY})), 422, "invalid_request")
    assert found["given"] == ["image", "image_id"]


@pytest.mark.parametrize("number", ["NaN", "Infinity", "-Infinity", "1e999"])
def test_an_embedding_with_what_is_no_number_is_refused(client: TestClient, dimension: int, number: str) -> None:
    values = ", ".join([number, *["0.5"] * (dimension - 1)])
    problem(client.post(SEARCH, content=f'{{"embedding": [{values}]}}', headers=AS_JSON), 422, "invalid_embedding")


def test_an_embedding_of_length_zero_is_refused_and_a_huge_one_only_points_somewhere(
    client: TestClient, dimension: int
) -> None:
    problem(client.post(SEARCH, json={"embedding": [0.0] * dimension}), 422, "invalid_embedding")
    plain = client.post(SEARCH, json={"embedding": [1.0] * dimension}).json()["hits"]
    for size in (1e300, 1e-300):
        scaled = client.post(SEARCH, json={"embedding": [size] * dimension}).json()["hits"]
        assert [hit["key"] for hit in scaled] == [hit["key"] for hit in plain]
    mixed = client.post(SEARCH, json={"embedding": [1e308, *[-1e308] * (dimension - 1)]})
    assert mixed.status_code == 200


@pytest.mark.parametrize(
    ("change", "status", "code"),
    [
        ({"model": "none"}, 404, "index_not_found"),
        ({"model": "color_edges@99"}, 404, "index_not_found"),
        ({"model": "../x"}, 404, "index_not_found"),
        ({"backend": "none"}, 404, "index_not_found"),
        ({"backend": "annoy", "params": {"nope": 1}}, 422, "unknown_parameter"),
        ({"backend": "annoy", "params": {"search_k": "x"}}, 422, "parameter_out_of_range"),
        ({"backend": "annoy", "params": {"search_k": 10**18}}, 422, "parameter_out_of_range"),
        ({"backend": "annoy", "params": {"search_k": 1.5}}, 422, "parameter_out_of_range"),
    ],
)
def test_what_the_gallery_does_not_serve_is_refused(
    client: TestClient, change: dict[str, object], status: int, code: str
) -> None:
    wanted = {"image_id": first_image(client)["image_id"], **change}
    problem(client.post(SEARCH, json=wanted), status, code)
    outcomes = client.post(f"{SEARCH}/batch", json={"searches": [wanted]}).json()
    assert (outcomes[0]["error"]["status"], outcomes[0]["error"]["code"]) == (status, code)


def nested(depth: int) -> dict[str, Any]:
    condition: dict[str, Any] = {"field": "label", "equals": "red"}
    for _ in range(depth):
        condition = {"not": condition}
    return condition


WRONG_FILTERS: list[object] = [
    "no filter",
    {},
    {"field": "nope", "equals": 1},
    {"field": "metadata.x'; DROP TABLE image", "equals": 1},
    {"field": "label", "equals": ["red"]},
    {"field": "label", "any_of": []},
    {"field": "metadata.year", "range": {}},
    {"field": "metadata.year", "range": {"gt": "2000"}},
    {"all": []},
    {"not": {"field": "label"}},
    {"all": [{"any": [{"field": "label", "any_of": ["x"] * 256}] * 64}] * 2},
    nested(17),
    nested(150),
]


@pytest.mark.parametrize("condition", WRONG_FILTERS, ids=range(len(WRONG_FILTERS)))
def test_a_malformed_filter_is_refused_wherever_it_stands(client: TestClient, condition: object) -> None:
    searched = {"image_id": first_image(client)["image_id"], "filter": condition}
    problem(client.post(SEARCH, json=searched), 422, "invalid_filter")
    problem(client.post("/v1/galleries/colors/compare", json=searched), 422, "invalid_filter")
    if len(said := json.dumps(condition)) < 60_000:  # a client's own limit on a URL
        problem(client.get(IMAGES, params={"filter": said}), 422, "invalid_filter")
    outcome = client.post(f"{SEARCH}/batch", json={"searches": [searched]}).json()[0]
    assert outcome["error"]["code"] == "invalid_filter"
    job = {"kind": "delete", "gallery": "colors", "params": {"filter": condition}}
    problem(client.post("/v1/jobs", json=job), 422, "invalid_filter")


def test_the_deepest_and_largest_filters_are_answered_by_every_backend(client: TestClient) -> None:
    image_id = first_image(client)["image_id"]
    large = {"any": [{"field": "label", "any_of": [f"{i}-{j}" for j in range(64)]} for i in range(63)] + [nested(14)]}
    for condition in (nested(14), large):
        for backend in ("exact", "faiss", "annoy", "qdrant"):
            wanted = {"image_id": image_id, "filter": condition, "backend": backend}
            answer = client.post(SEARCH, json=wanted)
            assert answer.status_code == 200, answer.text
            assert len(answer.json()["hits"]) == 8


@pytest.mark.parametrize("value", [10**400, 10**30, -(10**19), 1e308])
def test_numbers_beyond_64_bits_are_refused_or_compared(client: TestClient, value: float) -> None:
    searched = {
        "image_id": first_image(client)["image_id"],
        "filter": {"field": "metadata.x", "equals": value},
    }
    answer = client.post(SEARCH, json=searched)
    if answer.status_code == 200:
        assert answer.json()["hits"] == []
    else:
        problem(answer, 422, "invalid_filter")


@pytest.mark.parametrize(
    "content", [b"", b"{", b"[]", b"null", b"\xff\xfe", b'"x"', b'{"image_id": "\\ud800"}', b"[" * 100_000]
)
def test_what_is_no_json_object_is_refused(client: TestClient, content: bytes) -> None:
    for path in (SEARCH, f"{SEARCH}/batch", "/v1/galleries/colors/compare", "/v1/jobs", "/v1/galleries"):
        problem(client.post(path, content=content, headers=AS_JSON), 422, "invalid_request")


def test_half_a_surrogate_pair_is_refused_not_stored(client: TestClient) -> None:
    body = b'{"name": "other", "description": "\\ud800"}'
    problem(client.post("/v1/galleries", content=body, headers=AS_JSON), 422, "invalid_request")
    details = '[{"key": "x", "metadata": {"a": "\\ud800"}}]'
    answer = client.post(IMAGES, files={"image": ("x.png", png())}, data={"details": details})
    problem(answer, 422, "invalid_request")


def test_another_content_type_is_refused(client: TestClient) -> None:
    problem(client.post(SEARCH, content=b"x", headers={"content-type": "text/plain"}), 422, "invalid_request")
    problem(client.post(SEARCH, content=b"{}"), 422, "invalid_request")


@pytest.mark.parametrize(
    ("content", "boundary"),
    [
        (b"", "x"),
        (b"no boundary at all", "x"),
        (b'--x\r\nContent-Disposition: form-data; name="image"\r\n\r\nabc', "x"),
        (b"--x\r\nnonsense\r\n\r\nabc\r\n--x--\r\n", "x"),
        (b"--x--", ""),
    ],
)
def test_malformed_multipart_is_refused(client: TestClient, content: bytes, boundary: str) -> None:
    headers = {"content-type": f"multipart/form-data; boundary={boundary}"}
    for path in (SEARCH, IMAGES, "/v1/galleries/colors/compare"):
        answer = client.post(path, content=content, headers=headers)
        assert answer.status_code in (400, 422), (path, answer.text)
        problem(answer, answer.status_code, "malformed_request" if answer.status_code == 400 else "invalid_request")


def test_two_uploads_or_a_text_in_place_of_one_are_refused(client: TestClient) -> None:
    two = client.post(SEARCH, files=[("image", ("a", png())), ("image", ("b", png()))])
    problem(two, 400, "malformed_request")
    text = client.post(SEARCH, data={"image": "text"}, files={"other": ("o", b"x")})
    problem(text, 422, "invalid_request")


def chunk(kind: bytes, data: bytes) -> bytes:
    return struct.pack(">I", len(data)) + kind + data + struct.pack(">I", zlib.crc32(kind + data))


def bomb(side: int) -> bytes:
    """A PNG of a few kilobytes that says it has ``side`` x ``side`` pixels."""
    header = struct.pack(">IIBBBBB", side, side, 8, 0, 0, 0, 0)
    rows = zlib.compress(b"\0" * 4_000_000)
    return b"\x89PNG\r\n\x1a\n" + chunk(b"IHDR", header) + chunk(b"IDAT", rows) + chunk(b"IEND", b"")


def jpeg(cut: int | None = None) -> bytes:
    buffer = io.BytesIO()
    Image.open(io.BytesIO(png(size=(200, 200)))).save(buffer, "JPEG")
    return buffer.getvalue()[:cut]


UPLOADS = {
    "empty": (b"", 422, "invalid_image"),
    "no image": (b"hello, world", 415, "unsupported_image"),
    "another format": (b"%PDF-1.7\n", 415, "unsupported_image"),
    "svg": (b"<svg xmlns='http://www.w3.org/2000/svg'/>", 415, "unsupported_image"),
    "truncated png": (png()[:-30], 422, "invalid_image"),
    "truncated jpeg": (jpeg(600), 422, "invalid_image"),
    "header alone": (png()[:20], 422, "invalid_image"),
    "bomb": (bomb(50_000), 413, "image_too_large"),
    "bomb below Pillow's own limit": (bomb(12_000), 413, "image_too_large"),
}


@pytest.mark.parametrize("name", UPLOADS)
def test_a_bad_upload_is_refused_as_query_and_as_image(client: TestClient, name: str) -> None:
    data, status, code = UPLOADS[name]
    problem(upload(client, data), status, code)
    problem(client.post("/v1/galleries/colors/compare", files={"image": ("x", data)}), status, code)
    added = client.post(IMAGES, files=[("image", ("bad.png", data)), ("image", ("good.png", png()))]).json()
    bad, good = added["images"]
    assert wait(client, added["job"])["state"] == "succeeded"
    assert (bad["error"]["status"], bad["error"]["code"], bad["image_id"]) == (status, code, None)
    assert good["error"] is None
    assert client.get(f"{IMAGES}/{good['image_id']}").json()["key"] == "good.png"


def test_one_pixel_is_an_image(client: TestClient) -> None:
    answer = upload(client, png(size=(1, 1)))
    assert answer.status_code == 200, answer.text


@pytest.mark.parametrize(
    "url",
    [
        "file:///etc/passwd",
        "ftp://example.org/x.png",
        "gopher://example.org/",
        "javascript:alert(1)",
        "//example.org/x.png",
        "http://127.0.0.1/x.png",
        "http://localhost/x.png",
        "http://127.1/x.png",
        "http://2130706433/x.png",
        "http://0.0.0.0/",
        "http://10.1.2.3/x.png",
        "http://192.168.0.1/x.png",
        "http://169.254.169.254/latest/meta-data",
        "http://[::1]/x.png",
        "http://[fe80::1]/x.png",
        "http://[::ffff:10.0.0.1]/x.png",
        "http://user:secret@example.org/x.png",
        "http://example.org:22/x.png",
    ],
)
def test_a_url_that_leads_inside_is_refused(client: TestClient, url: str) -> None:
    found = problem(client.post(SEARCH, json={"image_url": url}), 422, "url_refused")
    assert "secret" not in json.dumps(found)
    outcome = client.post(f"{SEARCH}/batch", json={"searches": [{"image_url": url}]}).json()[0]
    assert outcome["error"]["code"] == "url_refused"
    problem(client.post("/v1/galleries/colors/compare", json={"image_url": url}), 422, "url_refused")


def test_a_body_over_the_limit_is_refused_with_and_without_its_length(client: TestClient) -> None:
    def chunks(total: int) -> Iterator[bytes]:
        sent = 0
        while sent < total:
            yield b" " * 65_536
            sent += 65_536

    over = MAX_BODY_BYTES + 1
    for path in (SEARCH, f"{SEARCH}/batch", "/v1/jobs"):
        problem(client.post(path, content=b" " * over, headers=AS_JSON), 413, "request_too_large")
        problem(client.post(path, content=chunks(over), headers=AS_JSON), 413, "request_too_large")
    form = {"content-type": "multipart/form-data; boundary=x"}

    def upload_without_end() -> Iterator[bytes]:
        yield b'--x\r\nContent-Disposition: form-data; name="image"; filename="a"\r\n\r\n'
        yield from chunks(over)

    for path in (SEARCH, IMAGES):
        problem(client.post(path, content=upload_without_end(), headers=form), 413, "request_too_large")
    problem(client.post(SEARCH, content=b"{}", headers={**AS_JSON, "content-length": "-1"}), 413, "request_too_large")


def test_unicode_keys_are_kept_and_very_long_ones_refused(client: TestClient) -> None:
    key = "ordner/Ünïcødé 🦊 — «пример» 例\u202e/\t.png"
    said = json.dumps([{"key": key}])
    answer = client.post(IMAGES, files={"image": ("x.png", png())}, data={"details": said}).json()
    added = answer["images"][0]
    assert wait(client, answer["job"])["state"] == "succeeded"
    assert added["key"] == key
    found = client.get(f"{IMAGES}/{added['image_id']}").json()
    assert found.get("key") == key, found
    wanted = json.dumps({"field": "key", "equals": key})
    assert client.get(IMAGES, params={"filter": wanted}).json()["images"][0]["image_id"] == added["image_id"]
    longest = "ü" * 1024
    long = client.post(IMAGES, files={"image": ("x.png", png())}, data={"details": json.dumps([{"key": longest}])})
    assert long.json()["images"][0]["key"] == longest
    for name, details in (("x.png", json.dumps([{"key": longest + "x"}])), ("n" * 1025, "[]"), ("", "[]")):
        refused = client.post(IMAGES, files={"image": (name, png())}, data={"details": details})
        problem(refused, 422, "invalid_request")


@pytest.mark.parametrize(
    "details",
    ["{}", "[", "[1]", '[{"key": ""}]', '[{"nope": 1}]', "[{}, {}]", '[{"metadata": {"x": [1]}}]',
     '[{"metadata": {"x": NaN}}]', '[{"labels": {"subcategory": "dog"}}]'],
)  # fmt: skip
def test_malformed_details_are_refused(client: TestClient, details: str) -> None:
    answer = client.post(IMAGES, files={"image": ("x.png", png())}, data={"details": details})
    problem(answer, 422, "invalid_request")


def test_images_need_keys_of_their_own(client: TestClient) -> None:
    files = [("image", ("same.png", png())), ("image", ("same.png", png()))]
    problem(client.post(IMAGES, files=files), 422, "invalid_request")
    problem(client.post(IMAGES, data={"details": "[]"}), 422, "invalid_request")


@pytest.mark.parametrize(
    ("cursor", "limit"), [("", 10), ("x", 10), ("!", 10), ("MTo=é", 10), ("AAAA", 10), ("Mjph", 10), ("MTr_", 10)]
)
def test_an_invalid_cursor_is_refused(client: TestClient, cursor: str, limit: int) -> None:
    problem(client.get(IMAGES, params={"cursor": cursor, "limit": limit}), 422, "invalid_cursor")


@pytest.mark.parametrize("limit", ["0", "1001", "x", "1e3", ""])
def test_a_limit_out_of_range_is_refused(client: TestClient, limit: str) -> None:
    problem(client.get(IMAGES, params={"limit": limit}), 422, "invalid_request")


@pytest.mark.parametrize(
    ("path", "status", "code"),
    [
        ("/v1/galleries/nothing", 404, "gallery_not_found"),
        ("/v1/galleries/UPPER", 422, "invalid_request"),
        ("/v1/galleries/..%2f..%2fetc%2fpasswd", 404, "not_found"),
        ("/v1/galleries/%2e%2e", 422, "invalid_request"),
        ("/v1/galleries/colors%00", 422, "invalid_request"),
        ("/v1/galleries/colors%0a", 422, "invalid_request"),
        ("/v1/galleries/" + "a" * 64, 422, "invalid_request"),
        ("/v1/galleries/colors/images/..%2f..%2flive.json", 404, "not_found"),
        ("/v1/galleries/colors/images/no-uuid", 422, "invalid_request"),
        ("/v1/galleries/colors/images/no-uuid/content", 422, "invalid_request"),
        (f"/v1/galleries/colors/images/{NOBODY}/thumbnail", 404, "image_not_found"),
        (f"/v1/galleries/colors/images/{NOBODY}/thumbnail?size=31", 422, "invalid_request"),
        (f"/v1/galleries/colors/images/{NOBODY}/thumbnail?size=1025", 422, "invalid_request"),
        ("/v1/models/none", 404, "model_not_found"),
        ("/v1/models/color_edges@9", 404, "model_not_found"),
        ("/v1/models/color_edges@0", 422, "invalid_request"),
        ("/v1/models/%2e%2e", 422, "invalid_request"),
        ("/v1/models/..%2f..%2fgalleries", 404, "not_found"),
        ("/v1/evaluations/00000000", 404, "evaluation_not_found"),
        ("/v1/evaluations/..%2f..%2fx", 404, "not_found"),
        ("/v1/evaluations/NO/report.html", 422, "invalid_request"),
        ("/v1/jobs/00000000", 404, "job_not_found"),
        ("/v1/jobs/00000000/events", 404, "job_not_found"),
        ("/v1/jobs/no/failures", 422, "invalid_request"),
        ("/web/..%2fapp.py", 404, "not_found"),
        ("/web/app.py", 404, "object_not_found"),
        ("/nothing", 404, "not_found"),
    ],
)
def test_paths_lead_nowhere_else(client: TestClient, path: str, status: int, code: str) -> None:
    problem(client.get(path), status, code)


def test_another_method_is_refused(client: TestClient) -> None:
    answer = client.put("/v1/galleries/colors")
    problem(answer, 405, "method_not_allowed")
    assert answer.headers["allow"]


@pytest.mark.parametrize(
    ("body", "status", "code"),
    [
        ({"searches": []}, 422, "invalid_request"),
        ({"searches": [{"image_id": NOBODY}] * 257}, 422, "invalid_request"),
        ({"searches": {}}, 422, "invalid_request"),
        ({}, 422, "invalid_request"),
    ],
)
def test_a_batch_of_the_wrong_size_is_refused(
    client: TestClient, body: dict[str, object], status: int, code: str
) -> None:
    problem(client.post(f"{SEARCH}/batch", json=body), status, code)


def test_a_wrong_search_of_a_batch_stops_no_other(client: TestClient) -> None:
    image_id = first_image(client)["image_id"]
    wrong: list[tuple[object, str]] = [
        ("text", "invalid_request"),
        (None, "invalid_request"),
        ({}, "invalid_request"),
        ({"image_id": image_id, "k": 0}, "invalid_request"),
        ({"image_id": NOBODY}, "image_not_found"),
        ({"embedding": [1.0]}, "invalid_embedding"),
        ({"image_id": image_id, "filter": nested(99)}, "invalid_filter"),
        ({"image_id": image_id, "params": {"x": 1}}, "unknown_parameter"),
    ]
    searches = [one for said, _ in wrong for one in (said, {"image_id": image_id, "k": 1})]
    outcomes = client.post(f"{SEARCH}/batch", json={"searches": searches}).json()
    assert [outcome["error"]["code"] for outcome in outcomes[::2]] == [code for _, code in wrong]
    assert all(outcome["response"]["hits"][0]["image_id"] == image_id for outcome in outcomes[1::2])


def test_compare_refuses_what_is_not_live_and_too_many_pairs(client: TestClient) -> None:
    image_id = first_image(client)["image_id"]
    path = "/v1/galleries/colors/compare"
    missing = {"image_id": image_id, "pairs": [{"backend": "exact"}, {"backend": "none"}]}
    problem(client.post(path, json=missing), 404, "index_not_found")
    many = {"image_id": image_id, "pairs": [{"backend": "exact"}] * 17}
    problem(client.post(path, json=many), 422, "invalid_request")
    problem(client.post(path, json={}), 422, "invalid_request")
