"""Check that the installed packages are those of `toolchain` in params.yaml.

A stage depends on the list of packages that `toolchain` names. If it ran on others, dvc.lock would
be wrong, and DVC's run cache would hand out the result.
"""

from importlib.metadata import version

from stages.common.run import UserError

LAST_WITH_DEV = "2024."  # releases of openvino that openvino-dev belongs to


def check_toolchain(toolchain: str) -> None:
    """Raise UserError if `toolchain`, openvino or openvino-dev, is not what is installed."""
    installed = version("openvino")
    if installed.startswith(LAST_WITH_DEV) != (toolchain == "openvino-dev"):
        raise UserError(
            f"params.yaml says toolchain: {toolchain}, but this is openvino {installed}; "
            f"run make repro TOOLCHAIN={toolchain}"
        )
