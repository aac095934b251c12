"""`mien teach`: shards in, a teacher's weights, logs and sheets out. Alone or under torchrun."""

from mien.train.teach_run import Teach as Command
from mien.train.teach_run import run

__all__ = ["Command", "run"]
