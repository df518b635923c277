"""What machines tell each other of a training; a socket stands for the first one's launcher."""

import json
import socket
from collections.abc import Iterator
from pathlib import Path

import pytest

from models.demand.training import TrainingError
from tasks.training import join as joining
from tasks.training.join import join
from tasks.training.machines import Machines


@pytest.fixture
def listener() -> Iterator[socket.socket]:
    with socket.create_server(("127.0.0.1", 0)) as server:
        yield server


@pytest.fixture
def two(tmp_path: Path, listener: socket.socket) -> Machines:
    return Machines(tmp_path, 2, f"127.0.0.1:{listener.getsockname()[1]}")


def test_the_others_learn_of_a_training_once_and_while_it_lasts(two: Machines) -> None:
    with two.inviting(two.home / "fits" / "abc", 4):
        invitation = two.invitation(taken=None)
        assert invitation is not None
        assert (invitation.folder, invitation.processes) == ("fits/abc", 4)
        assert two.invitation(taken=invitation) is None
    assert two.invitation(taken=None) is None
    with two.inviting(two.home / "fits" / "abc", 4):  # the same again, after it was stopped
        assert two.invitation(taken=invitation) is not None


def test_an_invitation_of_a_machine_that_does_not_listen_is_left_alone(two: Machines, listener: socket.socket) -> None:
    with two.inviting(two.home / "fits" / "abc", 4):
        listener.close()
        assert two.invitation(taken=None) is None


def test_one_machine_invites_nobody(tmp_path: Path) -> None:
    alone = Machines(tmp_path / "home", 1, "127.0.0.1:29500")
    with alone.inviting(Path("/elsewhere"), 2):
        assert not alone.home.exists()
    assert "--main_process_port=0" in alone.launcher_options(2, 0)


def test_the_launcher_is_told_which_machine_it_is_on_and_where_the_first_is(tmp_path: Path) -> None:
    options = Machines(tmp_path, 3, "trainer:29500").launcher_options(6, 2)
    wanted = {"--num_processes=6", "--num_machines=3", "--machine_rank=2", "--main_process_ip=trainer"}
    assert wanted | {"--main_process_port=29500"} <= set(options)


def test_who_joins_goes_on_after_a_training_that_failed(two: Machines, monkeypatch: pytest.MonkeyPatch) -> None:
    class Ended(BaseException):
        """Ends the endless."""

    launched: list[tuple[int, int, Path]] = []

    def launch(machines: Machines, rank: int, processes: int, folder: Path, progress: object) -> None:
        launched.append((rank, processes, folder))
        if len(launched) == 2:
            raise Ended
        file = machines.home / "training.json"
        file.write_text(json.dumps(json.loads(file.read_text()) | {"number": "the next"}))
        raise TrainingError("the first machine went away")

    monkeypatch.setattr(joining, "launch", launch)
    monkeypatch.setattr(joining, "WAIT_SECONDS", 0.0)
    with two.inviting(two.home / "fits" / "abc", 4), pytest.raises(Ended):
        join(two, 1)
    assert launched == [(1, 4, two.home / "fits" / "abc")] * 2
