"""Free TCP ports on 127.0.0.1, none handed out twice within a process."""

from __future__ import annotations

import random
import socket
import threading

from trueup.model.errors import UnavailableError

LOOPBACK = "127.0.0.1"

# Below the ranges that Linux (32768 up) and macOS (49152 up) use for outgoing connections, so that a port
# found free here is not taken by somebody's client socket before the service has bound it.
PORT_MIN = 20_000
PORT_MAX = 32_767
ATTEMPTS_MAX = 500

_handed_out: set[int] = set()
_lock = threading.Lock()


def is_free(port: int) -> bool:
    """Whether a listener could bind this port on 127.0.0.1 now."""
    with socket.socket(socket.AF_INET, socket.SOCK_STREAM) as probe:
        # As servers do: connections of a listener that has just gone (TIME_WAIT) do not count.
        probe.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
        try:
            probe.bind((LOOPBACK, port))
        except OSError:
            return False
    return True


def free_port() -> int:
    """A port that nobody listens on; never the same one twice in this process.

    Raises:
        UnavailableError: no free port was found within a bounded number of attempts.
    """
    choose = random.SystemRandom()
    with _lock:
        for _ in range(ATTEMPTS_MAX):
            port = choose.randint(PORT_MIN, PORT_MAX)
            if port not in _handed_out and is_free(port):
                _handed_out.add(port)
                return port
    raise UnavailableError(
        "no free TCP port was found",
        where=f"{LOOPBACK}, ports {PORT_MIN} to {PORT_MAX}",
        remedy="stop services that hold many ports, or set the ports in the settings",
    )
