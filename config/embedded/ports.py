"""Asking for a TCP port before anything is started."""

from __future__ import annotations

import errno
import socket

from config.embedded.errors import EmbeddedError


def require_free(host: str, port: int) -> None:
    """Refuse, in one sentence, an address the web server could not listen on.

    Raises:
        EmbeddedError: the port is in use, needs more rights, or the host is not an address of this machine.
    """
    try:
        family, kind, protocol, _, address = socket.getaddrinfo(host, port, type=socket.SOCK_STREAM)[0]
        with socket.socket(family, kind, protocol) as probe:
            probe.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
            probe.bind(address)
            probe.listen()
    except OSError as error:
        if error.errno == errno.EADDRINUSE:
            raise EmbeddedError(
                f"Port {port} on {host} is in use; end what uses it, or choose another, as with --port {port + 1}.",
                code="port_in_use",
            ) from error
        raise EmbeddedError(
            f"The site cannot listen on {host}, port {port} ({error.strerror}); choose others with --host and --port.",
            code="address_refused",
        ) from error
