"""Host: the machine that accuracy as deployed and speed are measured on.

Out:  metrics/host.json      the kind of machine: processor, cores and instruction sets
      metrics/machine.json   this very machine: the same with its clock, caches, microcode, memory,
                             limits and a hash of its id

It runs on every `dvc repro`. Accuracy depends on the kind of processor, so `evaluate` depends on
host.json; speed depends on the very machine, so `benchmark` depends on machine.json. DVC then never
takes another machine's figures for those of this one.

Run:  python -m stages.host metrics/host.json metrics/machine.json
"""

import hashlib
import hmac
import os
import platform
import uuid
from pathlib import Path

import openvino as ov
import psutil

from detector.core.cpu import instruction_sets, usable_cores
from stages.common.files import write_json
from stages.common.params import load_params
from stages.common.run import run_stage

PURPOSE = b"which machine measured the speed of these models"
CPU = Path("/sys/devices/system/cpu/cpu0")
MACHINE_IDS = Path("/etc/machine-id"), Path("/var/lib/dbus/machine-id")
BOOT_ID = Path("/proc/sys/kernel/random/boot_id")
CONTAINER_MARKS = Path("/.dockerenv"), Path("/run/.containerenv")
CPU_LIMIT = Path("/sys/fs/cgroup/cpu.max")
MEMORY_LIMITS = (
    Path("/sys/fs/cgroup/memory.max"),
    Path("/sys/fs/cgroup/memory/memory.limit_in_bytes"),
)


def main(host: Path, machine: Path) -> None:
    """Describe the kind of this machine, and this very one."""
    load_params()  # so that an error in params.yaml ends every `dvc repro` at its start
    write_json(host, describe_cpu())
    write_json(machine, {**describe_cpu(), **describe_machine()})


def describe_cpu() -> dict:
    """Name the processor, its usable cores and instruction sets, the same on every call."""
    core = ov.Core()
    return {
        "cpu": core.get_property("CPU", "FULL_DEVICE_NAME").strip(),
        "cores": usable_cores(),
        "isa": instruction_sets() or sorted(core.get_property("CPU", "OPTIMIZATION_CAPABILITIES")),
        "system": f"{platform.system()} {platform.machine()}",
    }


def describe_machine() -> dict:
    """Return what tells this machine from others of its kind; "" for what cannot be read here."""
    processor = processor_facts()
    return {
        "id": hashed_id(),
        "clock_mhz": clock_mhz(processor),
        "microcode": processor.get("microcode", ""),
        "caches": " ".join(first_line(p) for p in sorted(CPU.glob("cache/index*/size"))),
        "memory_gib": memory_gib(),
        "cpu_limit": first_line(CPU_LIMIT),
    }


def hashed_id() -> str:
    """Return 16 hex digits that are the same on every call here and differ on other machines.

    The id of the installation is not to be published, so it keys a hash of this purpose:
    https://www.freedesktop.org/software/systemd/man/latest/machine-id.html. Containers share the
    id of their image, so there the boot of their host counts too. Without an id, the address of
    the network card stands for it.
    """
    parts = [next(filter(None, map(first_line, MACHINE_IDS)), "") or f"{uuid.getnode():x}"]
    if any(mark.exists() for mark in CONTAINER_MARKS) or "KUBERNETES_SERVICE_HOST" in os.environ:
        parts.append(first_line(BOOT_ID))
    return hmac.new(" ".join(parts).encode(), PURPOSE, hashlib.sha256).hexdigest()[:16]


def processor_facts() -> dict[str, str]:
    """Read the facts of the first processor in /proc/cpuinfo; none where there is no such file."""
    try:
        text = Path("/proc/cpuinfo").read_text().split("\n\n")[0]
    except OSError:
        return {}
    pairs = (line.partition(":") for line in text.splitlines())
    return {name.strip(): value.strip() for name, _, value in pairs}


def clock_mhz(processor: dict[str, str]) -> int | str:
    """Return the highest clock, in steps of 10 MHz.

    Virtual machines tell only bogomips, twice the nominal clock; `cpu MHz` changes all the time.
    """
    khz = first_line(CPU / "cpufreq/cpuinfo_max_freq")
    mhz = float(khz) / 1000 if khz else float(processor.get("bogomips", 0)) / 2
    return 10 * round(mhz / 10) or ""


def memory_gib() -> int:
    """Return the memory that this process may use, rounded."""
    limits = [int(line) for line in map(first_line, MEMORY_LIMITS) if line.isdigit()]
    return round(min([psutil.virtual_memory().total, *limits]) / 2**30)


def first_line(path: Path) -> str:
    """Return the first line of a file; "" if there is none."""
    try:
        return path.read_text().split("\n")[0].strip()
    except OSError:
        return ""


if __name__ == "__main__":
    run_stage(main)
