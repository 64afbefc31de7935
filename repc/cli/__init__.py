"""The command line: the only place that prints, reads arguments, or exits.

One file per command, which is imported when it runs: `configure` declares its arguments, `run` does the work and gives
the exit code.  Results go to stdout, everything else to stderr.  Codes: 0 done, 1 the answer is no, 2 the input is
wrong, 3 an internal error, which leaves a file that reproduces it.

The code is in `frame`, since a module called `list` hides the function of that name in here.
"""

from repc.cli.frame import VERBS, main

__all__ = ["VERBS", "main"]
