"""Install locked requirements into a virtual environment, with PyTorch for this machine.

    python3 requirements/install.py ENVIRONMENT TORCH INDEX NAME...

ENVIRONMENT is made if it is not there. TORCH is cpu, cuda or auto: CUDA where there is an NVIDIA
GPU. PyPI's PyTorch for Linux brings 4 GB of CUDA libraries; its CPU builds are in PyTorch's own
INDEX. If that cannot be reached, PyPI's build is installed instead. NAME is a lock in this folder.
Needs nothing but the standard library. If it is cut short, the next run goes on from there.
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
BLOCK = re.compile(r"^\w.*==(?:.*\\\n)*.*\n", re.M)  # a line that pins a package, and its hashes
CUDA_ONLY = re.compile(r"(torch|torchvision|triton|cuda-.*|nvidia-(?!ml-py).*)==")
BATCH = 40  # packages; pip installs nothing of a batch before all of it is downloaded


def main(environment: Path, torch: str, index: str, *names: str) -> None:
    """Make the environment and install the locks of these names."""
    if not (environment / "bin/pip").exists():
        venv.create(environment, with_pip=True)
    forget_half_installed(environment)
    locks = [BLOCK.findall((LOCKS / f"{name}.txt").read_text()) for name in names]
    blocks = list(dict.fromkeys(block for lock in locks for block in lock))
    if wants_cpu_builds(torch) and install_cpu_builds(environment, index):
        blocks = [block for block in blocks if not CUDA_ONLY.match(block)]
    for first in range(0, len(blocks), BATCH):
        batch = blocks[first : first + BATCH]
        if fault := pip_install(environment, batch, "--require-hashes"):
            sys.exit(f"{fault}; mend that and run the command again: it goes on from here")


def forget_half_installed(environment: Path) -> None:
    """Remove what makes pip take a package for installed whose installation was killed."""
    for info in environment.glob("lib/*/site-packages/*.dist-info"):
        if not (info / "RECORD").exists():  # pip writes it last
            shutil.rmtree(info)


def wants_cpu_builds(torch: str) -> bool:
    """Decide by TORCH; PyPI's builds for other systems than Linux need no CUDA anyway."""
    if torch not in ("auto", "cpu", "cuda"):
        sys.exit(f"TORCH is {torch}, expected auto, cpu or cuda")
    has_gpu = Path("/dev/nvidiactl").exists() or shutil.which("nvidia-smi") is not None
    return platform.system() == "Linux" and (torch == "cpu" or (torch == "auto" and not has_gpu))


def install_cpu_builds(environment: Path, index: str) -> bool:
    """Install PyTorch's CPU builds; False, with a line that says why, if they cannot be had."""
    quick = ("--retries", "0", "--timeout", "8", "--index-url", index)
    for line in (LOCKS / "torch-cpu.txt").read_text().splitlines():
        # One by one: pip wants a hash for all requirements or for none.
        if not line.startswith("#") and (fault := pip_install(environment, [line], *quick)):
            print(
                f"PyTorch's CPU builds cannot be had from {index} ({fault}); installing PyPI's "
                "build, which is 4 GB larger and computes the same"
            )
            return False
    return True


def pip_install(environment: Path, requirements: list[str], *options: str) -> str | None:
    """Install requirements without what they ask for; return what went wrong in one line, or None.

    Locks hold everything that is needed.
    """
    with tempfile.NamedTemporaryFile("w", suffix=".txt") as file:
        file.writelines(requirements)
        file.flush()
        done = subprocess.run(
            [
                *(environment / "bin/python", "-m", "pip", "install", "--quiet", "--no-deps"),
                *("--disable-pip-version-check", "--no-input", *options, "-r", file.name),
            ],
            stderr=subprocess.PIPE,
            text=True,
        )
    return explain(done.stderr) if done.returncode else None


def explain(stderr: str) -> str:
    """Turn what pip says into one line: what is missing, and why if pip noticed."""
    lines = [line.strip() for line in stderr.splitlines() if line.strip()]
    errors = [line.removeprefix("ERROR: ") for line in lines if line.startswith("ERROR: ")]
    last = (errors or lines or ["pip failed without a word"])[-1]
    if "DO NOT MATCH THE HASHES" in last:
        file = next((line for line in lines if " from " in line and "==" in line), "a package")
        return (
            f"{file.split(' (from -r')[0]} is not the file that the lock names: the download was "
            "cut off, or a proxy answered in its place"
        )
    if last.startswith("No matching distribution found for "):
        noticed = [line.removeprefix("WARNING: ") for line in lines if line.startswith("WARNING: ")]
        why = noticed or ["see `pip config list`, and whether a proxy answers with its login page"]
        package = last.removeprefix("No matching distribution found for ")
        return f"no package index that pip asks has {package}: {' '.join(dict.fromkeys(why))}"
    return last


if __name__ == "__main__":
    environment, torch, index, *names = sys.argv[1:]
    try:
        main(Path(environment), torch, index, *names)
    except (OSError, subprocess.CalledProcessError) as error:
        fault = explain(error.output.decode()) if hasattr(error, "output") else error
        sys.exit(f"cannot make {environment}: {fault}; mend that and run the command again")
    except KeyboardInterrupt:
        sys.exit(130)
