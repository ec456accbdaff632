"""The machine that a stage really has: processor, cores, instruction sets."""

import platform
from pathlib import Path

import openvino as ov

from detector.cores import usable_cores

# The sets that decide how fast a convolution runs, slowest first.
INSTRUCTION_SETS = (
    "avx2", "avx512f", "avx512_vnni", "avx_vnni", "avx512_bf16", "amx_bf16", "amx_int8",
    "asimddp", "i8mm", "bf16",
)  # fmt: skip


def describe_cpu() -> dict:
    """Processor name, usable cores and instruction sets, the same on every call."""
    return {
        "cpu": ov.Core().get_property("CPU", "FULL_DEVICE_NAME").strip(),
        "cores": usable_cores(),
        "isa": instruction_sets(),
        "system": f"{platform.system()} {platform.machine()}",
    }


def instruction_sets() -> list[str]:
    """Those of INSTRUCTION_SETS that the processor has; read from the kernel where it tells."""
    try:
        words = set(Path("/proc/cpuinfo").read_text().split())
        return [name for name in INSTRUCTION_SETS if name in words]
    except OSError:
        return sorted(ov.Core().get_property("CPU", "OPTIMIZATION_CAPABILITIES"))


def has_fast_bf16() -> bool:
    """Whether bfloat16 arithmetic is done by the processor and not emulated."""
    return bool({"avx512_bf16", "amx_bf16", "bf16"} & set(instruction_sets()))
