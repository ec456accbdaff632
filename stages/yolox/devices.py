"""Devices of a training run: accelerator, precision, processes, threads."""

import ctypes
from contextlib import suppress

import torch
from lightning_fabric import Fabric

from detector.core.cpu import has_fast_bf16, usable_cores
from stages.common.params import Recipe
from stages.common.run import UserError

M_TRIM_THRESHOLD, M_MMAP_MAX = -1, -4  # of <malloc.h>


def start_fabric(params: Recipe) -> Fabric:
    """Take the devices, start the other processes where there are several, set the seed.

    Raises:
        UserError: the machine has no such accelerator.
    """
    kind = params.accelerator
    if kind == "auto":
        gpu = "mps" if torch.backends.mps.is_available() else "cpu"
        kind = "cuda" if torch.cuda.is_available() else gpu
    available = {"cuda": torch.cuda.is_available, "mps": torch.backends.mps.is_available}
    if kind in available and not available[kind]():
        raise UserError(f"train.accelerator is {kind}, but this machine has none; use auto or cpu")
    keep_freed_memory()
    fabric = Fabric(
        accelerator=kind,
        devices=1 if kind == "cpu" and params.devices == "auto" else params.devices,
        num_nodes=params.num_nodes,
        precision=best_precision(kind) if params.precision == "auto" else params.precision,
    )
    fabric.launch()
    torch.set_num_threads(max(1, usable_cores() * params.num_nodes // fabric.world_size))
    torch.manual_seed(params.seed)
    return fabric


def keep_freed_memory() -> None:
    """Make glibc reuse freed memory instead of handing it back to the kernel.

    Otherwise every activation of every step is made of new pages, which the kernel fills with
    zeros first: a step of YOLOX-nano on two cores takes a fifth longer.
    """
    with suppress(AttributeError):  # another C library than glibc
        mallopt = ctypes.CDLL(None).mallopt
        mallopt(M_MMAP_MAX, 0)
        mallopt(M_TRIM_THRESHOLD, 2**31 - 1)


def best_precision(kind: str) -> str:
    """Return the fastest precision that trains as well: bfloat16 where it is computed natively."""
    if kind == "cuda":
        return "bf16-mixed" if torch.cuda.is_bf16_supported() else "16-mixed"
    return "bf16-mixed" if kind == "cpu" and has_fast_bf16() else "32"
