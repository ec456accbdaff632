"""The cores and the instruction sets that this process really has."""

import os
from pathlib import Path

# Those that decide the speed of a convolution, slowest first.
INSTRUCTION_SETS = (
    "avx2", "avx512f", "avx512_vnni", "avx_vnni", "avx512_bf16", "amx_bf16", "amx_int8",
    "asimddp", "i8mm", "bf16",
)  # fmt: skip

# Those that add products of INT8 in 32 bits. Others add pairs of them in 16 bits, which saturate.
WIDE_SUMS = {"avx512_vnni", "avx_vnni", "amx_int8", "asimddp", "i8mm"}

CGROUPS = Path("/sys/fs/cgroup")


def usable_cores() -> int:
    """Count the cores that this process may use, by its affinity and its cgroup's CPU quota."""
    return max(1, min(affinity_cores(), cgroup_quota(affinity_cores())))


def cores_of_quota() -> int | None:
    """Return the cores of the quota where it, and not the affinity, limits this process.

    OpenVINO knows the affinity only, and would start more threads than may run.
    """
    return usable_cores() if usable_cores() < affinity_cores() else None


def affinity_cores() -> int:
    return len(os.sched_getaffinity(0)) if hasattr(os, "sched_getaffinity") else os.cpu_count()


def cgroup_quota(no_limit: int) -> int:
    """Count the whole cores that the cgroup's CPU quota allows (cgroup v2, then v1)."""
    try:
        quota, period = (CGROUPS / "cpu.max").read_text().split()
    except (OSError, ValueError):
        try:
            folder = CGROUPS / "cpu"
            quota = (folder / "cpu.cfs_quota_us").read_text()
            period = (folder / "cpu.cfs_period_us").read_text()
        except OSError:
            return no_limit
    if quota.strip() in ("max", "-1"):
        return no_limit
    return max(1, int(quota) // int(period))


def instruction_sets() -> list[str]:
    """List those of INSTRUCTION_SETS that /proc/cpuinfo names; none where there is no such file."""
    try:
        words = set(Path("/proc/cpuinfo").read_text().split())
    except OSError:
        return []
    return [name for name in INSTRUCTION_SETS if name in words]


def saturates(isa: list[str]) -> bool:
    """Return whether INT8 may saturate with these instruction sets; False where none are known."""
    return bool(isa) and not WIDE_SUMS & set(isa)


def has_fast_bf16() -> bool:
    """Return whether the processor computes in bfloat16 instead of emulating it."""
    return bool({"avx512_bf16", "amx_bf16", "bf16"} & set(instruction_sets()))
