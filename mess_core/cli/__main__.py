"""Run the command line with `python -m mess_core.cli`."""

from mess_core.cli import main

main()
