"""What runs in each of TorchServe's worker processes: one model, and the requests that TorchServe merged.

TorchServe calls with ``None`` once, to load, and then with the requests that came together (its dynamic batching:
so many at a time, or as many as came within a delay). Whatever is wrong with one request is answered to that one.

Precision, threads and the limits on images are this process's settings (``LOOKALIKE_EMBEDDER__*``,
``LOOKALIKE_IMAGES__*``), as for a model in any other process.
"""

import os
from collections.abc import Mapping, Sequence
from concurrent.futures import ThreadPoolExecutor
from functools import partial
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from lookalike.embedding.cores import available_cores
from lookalike.embedding.remote_protocol import RemoteModel, max_images
from lookalike.embedding.torch_local import TorchEmbedder
from lookalike.images.limits import ImageLimits
from lookalike.settings import load
from services.embedder.torchserve.answering import Answer, description, embeddings, refusal
from services.embedder.torchserve.reading import Reading, read_request


class Handler:
    """One loaded model and the threads that decode for it and wait for it."""

    def __init__(self, embedder: TorchEmbedder, limits: ImageLimits, *, threads: int) -> None:
        self._embedder = embedder
        self._limits = limits
        self._decoding = ThreadPoolExecutor(threads, "decode")
        self._waiting = ThreadPoolExecutor(64, "request")  # they only wait for the model's own threads

    @classmethod
    def load(cls, folder: Path) -> "Handler":
        """The model that TorchServe unpacked into ``folder``. Raises as TorchEmbedder."""
        settings = load()
        options = settings.embedder
        embedder = TorchEmbedder(
            folder,
            precision=options.precision,
            batch_size=options.batch_size or "auto",
            threads=options.threads or "auto",
        )
        limits = ImageLimits(settings.images.max_bytes, settings.images.max_pixels)
        return cls(embedder, limits, threads=options.threads or available_cores())

    def answer(self, requests: Sequence[Mapping[str, Any]], headers: Sequence[Mapping[str, str]]) -> list[Answer]:
        """One answer for each request, in order. ``headers`` have names in lower case."""
        manifest = self._embedder.manifest
        read = partial(read_request, manifest=manifest, limits=self._limits)
        # One request alone, as a query is, goes without another thread.
        readings = list((self._decoding.map if len(requests) > 1 else map)(read, requests, headers))
        found = self._embed([reading.images_GSSC for reading in readings])
        return [
            self._answer(reading, rows_GD, said.get("accept", ""))
            for reading, rows_GD, said in zip(readings, found, headers, strict=True)
        ]

    def _answer(self, reading: Reading, rows_GD: NDArray[np.float32], accept: str) -> Answer:
        if reading.describes:
            return description(self._described())
        if reading.refused is not None:
            return refusal(reading.refused)
        return embeddings(reading, rows_GD, self._embedder.manifest, accept)

    def _embed(self, merged: Sequence[NDArray[np.uint8]]) -> list[NDArray[np.float32]]:
        """The embeddings of each request.

        A GPU takes all of them in one forward. On a CPU each request goes through the lanes on its own, at the same
        time as the others: a larger batch is no faster there, and so a request's embeddings are the same bits
        whichever others came with it.
        """
        if self._embedder.runtime.device == "cpu":
            return list((self._waiting.map if len(merged) > 1 else map)(self._embedder.embed, merged))
        ends = np.cumsum([len(images) for images in merged])[:-1]
        return np.split(self._embedder.embed(np.concatenate(merged)), ends)

    def _described(self) -> RemoteModel:
        one = self._embedder
        return RemoteModel(
            manifest=one.manifest, batch_size=one.batch_size, max_images=max_images(one.manifest), runtime=one.runtime
        )


_LOADED: dict[str, Handler] = {}  # TorchServe loads one model in each process


def handle_requests(data: list[dict[str, Any]] | None, context: Any) -> list[bytes] | None:
    """TorchServe's entry point: loads for None, else answers each of ``data``. Status and headers go by ``context``."""
    folder = str(context.system_properties["model_dir"])
    if data is None:
        _choose_gpu(context.system_properties.get("gpu_id"))
        _LOADED[folder] = Handler.load(Path(folder))
        return None
    headers = [_headers(context.get_all_request_header(position)) for position in range(len(data))]
    answers = _LOADED[folder].answer(data, headers)
    for position, answer in enumerate(answers):
        context.set_response_status(code=answer.status, idx=position)
        for name, value in answer.headers.items():
            context.set_response_header(position, name, value)
    return [answer.body for answer in answers]


def _headers(said: Mapping[str, Any]) -> dict[str, str]:
    """Without TorchServe's entries for the parts of a form, which are no strings."""
    return {name.lower(): value for name, value in said.items() if isinstance(value, str)}


def _choose_gpu(number: int | None) -> None:
    """The GPU that TorchServe gives this worker becomes its only one; it is before CUDA is used, which looks once."""
    if number is not None:
        visible = os.environ.get("CUDA_VISIBLE_DEVICES", "")
        os.environ["CUDA_VISIBLE_DEVICES"] = visible.split(",")[number] if visible else str(number)
