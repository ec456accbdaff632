"""How a stage becomes a command: `python -m stages.NAME IN... OUT`.

A stage's `main` is a typed function; its positional arguments are the command's. Input that
cannot be used ends in one line on stderr and a non-zero exit, never in a traceback.
"""

import argparse
import inspect
import signal
import sys
from collections.abc import Callable
from pathlib import Path

from detector.errors import ModelError
from stages.common.errors import Refusal


def run_stage(main: Callable[..., None]) -> None:
    """Parses `sys.argv` by the signature of `main`, calls it and turns refusals into exits.

    Exit status: 0 done, 1 refused (one line on stderr), 2 wrong usage, 130 interrupted.

    Args:
        main: its parameters are annotated `Path`, `str` or `Path | None` (may be left out);
            its docstring is the help text.
    """
    stage = Path(sys.argv[0]).stem
    arguments = vars(parser_of(main, prog=f"python -m stages.{stage}").parse_args())
    # A terminated stage unwinds like an interrupted one, so that no temporary file stays.
    signal.signal(signal.SIGTERM, lambda *_: sys.exit(143))
    try:
        main(**arguments)
    except (Refusal, ModelError) as error:
        sys.exit(f"{stage}: " + " ".join(str(error).split()))
    except KeyboardInterrupt:
        sys.exit(130)


def parser_of(main: Callable[..., None], prog: str) -> argparse.ArgumentParser:
    """A parser with one positional argument per parameter of `main`."""
    parser = argparse.ArgumentParser(prog=prog, description=inspect.getdoc(main))
    for name, parameter in inspect.signature(main).parameters.items():
        parser.add_argument(
            name,
            type=str if parameter.annotation is str else Path,
            nargs="?" if parameter.annotation == Path | None else None,
        )
    return parser
