"""``python -m twistream_kit``: the command line."""

import sys

from twistream_kit.cli import main

if __name__ == "__main__":
    sys.exit(main())
