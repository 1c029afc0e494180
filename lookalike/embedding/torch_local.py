"""The embedder in this process: a model archive run by torch.

On a CPU the work is cut into small batches, each of which one thread takes through the whole model (a lane),
as many lanes as there are cores. Small batches stay in the cache, and no core waits for another at the end
of each operator, as it does when torch splits every operator over all cores; most of all, a lane may be late,
because its core was decoding images, without making the others late. A few images at a time (a query) go the
other way, through all cores together, since then only the time of one batch counts.

Shape suffixes: N images, H and W their height and width, C channels, D dimension.
"""

import io
from collections.abc import Sequence
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from typing import Literal

import numpy as np
from numpy.typing import NDArray

from lookalike.embedding.archive import read_program
from lookalike.embedding.cores import available_cores
from lookalike.embedding.runtime import Runtime
from lookalike.embedding.shapes import check_images, unit_rows
from lookalike.embedding.taps import Taps
from lookalike.errors import InvalidArchive, InvalidRequest, MissingExtra
from lookalike.types.models import ModelManifest

try:
    import torch
except ImportError as error:
    raise MissingExtra("torch", "torch") from error

Precision = Literal["auto", "float32", "bfloat16"]
Device = Literal["auto", "cpu", "cuda"]

# Fastest of 4 to 64 images of 224x224 with ResNet-18, -50 and DenseNet-121 on 1 MiB of L2 cache a core.
_LANE_IMAGES = 8
_LANE_PIXELS = _LANE_IMAGES * 224 * 224
_MAX_LANE_IMAGES = 256
_CUDA_IMAGES = 128
_CAST_BY_AUTOCAST = frozenset({torch.ops.aten.conv2d.default, torch.ops.aten.linear.default})


class TorchEmbedder:
    """A model archive in this process. Implements :class:`lookalike.embedding.port.Embedder`.

    Args:
        archive: the ``.mar`` file. It is read once and may be deleted afterwards.
        precision: ``auto`` is bfloat16 where the processor multiplies it natively, unless the manifest's
            recipe says ``precision: float32``. Embeddings are float32 and of length 1 in any case.
        batch_size: images per call; ``auto`` gives every lane as many as are fastest.
        threads: the cores to use; ``auto`` is those that this process may run on.
        device: ``auto`` is ``cuda`` where there is one.

    Raises InvalidArchive, DamagedArtifact, InvalidRequest for a setting that this machine lacks.
    """

    def __init__(
        self,
        archive: Path,
        *,
        precision: Precision = "auto",
        batch_size: int | Literal["auto"] = "auto",
        threads: int | Literal["auto"] = "auto",
        device: Device = "auto",
    ) -> None:
        program, self._manifest = read_program(archive)
        self._device = _device(device)
        self._bfloat16 = _is_bfloat16(precision, self._manifest, self._device)
        self._threads = _at_least_one("threads", available_cores() if threads == "auto" else threads)
        num_lanes = self._threads if self._device.type == "cpu" else 1
        self._batch_size = _at_least_one(
            "batch_size", self._lane_images() * num_lanes if batch_size == "auto" else batch_size
        )
        self._chunk = -(-self._batch_size // num_lanes)
        self._module = _load(program, self._device, self._bfloat16)
        # torch keeps the number of threads per calling thread, so each kind of call has threads of its own.
        self._lanes = ThreadPoolExecutor(num_lanes, "embed-lane", initializer=torch.set_num_threads, initargs=(1,))
        self._wide = ThreadPoolExecutor(1, "embed-wide", initializer=torch.set_num_threads, initargs=(self._threads,))

    @property
    def manifest(self) -> ModelManifest:
        return self._manifest

    @property
    def batch_size(self) -> int:
        return self._batch_size

    @property
    def precision(self) -> str:
        """``bfloat16`` or ``float32``: what ``auto`` came to."""
        return "bfloat16" if self._bfloat16 else "float32"

    @property
    def threads(self) -> int:
        return self._threads

    @property
    def runtime(self) -> Runtime:
        return Runtime(
            precision=self.precision,
            device=self._device.type,
            batch_size=self._batch_size,
            threads=self._threads if self._device.type == "cpu" else None,
            libraries={"torch": torch.__version__},
        )

    def embed(self, images_NHWC: NDArray[np.uint8]) -> NDArray[np.float32]:
        """See the port. Calls from several threads share the lanes.

        Which way a batch goes, and how it is cut, depends on N alone: the same batch gives the same bits.
        """
        check_images(images_NHWC, self._manifest)
        num_images = len(images_NHWC)
        if num_images == 0:
            return np.empty((0, self._manifest.dimension), np.float32)
        if self._device.type != "cpu" or self._threads == 1:
            starts, pool = range(0, num_images, self._chunk), self._lanes
        elif num_images <= self._chunk // 2:
            starts, pool = range(0, num_images, num_images), self._wide
        else:
            starts, pool = range(0, num_images, self._chunk), self._lanes
        embeddings_ND = np.empty((num_images, self._manifest.dimension), np.float32)
        chunks = [pool.submit(self._run, images_NHWC[start : start + starts.step]) for start in starts]
        for start, chunk in zip(starts, chunks, strict=True):
            embeddings_ND[start : start + starts.step] = chunk.result()
        return embeddings_ND

    def taps(self, names: Sequence[str]) -> Taps:
        """What the program computes at the steps ``names``, in this embedder's precision. Raises InvalidRequest."""
        return Taps(self._module, names, bfloat16=self._bfloat16)

    def close(self) -> None:
        self._lanes.shutdown()
        self._wide.shutdown()

    def _run(self, images_NHWC: NDArray[np.uint8]) -> NDArray[np.float32]:
        batch_NHWC = torch.from_numpy(np.require(images_NHWC, requirements=("C", "W"))).to(self._device)
        with torch.inference_mode(), torch.autocast(self._device.type, torch.bfloat16, enabled=self._bfloat16):
            embeddings_ND: NDArray[np.float32] = self._module(batch_NHWC).float().cpu().numpy()
        if embeddings_ND.shape != (len(images_NHWC), self._manifest.dimension):
            raise InvalidArchive(
                f"the program of {self._manifest.name} returns {embeddings_ND.shape}, its manifest says dimension "
                f"{self._manifest.dimension}"
            )
        return unit_rows(embeddings_ND)

    def _lane_images(self) -> int:
        if self._device.type == "cuda":
            return _CUDA_IMAGES
        fitting = _LANE_PIXELS // self._manifest.input_size**2
        return min(max(fitting, 1), _MAX_LANE_IMAGES)


def _load(program: bytes, device: torch.device, bfloat16: bool) -> torch.fx.GraphModule:
    try:
        module = torch.export.load(io.BytesIO(program)).module(check_guards=False)
    except (RuntimeError, ValueError, TypeError, KeyError, AssertionError) as error:
        raise InvalidArchive(f"torch cannot load the program: {error}"[:500]) from error
    graph = module.graph
    for node in list(graph.nodes):
        # Assertions that every tensor has the type it had on export: under autocast it has not.
        if node.target is torch.ops.aten._assert_tensor_metadata.default:
            graph.erase_node(node)
    _widen_weights(module)
    module.recompile()
    module.requires_grad_(False)
    module.to(device)
    for parameter in module.parameters():
        if parameter.ndim == 4:
            parameter.data = parameter.data.contiguous(memory_format=torch.channels_last)
    if bfloat16:
        _cast_weights(module)
    return module


def _widen_weights(module: torch.fx.GraphModule) -> None:
    """Converts once the float16 weights that the program would convert to float32 in every call.

    Only weights of which nothing but such conversions is read, so that the results are the same bits.
    """
    halves = {name: one for name, one in module.named_parameters() if one.dtype == torch.float16}
    readers: dict[str, list[torch.fx.Node]] = {}
    for node in module.graph.nodes:
        if node.op == "get_attr" and node.target in halves:
            readers.setdefault(node.target, []).extend(node.users)
    for name, nodes in readers.items():
        if all(_widens(node) for node in nodes):
            halves[name].data = halves[name].data.to(torch.float32)
            for node in nodes:
                node.replace_all_uses_with(node.all_input_nodes[0])
                module.graph.erase_node(node)


def _widens(node: torch.fx.Node) -> bool:
    is_conversion = node.target is torch.ops.aten.to.dtype
    return is_conversion and len(node.args) == 2 and node.args[1] is torch.float32 and not node.kwargs


def _cast_weights(module: torch.fx.GraphModule) -> None:
    """Casts once the weights that autocast would cast in every call, which for few images takes a tenth of it.

    Only those that nothing but a convolution or a linear layer reads, so that the results are the same bits.
    """
    names = dict(module.named_parameters())
    readers: dict[str, list[object]] = {}
    for node in module.graph.nodes:
        if node.op == "get_attr" and node.target in names:
            readers.setdefault(node.target, []).extend(user.target for user in node.users)
    for name, targets in readers.items():
        if all(target in _CAST_BY_AUTOCAST for target in targets):
            names[name].data = names[name].data.to(torch.bfloat16)


def _device(device: Device) -> torch.device:
    if device == "cuda" and not torch.cuda.is_available():
        raise InvalidRequest("device is cuda, but torch finds none", device=device)
    if device not in ("auto", "cpu", "cuda"):
        raise InvalidRequest(f"device must be auto, cpu or cuda, not {device!r}", device=device)
    return torch.device("cuda" if device != "cpu" and torch.cuda.is_available() else "cpu")


def _is_bfloat16(precision: Precision, manifest: ModelManifest, device: torch.device) -> bool:
    if precision not in ("auto", "float32", "bfloat16"):
        raise InvalidRequest(f"precision must be auto, float32 or bfloat16, not {precision!r}", precision=precision)
    if precision != "auto":
        return precision == "bfloat16"
    if manifest.recipe.get("precision") == "float32":
        return False
    if device.type == "cuda":
        return bool(torch.cuda.is_bf16_supported())
    capabilities = torch.cpu.get_capabilities()
    return bool(capabilities.get("avx512_bf16") or capabilities.get("amx_bf16") or capabilities.get("bf16"))


def _at_least_one(name: str, value: int) -> int:
    if value < 1:
        raise InvalidRequest(f"{name} must be at least 1, not {value}", **{name: value})
    return value
