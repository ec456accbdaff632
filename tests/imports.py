"""Which files of this repository a module imports, directly or not."""

import ast
from pathlib import Path

PACKAGES = ("stages", "detector")


def files_imported(module: Path, root: Path) -> set[Path]:
    """Files of this repository that running `module` loads, itself included.

    Args:
        module: a .py file, absolute.
        root: the repository.
    """
    seen: set[Path] = set()
    waiting = [module]
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
                    path = root.joinpath(*name.split("."))
                    waiting += [p for p in (path.with_suffix(".py"),) if p.is_file()]
    return seen
