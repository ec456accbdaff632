"""`python -m detector` is the command `detect`."""

from detector.video.cli import main

main()
