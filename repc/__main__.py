"""``python -m repc``."""

import sys

from repc.cli import main

if __name__ == "__main__":
    sys.exit(main())
