"""Ports of this machine, for the servers that listen on 127.0.0.1."""

import socket


def is_free(port: int) -> bool:
    """Whether a server could listen on the port now."""
    return _bound(port) is not None


def free_port(wish: int | None) -> int:
    """The wished port while no other program has it, else any free one; OSError where there is none."""
    port = None if wish is None else _bound(wish)
    if port is None:
        port = _bound(0)
    if port is None:
        raise OSError("there is no free port on 127.0.0.1")
    return port


def _bound(port: int) -> int | None:
    """The port that the system gives to this wish (0 for any), or None."""
    with socket.socket() as probe:
        # As servers do: a connection that ended a minute ago does not keep the port.
        probe.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
        try:
            probe.bind(("127.0.0.1", port))
        except OSError:
            return None
        return int(probe.getsockname()[1])
