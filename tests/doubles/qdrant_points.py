"""What the test doubles of a Qdrant server hold: collections of points in NumPy arrays, searched one by one.

Not Qdrant: no graph, no quantization, no disk. Bodies and answers are those of Qdrant's REST interface, as plain
JSON values; what it refuses is refused here with the same status.
"""

import threading
import time
import uuid
from collections.abc import Callable
from dataclasses import dataclass, field
from typing import Any

import numpy as np
from numpy.typing import NDArray

Json = Any


class Refused(Exception):
    """An answer other than 200."""

    def __init__(self, status: int, reason: str) -> None:
        super().__init__(reason)
        self.status = status


@dataclass
class Collection:
    """One collection; ``writes`` counts the points that were ever upserted into it."""

    config: dict[str, Json]
    rows: dict[str, int] = field(default_factory=dict)
    vectors_ND: NDArray[np.float32] = field(default_factory=lambda: np.zeros((0, 0), np.float32))
    payloads: list[dict[str, Json]] = field(default_factory=list)
    schema: dict[str, str] = field(default_factory=dict)
    snapshots: list[dict[str, Json]] = field(default_factory=list)
    green_at: float = 0.0
    writes: int = 0

    @property
    def dimension(self) -> int:
        return int(self.config["vectors"]["size"])

    @property
    def indexing_threshold(self) -> int:
        return int(self.config["optimizers_config"].get("indexing_threshold", 10_000))


class Points:
    """All collections and aliases. Safe for several threads.

    Args:
        indexing_s: how long a collection is yellow after it was told to index what it holds.
    """

    def __init__(self, indexing_s: float = 0.0) -> None:
        self.indexing_s = indexing_s
        self.collections: dict[str, Collection] = {}
        self.aliases: dict[str, str] = {}
        self._lock = threading.RLock()

    def named(self, name: str) -> Collection:
        """A collection by its name or one of its aliases."""
        with self._lock:
            found = self.collections.get(self.aliases.get(name, name))
        if found is None:
            raise Refused(404, f"Not found: Collection `{name}` doesn't exist!")
        return found

    def create(self, name: str, body: Json) -> bool:
        with self._lock:
            if name in self.collections:
                raise Refused(409, f"Wrong input: Collection `{name}` already exists!")
            self.collections[name] = Collection({"hnsw_config": {}, "optimizers_config": {}, **body})
        return True

    def update(self, name: str, body: Json) -> bool:
        with self._lock:
            collection = self.named(name)
            former = collection.indexing_threshold
            collection.config["optimizers_config"].update(body.get("optimizers_config") or {})
            if collection.indexing_threshold and not former:
                collection.green_at = time.monotonic() + self.indexing_s
        return True

    def delete_collection(self, name: str) -> bool:
        with self._lock:
            gone = self.collections.pop(name, None)
            self.aliases = {alias: target for alias, target in self.aliases.items() if target != name}
        return gone is not None

    def info(self, name: str) -> Json:
        collection = self.named(name)
        hnsw = {"m": 16, "ef_construct": 100, "full_scan_threshold": 10_000, **collection.config["hnsw_config"]}
        optimizer = {"default_segment_number": 0, "flush_interval_sec": 5, **collection.config["optimizers_config"]}
        named = ("vectors", "shard_number", "replication_factor", "write_consistency_factor", "on_disk_payload")
        params = {part: collection.config[part] for part in named if part in collection.config}
        return {
            "status": "green" if time.monotonic() >= collection.green_at else "yellow",
            "optimizer_status": "ok",
            "segments_count": 1,
            "points_count": len(collection.rows),
            "config": {
                "params": params,
                "hnsw_config": hnsw,
                "optimizer_config": optimizer,
                "quantization_config": collection.config.get("quantization_config"),
            },
            "payload_schema": {
                path: {"data_type": kind, "points": len(collection.rows)} for path, kind in collection.schema.items()
            },
        }

    def upsert(self, name: str, body: Json) -> Json:
        if "batch" in body:
            batch = body["batch"]
            payloads = batch.get("payloads") or [None] * len(batch["ids"])
            points = list(zip(batch["ids"], batch["vectors"], payloads, strict=True))
        else:
            points = [(point["id"], point["vector"], point.get("payload")) for point in body["points"]]
        with self._lock:
            collection = self.named(name)
            vectors = [np.array(vector, np.float32) for _, vector, _ in points]
            if any(vector.shape != (collection.dimension,) for vector in vectors):
                raise Refused(400, f"Wrong input: Vector dimension error: expected dim: {collection.dimension}")
            places = [collection.rows.setdefault(_identifier(said), len(collection.rows)) for said, _, _ in points]
            added = len(collection.rows) - len(collection.payloads)
            collection.payloads.extend({} for _ in range(added))
            grown = np.zeros((added, collection.dimension), np.float32)
            collection.vectors_ND = np.concatenate([collection.vectors_ND.reshape(-1, collection.dimension), grown])
            for place, vector, (_, _, payload) in zip(places, vectors, points, strict=True):
                collection.vectors_ND[place] = vector
                collection.payloads[place] = payload or {}
            collection.writes += len(points)
        return {"operation_id": collection.writes, "status": "completed"}

    def count(self, name: str, body: Json) -> Json:
        return {"count": len(self.named(name).rows)}

    def retrieve(self, name: str, body: Json) -> Json:
        collection = self.named(name)
        found = [identifier for identifier in map(_identifier, body["ids"]) if identifier in collection.rows]
        return [self._record(collection, identifier, body) for identifier in found]

    def scroll(self, name: str, body: Json) -> Json:
        collection = self.named(name)
        order = sorted(collection.rows)
        start = order.index(body["offset"]) if body.get("offset") else 0
        stop = start + (body.get("limit") or 10)
        return {
            "points": [self._record(collection, identifier, body) for identifier in order[start:stop]],
            "next_page_offset": order[stop] if stop < len(order) else None,
        }

    def delete_points(self, name: str, body: Json) -> Json:
        with self._lock:
            collection = self.named(name)
            gone = set(body["points"])
            kept = [(identifier, row) for identifier, row in collection.rows.items() if identifier not in gone]
            collection.vectors_ND = collection.vectors_ND[[row for _, row in kept]]
            collection.payloads = [collection.payloads[row] for _, row in kept]
            collection.rows = {identifier: row for row, (identifier, _) in enumerate(kept)}
        return {"operation_id": 0, "status": "completed"}

    def query_batch(self, name: str, body: Json) -> Json:
        with self._lock:
            collection = self.named(name)
            identifiers = list(collection.rows)
            vectors_ND, payloads = collection.vectors_ND, list(collection.payloads)
        allowed_of: dict[str, NDArray[np.int64]] = {}
        answers = []
        for request in body["searches"]:
            condition = request.get("filter") or {}
            if repr(condition) not in allowed_of:
                rows = [row for row, payload in enumerate(payloads) if matches(condition, identifiers[row], payload)]
                allowed_of[repr(condition)] = np.array(rows, np.int64)
            allowed = allowed_of[repr(condition)]
            answers.append({"points": self._nearest(collection, vectors_ND, identifiers, allowed, request)})
        return answers

    def create_index(self, name: str, body: Json) -> Json:
        with self._lock:
            self.named(name).schema[body["field_name"]] = body["field_schema"]
        return {"operation_id": 0, "status": "completed"}

    def list_aliases(self) -> Json:
        return {"aliases": [{"alias_name": name, "collection_name": to} for name, to in self.aliases.items()]}

    def change_aliases(self, body: Json) -> bool:
        with self._lock:
            changed = dict(self.aliases)
            for action in body["actions"]:
                if "delete_alias" in action:
                    changed.pop(action["delete_alias"]["alias_name"], None)
                    continue
                said = action["create_alias"]
                if said["collection_name"] not in self.collections:
                    raise Refused(404, f"Not found: Collection `{said['collection_name']}` doesn't exist!")
                if said["alias_name"] in self.collections:
                    raise Refused(409, f"Wrong input: Collection `{said['alias_name']}` already exists!")
                changed[said["alias_name"]] = said["collection_name"]
            self.aliases = changed
        return True

    def create_snapshot(self, name: str) -> Json:
        with self._lock:
            collection = self.named(name)
            number = len(collection.snapshots)
            made = {
                "name": f"{name}-{number:03}-{uuid.uuid4().hex[:8]}.snapshot",
                "creation_time": f"2026-01-01T00:{number // 60:02}:{number % 60:02}",
                "size": collection.vectors_ND.nbytes,
            }
            collection.snapshots.append(made)
        return made

    def delete_snapshot(self, name: str, snapshot: str) -> bool:
        with self._lock:
            collection = self.named(name)
            kept = [one for one in collection.snapshots if one["name"] != snapshot]
            if len(kept) == len(collection.snapshots):
                raise Refused(404, f"Not found: Snapshot {snapshot} not found")
            collection.snapshots = kept
        return True

    def _record(self, collection: Collection, identifier: str, body: Json) -> Json:
        row = collection.rows[identifier]
        record: dict[str, Json] = {"id": identifier}
        if body.get("with_payload", True):
            record["payload"] = collection.payloads[row]
        if body.get("with_vector"):
            record["vector"] = collection.vectors_ND[row].tolist()
        return record

    def _nearest(
        self,
        collection: Collection,
        vectors_ND: NDArray[np.float32],
        identifiers: list[str],
        allowed: NDArray[np.int64],
        request: Json,
    ) -> list[Json]:
        query = request["query"]
        query_D = np.array(query["nearest"] if isinstance(query, dict) else query, np.float32)
        if query_D.shape != (collection.dimension,):
            raise Refused(400, f"Wrong input: Vector dimension error: expected dim: {collection.dimension}")
        if not len(allowed):
            return []
        near = vectors_ND[allowed]
        scores = near @ query_D
        if collection.config["vectors"]["distance"] == "Cosine":
            scores = scores / np.maximum(np.linalg.norm(near, axis=1) * np.linalg.norm(query_D), 1e-30)
        best = np.argsort(-scores, kind="stable")[: request.get("limit") or 10]
        return [
            {"id": identifiers[allowed[place]], "version": 0, "score": float(scores[place])} for place in best.tolist()
        ]


def matches(condition: Json, identifier: str, payload: dict[str, Json]) -> bool:
    """Whether a point satisfies a filter, in those of Qdrant's conditions that the adapter uses."""
    if "has_id" in condition:
        return identifier in set(condition["has_id"])
    if "key" in condition:
        return any(_has(condition, value) for value in _values(payload, condition["key"].split(".")))

    def holds(part: Json) -> bool:
        return matches(part, identifier, payload)

    should = condition.get("should")
    return (
        all(map(holds, condition.get("must") or ()))
        and (not should or any(map(holds, should)))
        and not any(map(holds, condition.get("must_not") or ()))
    )


def _has(condition: Json, value: Json) -> bool:
    match = condition.get("match")
    if match is not None:
        wanted = [match["value"]] if "value" in match else match["any"]
        return value in wanted
    if isinstance(value, str | bool):
        return False
    tests: dict[str, Callable[[float, float], bool]] = {
        "gt": lambda one, bound: one > bound,
        "gte": lambda one, bound: one >= bound,
        "lt": lambda one, bound: one < bound,
        "lte": lambda one, bound: one <= bound,
    }
    bounds = {side: bound for side, bound in condition["range"].items() if bound is not None}
    return all(tests[side](value, bound) for side, bound in bounds.items())


def _values(payload: Json, path: list[str]) -> list[Json]:
    for name in path:
        payload = payload.get(name) if isinstance(payload, dict) else None
    if payload is None:
        return []
    return payload if isinstance(payload, list) else [payload]


def _identifier(said: Json) -> str:
    try:
        return str(uuid.UUID(said))
    except (ValueError, AttributeError, TypeError):
        if isinstance(said, int):
            return said  # type: ignore[return-value]
        raise Refused(400, f"Format error: {said!r} is not a valid point ID") from None
