"""What flows keep in PRICING_HOME only to go on from, and for how long: features, unfinished fits, candidates."""

import shutil
import time
from contextlib import suppress
from pathlib import Path

KEPT = ("features", "fits", "candidates")  # folders of one subfolder for each inputs, made again from the tables
KEPT_DAYS = 7  # longer than a run may compute, and than a weekend in which a failed one waits to be started again


def drop_unused(home: Path) -> None:
    """Remove what nothing was written to, and nobody has marked as used, in the last days.

    Who comes back later than that waits longer, and loses nothing.
    """
    oldest = time.time() - KEPT_DAYS * 24 * 3600
    for kept in (subfolder for name in KEPT for subfolder in (home / name).glob("*")):
        with suppress(FileNotFoundError):  # another run removes it as well
            if kept.stat().st_mtime < oldest:
                shutil.rmtree(kept)
