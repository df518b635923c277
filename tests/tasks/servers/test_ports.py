import socket

from tasks.servers.ports import free_port, is_free


def test_a_taken_port_is_not_free_and_not_given() -> None:
    with socket.create_server(("127.0.0.1", 0)) as server:
        taken = server.getsockname()[1]
        assert not is_free(taken)
        assert free_port(taken) != taken


def test_a_free_wish_is_granted() -> None:
    port = free_port(None)
    assert is_free(port)
    assert free_port(port) == port
