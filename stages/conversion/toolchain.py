"""Whether the packages that are installed are those that `toolchain` of params.yaml names.

dvc.lock records the list of packages that a stage depends on. It would be wrong, and DVC's run
cache would hand out the result, if the stage had run on others.
"""

from importlib.metadata import version

from stages.common.run import UserError

LAST_WITH_DEV = "2024."  # the releases of openvino that openvino-dev belongs to


def refuse_other_toolchain(toolchain: str) -> None:
    """
    Args:
        toolchain: openvino or openvino-dev.

    Raises:
        UserError: the other one is installed.
    """
    installed = version("openvino")
    if installed.startswith(LAST_WITH_DEV) != (toolchain == "openvino-dev"):
        raise UserError(
            f"params.yaml says toolchain: {toolchain}, but this is openvino {installed}; "
            f"run make repro TOOLCHAIN={toolchain}"
        )
