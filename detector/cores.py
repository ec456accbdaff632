"""The processor cores that this process really has."""

import os
from pathlib import Path


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
