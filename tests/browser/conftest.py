"""The whole platform, started as a person starts it, and a browser window in front of it."""

import os
import re
import shutil
import signal
import subprocess
import sys
import tempfile
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from importlib.util import find_spec
from pathlib import Path
from typing import TYPE_CHECKING

import pytest

from tasks.servers.ports import free_port
from tasks.servers.processes import end, with_descendants
from tests.waiting import until

if TYPE_CHECKING:
    from tests.browser.prefect_page import PrefectPage

collect_ignore_glob = [] if find_spec("playwright") else ["test_*.py"]  # the extra `browser`

CHROMIUM = shutil.which("chromium") or "/usr/bin/chromium"
ARGUMENTS = [
    "--no-sandbox", "--disable-gpu", "--disable-quic", "--no-first-run", "--disable-background-networking",
    "--disable-component-update", "--disable-sync",
]  # fmt: skip
RESULTS = Path(__file__).parents[2] / "results" / "browser"
STARTS, STOPS = 240, 60  # s


@dataclass(frozen=True)
class Platform:
    """A running `pricing up`: its home, its two pages, and the environment of commands on it."""

    home: Path
    prefect: str
    mlflow: str
    environment: dict[str, str]

    def pricing(self, *arguments: str) -> str:
        """Run the command; returns what it printed."""
        command = [sys.executable, "-m", "flows.command", *arguments]
        done = subprocess.run(command, env=self.environment, capture_output=True, text=True, timeout=120, check=False)
        assert done.returncode == 0, done.stdout + done.stderr
        return done.stdout


@pytest.fixture(scope="module")
def platform() -> Iterator[Platform]:
    with tempfile.TemporaryDirectory(prefix="pricing-") as folder:
        Path(folder).chmod(0o755)  # Postgres runs as another user where this is root
        home, ports = Path(folder) / "home", [free_port(None) for _ in range(3)]
        environment = os.environ | {
            "PRICING_HOME": str(home), "PRICING_PREFECT_PORT": str(ports[0]), "PRICING_MLFLOW_PORT": str(ports[1]),
            "PRICING_DATA_DOCS_PORT": str(ports[2]),
            "PYTHONPATH": str(Path.cwd()), "OMP_NUM_THREADS": "1", "COLUMNS": "160",
        }  # fmt: skip
        said = Path(folder) / "said"
        with said.open("w") as file:
            up = subprocess.Popen([sys.executable, "-m", "flows.command", "up"], env=environment, stderr=file)
        try:
            until(lambda: "is up" in said.read_text() or up.poll() is not None, STARTS)
            assert up.poll() is None, said.read_text()
            yield Platform(home, *(f"http://127.0.0.1:{port}" for port in ports[:2]), environment)
            up.send_signal(signal.SIGINT)
            assert up.wait(STOPS) == 0
        finally:
            end(with_descendants([up.pid]), patience=20)


@pytest.fixture(scope="module")
def shop(platform: Platform, shop_folder: Path) -> Path:
    """The shop's tables in a folder whose name may stand on a page."""
    return Path(shutil.copytree(shop_folder, platform.home.parent / "shop"))


@pytest.fixture(scope="module")
def prefect(platform: Platform, tmp_path_factory: pytest.TempPathFactory) -> Iterator["PrefectPage"]:
    from playwright.sync_api import sync_playwright

    from tests.browser.prefect_page import PrefectPage

    with sync_playwright() as playwright:
        window = playwright.chromium.launch_persistent_context(
            tmp_path_factory.mktemp("chromium"),
            executable_path=CHROMIUM,
            headless=True,
            args=ARGUMENTS,
            viewport={"width": 1280, "height": 800},
        )
        yield PrefectPage(window.pages[0], platform.prefect)
        window.close()


@pytest.fixture(scope="module")
def picture(prefect: "PrefectPage") -> Callable[[str], None]:
    """Keep what the window shows now, under a name, where a person looks at it afterwards."""
    from tests.browser import screenshots

    return lambda name: screenshots.take(prefect.page, RESULTS / f"{name}.png")


@pytest.fixture
def shown(prefect: "PrefectPage") -> Callable[..., None]:
    """Wait until the page shows all of these words, and no entity as its source."""

    from playwright.sync_api import expect

    def wait(*words: str) -> None:
        for word in words:
            found = prefect.page.get_by_text(re.compile(re.escape(word))).first
            expect(found).to_be_visible(timeout=30_000)
        expect(prefect.page.locator("body")).not_to_contain_text(re.compile(r"&[a-z]+;"))

    return wait
