"""Share the trainings of another machine, until this is ended.

    python -m tasks.training.join RANK

runs on each machine but the first, with a RANK from 1 and with the first's PRICING_HOME, PRICING_TRAINING_MACHINES and
PRICING_TRAINING_ADDRESS.
"""

import logging
import signal
import sys
import time

from models.demand.training import TrainingError
from tasks.training.fit_processes import launch
from tasks.training.machines import Machines

log = logging.getLogger("pricing.training")

WAIT_SECONDS = 1.0  # from one look for an invitation to the next


def join(machines: Machines, rank: int) -> None:
    """Take part in one training after the other; one that fails is the first machine's to tell of and to repeat."""
    taken = None
    while True:
        if (invitation := machines.invitation(taken)) is not None:
            taken = invitation
            log.info("joining the training in %s", invitation.folder)
            try:
                launch(machines, rank, invitation.processes, machines.home / invitation.folder, _say_nothing)
            except TrainingError as error:
                log.warning("%s", error)
        time.sleep(WAIT_SECONDS)


def _say_nothing(*epoch: float) -> None:
    """The epochs are the first machine's to tell."""


if __name__ == "__main__":
    logging.basicConfig(level=logging.INFO)
    signal.signal(signal.SIGTERM, lambda *_: sys.exit())  # which ends the processes of a training as well
    join(Machines.here(), int(sys.argv[1]))
