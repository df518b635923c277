import json
import os
import subprocess
import sys
from pathlib import Path

import pytest

from tasks.servers.claim import FILE, ClaimedError, claim, holder
from tasks.servers.processes import living


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
        "import os, signal, subprocess, sys; from pathlib import Path; from tasks.servers.claim import claim\n"
        "with claim(Path(sys.argv[1])) as held:\n"
        "    child = subprocess.Popen(['sleep', '60'], stdout=subprocess.DEVNULL, start_new_session=True)\n"
        "    held.adopt(child.pid); print(child.pid, flush=True); os.kill(os.getpid(), signal.SIGKILL)\n"
    )
    command = [sys.executable, "-c", script, str(tmp_path)]
    left = int(subprocess.run(command, stdout=subprocess.PIPE, text=True, check=False).stdout)
    assert living(left) is not None
    assert holder(tmp_path) is None, "the kill freed the claim"
    with claim(tmp_path):
        assert living(left) is None


def test_a_later_process_of_the_same_number_is_left_alone(tmp_path: Path) -> None:
    bystander = subprocess.Popen(["sleep", "60"])
    try:
        (tmp_path / FILE).write_text(json.dumps({"pid": 1, "children": {str(bystander.pid): 1}}))
        with claim(tmp_path):
            assert bystander.poll() is None
    finally:
        bystander.kill()
        bystander.wait()
