"""Postgres refuses to run as root: the account that runs it instead, and places that account can reach."""

import os
import pwd
import shutil
import subprocess
import uuid
from dataclasses import dataclass
from pathlib import Path

from models.errors import PricingError

ACCOUNT = "pricing-postgres"
OPEN_FOLDER = Path("/var/lib/pricing")


class AccountError(PricingError):
    """The embedded Postgres cannot be run as an account other than root."""


@dataclass(frozen=True)
class Account:
    """Who runs the server's programs: `identity` is None for the caller, who is not root then."""

    identity: pwd.struct_passwd | None

    def run(self, command: list[str], environment: dict[str, str], output: int) -> bool:
        """Run to the end as this account, writing to the open file `output`; whether it succeeded."""
        who = self.identity
        finished = subprocess.run(
            command,
            cwd="/",
            env=environment,
            stdin=subprocess.DEVNULL,
            stdout=output,
            stderr=output,
            check=False,
            user=who and who.pw_uid,
            group=who and who.pw_gid,
            extra_groups=None if who is None else [],
        )
        return finished.returncode == 0

    def can_enter(self, folder: Path) -> bool:
        """Whether every folder on the way is open to this account; asked by trying, so that ACLs count."""
        if self.identity is None:
            return True
        trial = ["/bin/sh", "-c", 'cd "$1"', "sh", str(folder)]
        return self.run(trial, {}, subprocess.DEVNULL)

    def own(self, folder: Path) -> None:
        """Hand a folder to this account."""
        if self.identity is not None:
            os.chown(folder, self.identity.pw_uid, self.identity.pw_gid)


def server_account(data: Path) -> Account:
    """The owner of the data folder, else an account made for it; the caller itself where that is not root."""
    if os.geteuid() != 0:
        return Account(None)
    if data.exists() and (owner := data.stat().st_uid) != 0:
        return Account(_named(owner))
    try:
        return Account(pwd.getpwnam(ACCOUNT))
    except KeyError:
        return Account(_created())


def _named(uid: int) -> pwd.struct_passwd:
    try:
        return pwd.getpwuid(uid)
    except KeyError:
        raise AccountError(
            f"the database belongs to user number {uid}, who has no name here: add that user, or run as it"
        ) from None


def _created() -> pwd.struct_passwd:
    command = ["useradd", "--system", "--user-group", "--no-create-home", "--home-dir", "/nonexistent"]
    way_out = "run as an ordinary user, or set PRICING_DATABASE_URL to a Postgres of your own"
    try:
        result = subprocess.run([*command, ACCOUNT], capture_output=True, text=True, check=False)
        return pwd.getpwnam(ACCOUNT)  # where useradd lost a race against itself, the account is there as well
    except FileNotFoundError:
        raise AccountError(f"Postgres refuses to run as root, and there is no useradd here: {way_out}") from None
    except KeyError:
        raise AccountError(f"cannot make the account {ACCOUNT}: {result.stderr.strip()}; {way_out}") from None


def place_for(data: Path, account: Account) -> Path:
    """Make an empty folder for the account at `data`, or in /var/lib/pricing where the way is closed to it.

    A home under /root is closed to everyone else. The folder then has a name of its own in /var/lib/pricing,
    and `data` is a link to it, so that the home can still be moved. Returns the folder.
    """
    folder = data
    if not account.can_enter(data.parent):
        folder = _open_folder() / uuid.uuid4().hex
        data.symlink_to(folder)
    folder.mkdir(mode=0o700)
    account.own(folder)
    return folder


def reachable_copy(package: Path, version: str, account: Account) -> Path:
    """The wheel's package folder, or its copy in /var/lib/pricing where the account cannot reach it."""
    if account.can_enter(package):
        return package
    copy = _open_folder() / f"{package.name}-{version}"
    if not copy.exists():
        partial = copy.with_name(f"{copy.name}.{uuid.uuid4().hex}")
        for part in (package, package.with_name(f"{package.name}.libs")):
            if part.exists():
                shutil.copytree(part, partial / part.name)
        subprocess.run(["chmod", "-R", "a+rX", str(partial)], check=True)  # noqa: S607 - as PATH has it
        _publish(partial, copy)
    return copy / package.name


def _publish(partial: Path, final: Path) -> None:
    """Give a finished folder its name; another process may have done the same work first."""
    try:
        partial.rename(final)
    except OSError:
        shutil.rmtree(partial)
        if not final.exists():
            raise


def _open_folder() -> Path:
    OPEN_FOLDER.mkdir(parents=True, exist_ok=True)
    OPEN_FOLDER.chmod(0o755)
    return OPEN_FOLDER
