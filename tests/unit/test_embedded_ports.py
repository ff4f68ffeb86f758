"""Free ports: really free, on loopback, never the same one twice."""

from __future__ import annotations

import socket

from trueup.embedded.ports import LOOPBACK, free_port, is_free


def test_a_port_is_handed_out_once() -> None:
    ports = [free_port() for _ in range(200)]
    assert len(set(ports)) == len(ports)


def test_a_port_that_is_listened_on_is_not_free() -> None:
    port = free_port()
    assert is_free(port)
    with socket.create_server((LOOPBACK, port)):
        assert not is_free(port)
    assert is_free(port)
