"""The straight path with everything in a bucket: from images in S3 to hits, in two processes' views of it."""

import io
from functools import partial
from pathlib import Path

import numpy as np
import pytest
from minio import Minio
from PIL import Image
from s3_buckets import BUCKET

from lookalike.bootstrap import open_bucket as open_source_bucket
from lookalike.bootstrap import wire
from lookalike.errors import InvalidRequest
from lookalike.galleries.open import open_source
from lookalike.pipeline.index_gallery import build_indexes, embed_gallery, newest_set, promote_indexes
from lookalike.pipeline.ingest import ingest
from lookalike.pipeline.models import import_model
from lookalike.pipeline.promote import Checks
from lookalike.pipeline.search import search
from lookalike.settings import explain, load
from lookalike.storage.s3_bucket import S3Server
from lookalike.types.search import SearchRequest

MODEL, NUM_IMAGES = "pixels16", 8


def picture(number: int) -> bytes:
    pixels = np.random.default_rng(number).integers(0, 255, (24, 24, 3), np.uint8)
    file = io.BytesIO()
    Image.fromarray(pixels).save(file, "PNG")
    return file.getvalue()


def environment(server: S3Server, prefix: str, folder: Path) -> dict[str, str]:
    return {
        "LOOKALIKE_STORAGE__URL": f"s3://{BUCKET}/{prefix}/store",
        "LOOKALIKE_STORAGE__CACHE": f"{folder}/cache",
        "LOOKALIKE_STORAGE__S3_ENDPOINT": server.endpoint,
        "LOOKALIKE_STORAGE__S3_REGION": "us-east-1",
        "LOOKALIKE_STORAGE__S3_ACCESS_KEY": server.access_key or "",
        "LOOKALIKE_STORAGE__S3_SECRET_KEY": server.secret_key or "",
    }


def test_from_images_in_a_bucket_to_hits_on_another_machine(swift: S3Server, tmp_path: Path) -> None:
    pytest.importorskip("torch")
    prefix = f"workspace-{tmp_path.name}"
    client = Minio(swift.endpoint.partition("//")[2], swift.access_key, swift.secret_key, secure=False)
    for number in range(NUM_IMAGES):
        data = picture(number)
        client.put_object(BUCKET, f"{prefix}/images/kind{number % 3}/{number}.png", io.BytesIO(data), len(data))
    settings = load(environment(swift, prefix, tmp_path / "one"), tmp_path / "none.toml")
    at = wire(settings)
    import_model(at, f"baseline:{MODEL}")
    for expected in ((NUM_IMAGES, 0), (0, NUM_IMAGES)):
        source = open_source(
            f"s3://{BUCKET}/{prefix}/images",
            images_root=None,
            fetcher=at.fetch,
            open_bucket=partial(open_source_bucket, settings),
        )
        made = ingest(at.store, at.galleries, at.ledger, "pictures", source, limits=at.limits)
        source.close()
        assert (made.added, made.unchanged, made.failed) == (*expected, 0)
    embed_gallery(at, "pictures", MODEL)
    embedding_set = newest_set(at, "pictures", MODEL)
    manifests = build_indexes(at, "pictures", embedding_set, ["faiss"])
    promote_indexes(at, "pictures", embedding_set, manifests, checks=Checks(min_parity=0))
    at.close()

    other = wire(load(environment(swift, prefix, tmp_path / "two"), tmp_path / "none.toml"))
    try:
        request = SearchRequest(backend="faiss", k=3)
        found = search(other.serving.gallery("pictures"), request, other.query, image=picture(7))
        assert found.hits[0].key == "kind1/7.png"
        assert found.hits[0].similarity > 0.99
        assert found.hits[0].labels.subcategory == "kind1"
    finally:
        other.close()


def test_settings_of_s3_are_whole_and_secret(tmp_path: Path) -> None:
    given = environment(S3Server("http://minio:9000", None, "key", "very-secret"), "prefix", tmp_path)
    shown = {setting.name: setting for setting in explain(given, tmp_path / "none.toml")}
    assert "very-secret" not in str(shown)
    for variable, value in (
        ("URL", "http://bucket"),
        ("URL", "s3://B"),
        ("S3_ENDPOINT", "minio:9000"),
        ("S3_ENDPOINT", "http://user:password@minio:9000"),
        ("S3_SECRET_KEY", ""),
    ):
        with pytest.raises(InvalidRequest, match=r"storage"):
            load({**given, f"LOOKALIKE_STORAGE__{variable}": value}, tmp_path / "none.toml")
