"""Install locked requirements into a virtual environment, with PyTorch for this machine.

    python3 requirements/install.py ENVIRONMENT TORCH INDEX NAME...

ENVIRONMENT is made if it is not there. TORCH is cpu, cuda or auto: CUDA where there is an NVIDIA
GPU. PyPI's PyTorch for Linux brings 4 GB of CUDA libraries; its CPU builds are in PyTorch's own
INDEX. If that cannot be reached, PyPI's build is installed instead. NAME is a lock in this folder.
Needs nothing but the standard library. What is installed stays if the run is cut short.
"""

import platform
import re
import shutil
import subprocess
import sys
import tempfile
import venv
from pathlib import Path

LOCKS = Path(__file__).parent
# What CPU builds do without; a block of a lock is a line that pins a package, and its hashes.
CUDA_BLOCK = re.compile(r"^(?:torch|torchvision|triton|cuda-\S+|nvidia-\S+)==(?:.*\\\n)*.*\n", re.M)
NEEDED_ON_CPU = "nvidia-ml-py"  # a small reader of GPU facts that dvclive imports


def main(environment: Path, torch: str, index: str, *names: str) -> None:
    """Make the environment and install the locks of these names."""
    if not (environment / "bin/python").exists():
        venv.create(environment, with_pip=True)
    locks = [(LOCKS / f"{name}.txt").read_text() for name in names]
    if wants_cpu_builds(torch) and install_cpu_builds(environment, index):
        locks = [without_cuda(lock) for lock in locks]
    with tempfile.TemporaryDirectory() as folder:
        files = [Path(folder, f"{name}.txt") for name in names]
        for file, lock in zip(files, locks, strict=True):
            file.write_text(lock)
        lists = [word for file in files for word in ("-r", str(file))]
        if fault := pip_install(environment, "--require-hashes", *lists):
            sys.exit(f"{fault}; mend that and run the command again: what is installed stays")


def wants_cpu_builds(torch: str) -> bool:
    """Decide by TORCH; PyPI's builds for other systems than Linux need no CUDA anyway."""
    if torch not in ("auto", "cpu", "cuda"):
        sys.exit(f"TORCH is {torch}, expected auto, cpu or cuda")
    has_gpu = Path("/dev/nvidiactl").exists() or shutil.which("nvidia-smi") is not None
    return platform.system() == "Linux" and (torch == "cpu" or (torch == "auto" and not has_gpu))


def install_cpu_builds(environment: Path, index: str) -> bool:
    """Install PyTorch's CPU builds; False, with a line that says why, if they cannot be had."""
    quick = ("--retries", "0", "--timeout", "8", "--no-deps", "--index-url", index)
    for line in (LOCKS / "torch-cpu.txt").read_text().splitlines():
        if line.startswith("#"):
            continue
        with tempfile.NamedTemporaryFile("w", suffix=".txt") as file:
            file.write(line + "\n")
            file.flush()
            if fault := pip_install(environment, *quick, "-r", file.name):
                print(
                    f"PyTorch's CPU builds cannot be had from {index} ({fault}); installing "
                    "PyPI's build, which is 4 GB larger and computes the same"
                )
                return False
    return True


def without_cuda(lock: str) -> str:
    """Drop PyTorch, which is installed, and what only its CUDA builds need from a lock."""
    return CUDA_BLOCK.sub(
        lambda block: block[0] if block[0].startswith(NEEDED_ON_CPU) else "", lock
    )


def pip_install(environment: Path, *words: str) -> str | None:
    """Run pip; return its last error in one line, or None."""
    command = [environment / "bin/python", "-m", "pip", "install", "--quiet"]
    command += ["--disable-pip-version-check", "--no-input", *words]
    done = subprocess.run(command, stderr=subprocess.PIPE, text=True)
    if not done.returncode:
        return None
    errors = [line for line in done.stderr.splitlines() if line.startswith("ERROR: ")]
    lines = errors or done.stderr.strip().splitlines() or [f"pip ended with {done.returncode}"]
    return lines[-1].removeprefix("ERROR: ").strip()


if __name__ == "__main__":
    environment, torch, index, *names = sys.argv[1:]
    main(Path(environment), torch, index, *names)
