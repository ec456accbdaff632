"""Find the parts of this repository that a stage imports, directly or not."""

import ast
from pathlib import Path

PACKAGES = ("stages", "detector")


def files_imported(start: list[Path], root: Path) -> set[Path]:
    """List the files of this repository that running these modules loads, themselves included.

    Args:
        start: .py files, absolute.
        root: the repository.
    """
    seen: set[Path] = set()
    waiting = list(start)
    while waiting:
        current = waiting.pop()
        if current in seen:
            continue
        seen.add(current)
        for node in ast.walk(ast.parse(current.read_text(encoding="utf-8"))):
            if isinstance(node, ast.Import):
                names = [alias.name for alias in node.names]
            elif isinstance(node, ast.ImportFrom):
                names = [node.module, *(f"{node.module}.{alias.name}" for alias in node.names)]
            else:
                continue
            for name in names:
                if name.split(".")[0] in PACKAGES:
                    path = root.joinpath(*name.split(".")).with_suffix(".py")
                    waiting += [path] if path.is_file() else []
    return seen


def stage_files(name: str, root: Path) -> list[Path]:
    """List the modules of a stage: one file, or all of a folder."""
    folder = root / "stages" / name
    return sorted(folder.glob("*.py")) if folder.is_dir() else [folder.with_suffix(".py")]


def parts_imported(name: str, root: Path) -> set[str]:
    """List what a stage depends on as dvc.yaml names it: its own file, and folders."""
    parts = set()
    for path in files_imported(stage_files(name, root), root):
        place = path.relative_to(root)
        parts.add(str(place if place.parent == Path("stages") else place.parent))
    return parts
