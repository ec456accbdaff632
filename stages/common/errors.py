"""The one exception for input that a stage refuses."""


class Refusal(Exception):
    """Input that cannot be used: the message is one line that says what was given,
    what was expected and what to do. `run_stage` prints it and exits with status 1."""
