"""Where a run computes: CPU, GPU, or the ranks that ``torchrun`` started."""

import ctypes
import os
import sys

import torch
from lightning_fabric import Fabric

from lookalike.errors import InvalidRequest
from services.trainer.config import TrainConfig

# mallopt(3): M_TRIM_THRESHOLD, M_MMAP_THRESHOLD.
_KEPT_BY_MALLOC = (-1, -3)
_MOST = 2**31 - 1


def make_fabric(config: TrainConfig) -> Fabric:
    """The launched Fabric of this process.

    Under ``torchrun`` every rank joins by DistributedDataParallel, over NCCL on GPUs and gloo on CPUs; otherwise one
    device computes. Raises InvalidRequest for a device that there is not.
    """
    if config.device == "cuda" and not torch.cuda.is_available():
        raise InvalidRequest("device is cuda, but torch finds none", device=config.device)
    accelerator = "cuda" if config.device != "cpu" and torch.cuda.is_available() else "cpu"
    if config.threads is not None:
        torch.set_num_threads(config.threads)
    if accelerator == "cpu":
        keep_freed_memory()
    world_size, local_size = int(os.environ.get("WORLD_SIZE", "1")), int(os.environ.get("LOCAL_WORLD_SIZE", "1"))
    fabric = Fabric(
        accelerator=accelerator,
        devices=local_size,
        num_nodes=max(1, world_size // local_size),
        strategy=_ddp(config) if world_size > 1 else "auto",
        precision="32-true",  # the step casts itself, so that a teacher's embeddings keep their precision
    )
    fabric.launch()
    return fabric


def keep_freed_memory() -> None:
    """Maps of one step go into the memory of those of the step before.

    By default glibc returns large blocks to the system when they are freed, which then clears page after page of them
    again: a quarter of the time of a step on two cores (``benchmarks/training_step.py``). Other libraries are left
    as they are.
    """
    mallopt = getattr(ctypes.CDLL(None), "mallopt", None) if sys.platform == "linux" else None
    if mallopt is not None:
        for parameter in _KEPT_BY_MALLOC:
            mallopt(parameter, _MOST)


def _ddp(config: TrainConfig) -> str:
    """The ranks' strategy: an autoencoder's decoder has no part in any loss but that of a reconstruction."""
    draws = config.architecture.name in ("vanilla_ae", "conv_ae")
    is_drawn = config.objective is not None and config.objective.name == "reconstruction"
    return "ddp_find_unused_parameters_true" if draws and not is_drawn else "ddp"


def uses_bfloat16(config: TrainConfig, device_type: str) -> bool:
    """What ``precision: auto`` comes to on this machine."""
    if config.precision != "auto":
        return config.precision == "bfloat16"
    if device_type == "cuda":
        return bool(torch.cuda.is_bf16_supported())
    capabilities = torch.cpu.get_capabilities()
    return bool(capabilities.get("avx512_bf16") or capabilities.get("amx_bf16") or capabilities.get("bf16"))


def describe(fabric: Fabric) -> dict[str, object]:
    """The hardware and the libraries, for a manifest."""
    is_cuda = fabric.device.type == "cuda"
    return {
        "device": torch.cuda.get_device_name(fabric.device) if is_cuda else "cpu",
        "ranks": fabric.world_size,
        "threads": torch.get_num_threads(),
        "torch": torch.__version__,
    }
