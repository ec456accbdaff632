"""The progress bar of loops that take more than a few seconds."""

import sys
from collections.abc import Iterable, Sequence
from typing import TypeVar

from rich.progress import track

Item = TypeVar("Item")


def progress(items: Sequence[Item], description: str) -> Iterable[Item]:
    """Iterates with a bar and the time left; silent where nobody watches (a file, a CI log)."""
    return track(items, description, transient=True, disable=not sys.stdout.isatty())
