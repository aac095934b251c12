"""`python -m mien` is `mien`."""

import sys

from mien.cli import main

sys.exit(main())
