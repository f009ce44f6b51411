"""A TCP proxy between a test and a server, that counts what passes and can be cut or frozen."""

import socket
import threading
import time
from collections.abc import Callable
from contextlib import suppress
from typing import Self

Pair = tuple[socket.socket, socket.socket]


class TcpProxy:
    """Listens on a loopback port and passes everything on to another."""

    def __init__(self, target: int) -> None:
        self._target = target
        self._listener = socket.create_server(("127.0.0.1", 0))
        self.port = int(self._listener.getsockname()[1])
        self.sent = 0
        """bytes that have passed from clients to the server"""
        self.connections = 0
        self._pairs: list[Pair] = []
        self._frozen: set[Pair] = set()
        self._fault: Callable[[], None] | None = None
        self._fault_at = 0
        threading.Thread(target=self._accept, daemon=True).start()

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *_error: object) -> None:
        self.close()

    def close(self) -> None:
        """Cut, and let nobody in any more."""
        with suppress(OSError):
            self._listener.shutdown(socket.SHUT_RDWR)
        self._listener.close()
        self.cut()
        self._frozen.clear()

    def cut(self) -> None:
        """Close every connection that there is; new ones may come."""
        pairs, self._pairs = self._pairs, []
        for one in (one for pair in pairs for one in pair):
            with suppress(OSError):
                one.shutdown(socket.SHUT_RDWR)
            one.close()

    def cut_after(self, sent: int) -> None:
        """Cut once, as soon as that many bytes have passed to the server."""
        self._fault, self._fault_at = self.cut, sent

    def freeze_after(self, sent: int) -> None:
        """Freeze once, as soon as that many bytes have passed to the server."""
        self._fault, self._fault_at = self.freeze, sent

    def freeze(self) -> None:
        """Pass nothing more on and close nothing, as when a cable is pulled; new connections may come."""
        self._frozen |= set(self._pairs)

    def _accept(self) -> None:
        while True:
            try:
                client, _address = self._listener.accept()
            except OSError:  # it was closed
                return
            try:
                server = socket.create_connection(("127.0.0.1", self._target))
            except OSError:
                client.close()
                continue
            self.connections += 1
            pair = (client, server)
            self._pairs.append(pair)
            threading.Thread(target=self._pass, args=(pair, client, server), daemon=True).start()
            threading.Thread(target=self._pass, args=(pair, server, client), daemon=True).start()

    def _pass(self, pair: Pair, source: socket.socket, target: socket.socket) -> None:
        with suppress(OSError):
            while data := source.recv(1 << 16):
                while pair in self._frozen:
                    time.sleep(0.05)
                target.sendall(data)
                if source is pair[0]:
                    self.sent += len(data)
                    if self._fault and self.sent >= self._fault_at:
                        fault, self._fault = self._fault, None
                        fault()
        for one in pair:
            with suppress(OSError):
                one.shutdown(socket.SHUT_RDWR)
