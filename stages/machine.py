"""Machine: what the speed figures were measured on.

Out:  metrics/machine.json   processor, cores and instruction sets of this machine

It runs on every `dvc repro` and takes no time; `evaluate` and `benchmark` depend on its
output, so that DVC never hands out another machine's figures from its run cache.

Run:  python -m stages.machine metrics/machine.json
"""

from pathlib import Path

from stages.common.cli import run_stage
from stages.common.files import write_json
from stages.common.host import describe_cpu
from stages.common.params import load_params


def main(out: Path) -> None:
    """Writes what this machine is."""
    load_params()  # every repro starts by refusing a params.yaml with a fault in it
    write_json(out, describe_cpu())


if __name__ == "__main__":
    run_stage(main)
