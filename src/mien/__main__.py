"""`python -m mien` is `mien`."""

from mien.cli import entry

entry()
