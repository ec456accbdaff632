"""Run a stage as a command: `python -m stages.NAME IN... OUT [--OPTION VALUE]`.

A stage's `main` is a typed function; its positional arguments are the command's, its keyword-only
ones the command's options. Input that cannot be used ends in one line on stderr and a non-zero
exit, never in a traceback.
"""

import argparse
import inspect
import os
import signal
import sys
import threading
import time
from collections.abc import Callable, Iterable
from pathlib import Path
from typing import TypeVar

from rich.progress import track

from stages import PARENT

Item = TypeVar("Item")


class UserError(Exception):
    """Input that cannot be used; the message says what was given, what was expected and what to
    do."""


def run_stage(main: Callable[..., None], *errors: type[Exception]) -> None:
    """Parse `sys.argv` by the signature of `main`, call it and turn errors of the user into exits.

    Exit status: 0 done, 1 refused or failed on a file (one line on stderr), 2 wrong usage, 130
    interrupted.

    Args:
        main: its parameters are annotated `Path`, `str` or `Path | None` (may be left out);
            its docstring is the help text.
        errors: what else is the user's error, for stages that load models.
    """
    stage = main.__globals__["__spec__"].name.removesuffix(".__main__").split(".")[-1]
    parser = parser_of(main, prog=f"python -m stages.{stage}")
    arguments = vars(parser.parse_intermixed_args())
    # A terminated stage unwinds like an interrupted one, so that no temporary file stays.
    signal.signal(signal.SIGTERM, lambda *_: sys.exit(143))
    if "DVC_STAGE" in os.environ:
        threading.Thread(target=end_with_parent, daemon=True).start()
    try:
        main(**arguments)
    except (UserError, *errors) as error:
        sys.exit(f"{stage}: " + " ".join(str(error).split()))
    except OSError as error:
        sys.exit(f"{stage}: " + " ".join(explain(error).split()))
    except KeyboardInterrupt:
        sys.exit(130)


def end_with_parent() -> None:
    """Terminate this process when its parent is gone.

    A stage whose DVC was killed would go on writing, beside the one that the next `dvc repro`
    starts.
    """
    while os.getppid() == PARENT:
        time.sleep(0.2)
    os.kill(os.getpid(), signal.SIGTERM)


def explain(error: OSError) -> str:
    """Say what happened to which file."""
    file = error.filename or "a file or stream"
    reason = error.strerror or str(error) or type(error).__name__
    return f"cannot read or write {file}: {reason}; check space and permissions and run it again"


def parser_of(main: Callable[..., None], prog: str) -> argparse.ArgumentParser:
    """Make a parser with a positional argument for each parameter of `main`, an option where it is
    keyword-only."""
    parser = argparse.ArgumentParser(prog=prog, description=inspect.getdoc(main))
    for name, parameter in inspect.signature(main).parameters.items():
        kind = str if parameter.annotation is str else Path
        if parameter.kind is parameter.KEYWORD_ONLY:
            option = f"--{name.replace('_', '-')}"
            parser.add_argument(option, type=kind, default=parameter.default)
        else:
            left_out = "?" if parameter.annotation == Path | None else None
            parser.add_argument(name, type=kind, nargs=left_out)
    return parser


def progress(items: Iterable[Item], description: str) -> Iterable[Item]:
    """Iterate with a bar and the time left; silent where nobody watches (a file, a CI log)."""
    return track(items, description, transient=True, disable=not sys.stdout.isatty())
