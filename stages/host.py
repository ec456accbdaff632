"""Host: the machine that accuracy as deployed and speed are measured on.

Out:  metrics/host.json   processor, cores and instruction sets

It runs on every `dvc repro`. `evaluate` and `benchmark` depend on its output, so that DVC never
takes another machine's figures from its run cache.

Run:  python -m stages.host metrics/host.json
"""

import platform
from pathlib import Path

import openvino as ov

from detector.core.cpu import instruction_sets, usable_cores
from stages.common.files import write_json
from stages.common.params import load_params
from stages.common.run import run_stage


def main(out: Path) -> None:
    """Describe this machine."""
    load_params()  # so that an error in params.yaml ends every `dvc repro` at its start
    write_json(out, describe_cpu())


def describe_cpu() -> dict:
    """Name the processor, its usable cores and instruction sets, the same on every call."""
    core = ov.Core()
    return {
        "cpu": core.get_property("CPU", "FULL_DEVICE_NAME").strip(),
        "cores": usable_cores(),
        "isa": instruction_sets() or sorted(core.get_property("CPU", "OPTIMIZATION_CAPABILITIES")),
        "system": f"{platform.system()} {platform.machine()}",
    }


if __name__ == "__main__":
    run_stage(main)
