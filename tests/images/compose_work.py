"""What a user does with a gallery of the system under test."""

import io
import json
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

import httpx
import numpy as np
from PIL import Image
from stack import Stack


@dataclass
class Gallery:
    """One gallery, over HTTP."""

    system: Stack
    name: str

    @property
    def _path(self) -> str:
        return f"/v1/galleries/{self.name}"

    def num_images(self) -> int:
        return int(self.system.get(self._path)["num_images"])

    def backends(self) -> list[str]:
        """Those that are live, under the default model."""
        live = self.system.get(self._path)["live"].values()
        return sorted({backend for indexes in live for backend in indexes})

    def is_live(self) -> bool:
        """Whether it is there and something of it can be searched."""
        answer = self.system.http.get(self._path)
        return answer.status_code == httpx.codes.OK and bool(self.backends())

    def search(self, key: str, backend: str, k: int = 10) -> list[dict[str, Any]]:
        """The hits for an image of the gallery. Raises AssertionError for anything but an answer."""
        wanted = f'{{"field": "key", "equals": "{key}"}}'
        (image,) = self.system.get(f"{self._path}/images", filter=wanted)["images"]
        request = {"image_id": image["image_id"], "backend": backend, "k": k}
        return list(self.system.post(f"{self._path}/search", request)["hits"])

    def can_search(self, key: str, backend: str) -> list[dict[str, Any]] | None:
        """The hits, or None where there is no answer."""
        try:
            return self.search(key, backend)
        except (AssertionError, ValueError, httpx.HTTPError):
            return None

    def upload(self, files: Mapping[str, bytes]) -> str:
        """Uploads in one request and returns the job that embeds them."""
        parts = [("image", ("image.png", data, "image/png")) for data in files.values()]
        details = json.dumps([{"key": name} for name in files])
        answer = self.system.http.post(f"{self._path}/images", files=parts, data={"details": details})
        assert answer.status_code == httpx.codes.ACCEPTED, answer.text[:1000]
        assert all(image["error"] is None for image in answer.json()["images"]), answer.text[:1000]
        return str(answer.json()["job"])

    def has_begun(self, *jobs: str) -> bool:
        """Whether one of the jobs is running; an assertion fails where all have ended, as then nothing is at work."""
        states = [self.system.get(f"/v1/jobs/{job}")["state"] for job in jobs]
        assert states.count("succeeded") < len(states), states
        return "running" in states


def draw_noise(number: int, *, seed: int, side: int = 256) -> dict[str, bytes]:
    """Pictures that are like nothing else, by their names."""
    rng = np.random.default_rng(seed)
    files = {}
    for index in range(number):
        coarse = rng.integers(0, 255, (8, 8, 3), dtype=np.uint8)
        buffer = io.BytesIO()
        Image.fromarray(coarse).resize((side, side), Image.Resampling.BICUBIC).save(buffer, "PNG")
        files[f"noise/{seed}/{index:04d}.png"] = buffer.getvalue()
    return files
