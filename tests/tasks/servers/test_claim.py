import json
import os
import subprocess
import sys
from pathlib import Path

import pytest

from tasks.servers.claim import FILE, LOGS, ClaimedError, claim, holder
from tasks.servers.processes import MARK, living


def test_a_home_has_one_holder_who_is_known_to_others(tmp_path: Path) -> None:
    home = tmp_path / "home"
    assert holder(home) is None
    with claim(home) as held:
        held.announce("http://127.0.0.1:1/api")
        found = holder(home)
        assert found is not None
        assert (found.pid, found.prefect_api_url) == (os.getpid(), "http://127.0.0.1:1/api")
        with (
            pytest.raises(ClaimedError, match=f"already runs on {home} .process {os.getpid()}."),
            claim(home),
        ):
            pass
    assert holder(home) is None
    with claim(home):
        assert holder(home) is not None


def test_what_a_killed_holder_left_running_is_ended(tmp_path: Path) -> None:
    script = (
        "import os, signal, sys; from pathlib import Path; from tasks.servers.claim import claim\n"
        "from tasks.servers.supervision import Program\n"
        "home = Path(sys.argv[1])\n"
        "with claim(home):\n"
        "    arguments = ['timeit', '-n', '1', 'import time; time.sleep(60)']\n"
        "    child = Program('idle', arguments, dict(os.environ), home / 'logs' / 'idle.log').start()\n"
        "    print(child.pid, flush=True); os.kill(os.getpid(), signal.SIGKILL)\n"
    )
    command = [sys.executable, "-c", script, str(tmp_path)]
    left = int(subprocess.run(command, stdout=subprocess.PIPE, text=True, check=False).stdout)
    assert living(left) is not None
    assert holder(tmp_path) is None, "the kill freed the claim"
    with claim(tmp_path):
        assert living(left) is None


def test_what_another_home_runs_is_left_alone_and_an_older_claim_is_read(tmp_path: Path) -> None:
    bystander = subprocess.Popen(["sleep", "60"], env=os.environ | {MARK: str(tmp_path / "other" / LOGS / "idle.log")})
    try:
        (tmp_path / FILE).write_text(json.dumps({"pid": 1, "prefect_api_url": None, "children": {}}))
        with claim(tmp_path):
            assert bystander.poll() is None
    finally:
        bystander.kill()
        bystander.wait()
