"""The installation picks PyTorch's builds, on indexes of stand-in wheels on loopback."""

import base64
import hashlib
import re
import shutil
import subprocess
import sys
import threading
import venv
import zipfile
from functools import partial
from http.server import SimpleHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path

import pytest
from conftest import ROOT

CPU, PYPI = "whl/cpu", "simple"
WHEELS = {
    CPU: [("torch", "2.14.1+cpu"), ("torchvision", "0.29.2+cpu")],
    PYPI: [("torch", "2.14.1"), ("torchvision", "0.29.2"), ("nvidia-cublas", "13.1"),
           ("nvidia-ml-py", "13.6"), ("numpy", "2.0")],
}  # fmt: skip
CPU_BUILDS = {"torch 2.14.1+cpu", "torchvision 0.29.2+cpu", "nvidia-ml-py 13.6", "numpy 2.0"}
CUDA_BUILDS = {f"{name} {version}" for name, version in WHEELS[PYPI]}


def write_wheel(folder: Path, name: str, version: str) -> str:
    """Write a package of one empty module; return its requirement with its hash."""
    stem = f"{name.replace('-', '_')}-{version}"
    files = {
        f"{name.replace('-', '_')}.py": "",
        f"{stem}.dist-info/METADATA": f"Metadata-Version: 2.1\nName: {name}\nVersion: {version}\n",
        f"{stem}.dist-info/WHEEL": "Wheel-Version: 1.0\nGenerator: test\nRoot-Is-Purelib: true\n"
        "Tag: py3-none-any\n",
    }
    record = "".join(
        f"{file},sha256={base64.urlsafe_b64encode(digest).rstrip(b'=').decode()},{len(text)}\n"
        for file, text in files.items()
        for digest in [hashlib.sha256(text.encode()).digest()]
    )
    files[f"{stem}.dist-info/RECORD"] = record + f"{stem}.dist-info/RECORD,,\n"
    wheel = folder / name / f"{stem}-py3-none-any.whl"
    wheel.parent.mkdir(parents=True)
    with zipfile.ZipFile(wheel, "w") as archive:
        for file, text in files.items():
            archive.writestr(file, text)
    digest = hashlib.sha256(wheel.read_bytes()).hexdigest()
    return f"{name}=={version} \\\n    --hash=sha256:{digest}\n"


class Index(SimpleHTTPRequestHandler):
    """Files of a folder; below /login a proxy's page instead, below /cut the first bytes."""

    def log_message(self, *words: object) -> None:
        """Say nothing: pip's own output is what is tested."""

    def do_GET(self) -> None:
        fault, self.path = self.path.split("/")[1], re.sub("^/(login|cut)/", "/", self.path)
        if fault == "login" or (fault == "cut" and self.path.endswith(".whl")):
            self.send_response(200)
            self.send_header("Content-Type", "text/html")
            self.end_headers()
            self.wfile.write(b"<html><form>Sign in</form></html>")
        else:
            super().do_GET()


@pytest.fixture(scope="module")
def base(tmp_path_factory) -> tuple[Path, str]:
    """A folder with install.py, its locks and an empty environment; and the address of indexes."""
    folder = tmp_path_factory.mktemp("install")
    (folder / "requirements").mkdir()
    shutil.copy(ROOT / "requirements/install.py", folder / "requirements")
    locks = {index: [write_wheel(folder / index, *w) for w in WHEELS[index]] for index in WHEELS}
    (folder / "requirements/openvino.txt").write_text("".join(locks[PYPI]))
    cpu = [lock.replace(" \\\n   ", "") for lock in locks[CPU]]
    # As in the real list: one wheel's hash is known, the other's is not.
    (folder / "requirements/torch-cpu.txt").write_text("# why\n" + cpu[0] + cpu[1].split()[0])
    venv.create(folder / "environment", with_pip=True)
    server = ThreadingHTTPServer(("127.0.0.1", 0), partial(Index, directory=str(folder)))
    threading.Thread(target=server.serve_forever, daemon=True).start()
    yield folder, f"http://127.0.0.1:{server.server_port}"
    server.shutdown()


def run(
    folder: Path, torch: str, index: str, packages: str, **settings: str
) -> subprocess.CompletedProcess:
    command = [sys.executable, folder / "requirements/install.py", folder / "environment"]
    return subprocess.run(
        [*command, torch, index, "openvino"], capture_output=True, text=True,
        env={"PATH": "/usr/bin:/bin", "HOME": str(folder), "PIP_INDEX_URL": packages,
             "PIP_NO_CACHE_DIR": "1", "PIP_RETRIES": "0", **settings},
    )  # fmt: skip


NOWHERE = "http://127.0.0.1:9"
CASES = {
    # name: (TORCH, index of the CPU builds, what is installed, what is said)
    "cpu": ("cpu", None, CPU_BUILDS, ""),
    "no GPU here": ("auto", None, CPU_BUILDS, ""),
    "cuda": ("cuda", None, CUDA_BUILDS, ""),
    "the index cannot be reached": ("cpu", NOWHERE, CUDA_BUILDS, f"cannot be had from {NOWHERE}"),
    "the index has other wheels": ("cpu", PYPI, CUDA_BUILDS, "cannot be had"),
}


@pytest.mark.slow
@pytest.mark.skipif(shutil.which("nvidia-smi") is not None, reason="there is a GPU here")
@pytest.mark.parametrize("case", CASES)
def test_pytorch_is_installed_for_the_machine(base, tmp_path, case):
    torch, index, expected, said = CASES[case]
    folder, address = tmp_path / "project", base[1]
    shutil.copytree(base[0], folder, symlinks=True)
    index = index or f"{address}/{CPU}/"
    done = run(
        folder, torch, f"{address}/{index}/" if index == PYPI else index, f"{address}/{PYPI}/"
    )
    assert (done.returncode, done.stderr) == (0, "")
    assert said in done.stdout and done.stdout.count("\n") == bool(said)
    assert installed(folder) == expected


def installed(folder: Path) -> set[str]:
    """Return names and versions of what the environment holds."""
    metadata = folder.glob("environment/lib/*/site-packages/*.dist-info/METADATA")
    fields = [
        dict(line.split(": ", 1) for line in m.read_text().splitlines()[:3]) for m in metadata
    ]
    found = {f"{field['Name']} {field['Version']}" for field in fields}
    return {one for one in found if not one.startswith(("pip ", "setuptools "))}


@pytest.mark.slow
def test_an_installation_that_was_cut_short_goes_on_where_it_stopped(base, tmp_path):
    """Nothing that is installed is asked for again; a package killed half-way is installed anew."""
    folder = tmp_path / "project"
    shutil.copytree(base[0], folder, symlinks=True)
    install = folder / "requirements/install.py"
    install.write_text(re.sub("BATCH = [0-9]+", "BATCH = 1", install.read_text()))
    index = folder / PYPI
    (index / "nvidia-cublas").rename(folder / "later")
    done = run(folder, "cuda", NOWHERE, NOWHERE, PIP_FIND_LINKS=wheels_of(index))
    assert (done.returncode, done.stderr.count("\n")) == (1, 1)
    assert "nvidia-cublas==13.1: " in done.stderr and "it goes on from here" in done.stderr
    assert installed(folder) == {"torch 2.14.1", "torchvision 0.29.2"}
    (site,) = folder.glob("environment/lib/*/site-packages")
    (site / "torch.py").unlink()
    (site / "torch-2.14.1.dist-info/RECORD").unlink()
    shutil.rmtree(index / "torchvision")
    (folder / "later").rename(index / "nvidia-cublas")
    done = run(folder, "cuda", NOWHERE, NOWHERE, PIP_FIND_LINKS=wheels_of(index))
    assert (done.returncode, done.stderr) == (0, "")
    assert installed(folder) == CUDA_BUILDS and (site / "torch.py").exists()


def wheels_of(index: Path) -> str:
    return " ".join(str(folder) for folder in index.iterdir())


@pytest.mark.slow
@pytest.mark.parametrize(
    ("torch", "packages", "settings", "said"),
    [
        ("gpu", NOWHERE, {}, "TORCH is gpu, expected auto, cpu or cuda"),
        ("cuda", NOWHERE, {}, "no package index that pip asks has torch==2.14.1"),
        ("cuda", "/login/simple/", {}, "whether a proxy answers with its login page"),
        ("cuda", "/cut/simple/", {}, "is not the file that the lock names: the download was cut"),
        ("cuda", "simple", {}, 'The index url "simple" seems invalid'),
        ("cuda", NOWHERE, {"PIP_FIND_LINKS": "wheels/here"}, "Location 'wheels/here' is ignored"),
    ],
)
def test_what_is_missing_is_said_in_one_line(base, torch, packages, settings, said):
    packages = base[1] + packages if packages.startswith("/") else packages
    done = run(base[0], torch, NOWHERE, packages, **settings)
    assert done.returncode == 1
    assert said in done.stderr and done.stderr.count("\n") == 1
