"""`python -m detector` is the command `detect`."""

from detector.cli import main

main()
