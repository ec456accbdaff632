"""The machine that a stage really has: processor, cores, instruction sets."""

import os
import platform
from pathlib import Path

import openvino as ov

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


def usable_cores() -> int:
    """Cores that this process may use: its affinity, and the CPU quota of its cgroup."""
    affinity = len(os.sched_getaffinity(0)) if hasattr(os, "sched_getaffinity") else os.cpu_count()
    return max(1, min(affinity, cgroup_quota(affinity)))


def cgroup_quota(no_limit: int) -> int:
    """Whole cores that the cgroup's CPU quota allows (cgroup v2, then v1)."""
    try:
        quota, period = Path("/sys/fs/cgroup/cpu.max").read_text().split()
    except (OSError, ValueError):
        try:
            folder = Path("/sys/fs/cgroup/cpu")
            quota = (folder / "cpu.cfs_quota_us").read_text()
            period = (folder / "cpu.cfs_period_us").read_text()
        except OSError:
            return no_limit
    if quota.strip() in ("max", "-1"):
        return no_limit
    return max(1, int(quota) // int(period))


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
