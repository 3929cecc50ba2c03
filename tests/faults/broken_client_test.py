"""Clients that break in every way: python3 broken_client_test.py <fault_server> <fault_client>

Whatever happens to a client or its connection, the server's handler sees a broken call, never the end of its stream.
RILL_STRESS multiplies the number of clients.
"""

import os
import select
import signal
import socket
import struct
import sys
import threading
import unittest

from processes import PATIENCE, Process
from serving import ServerCase

CLIENT = sys.argv[2]
AT_ONCE = 8
ROUNDS = int(os.environ.get("RILL_STRESS", "1"))
METHODS = {"upload": "collect", "chat": "chat", "download": "expand"}


class Proxy:
    """Forwards connections, until it is told to break them. One thread does everything, so that a reset is only that."""

    def __init__(self, port):
        self.target = ("127.0.0.1", port)
        self.listener = socket.create_server(("127.0.0.1", 0))
        self.port = self.listener.getsockname()[1]
        self.other = {}  # end of a connection: the other one
        self.wake_up, self.orders = socket.socketpair()
        self.thread = threading.Thread(target=self._run, daemon=True)
        self.thread.start()

    def _run(self):
        order = b""
        while order != b"close":
            ends = [] if order == b"hold" else list(self.other)
            for ready in select.select([self.listener, self.orders, *ends], [], [])[0]:
                if ready is self.orders:
                    order = self.orders.recv(64)
                    if order != b"hold":
                        self._end_all(order == b"reset")
                elif ready is self.listener:
                    near, _ = self.listener.accept()
                    far = socket.create_connection(self.target, PATIENCE)
                    self.other.update({near: far, far: near})
                elif ready in self.other:
                    self._forward(ready)
        self.listener.close()

    def _forward(self, source):
        try:
            data = source.recv(65536)
            self.other[source].sendall(data)
        except OSError:
            data = b""
        if not data:
            for end in (source, self.other[source]):
                del self.other[end]
                end.close()

    def _end_all(self, by_reset):
        for end in self.other:
            if by_reset:
                end.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, struct.pack("ii", 1, 0))
            end.close()
        self.other.clear()

    def hold(self):
        """From now on nothing passes, and nobody is told."""
        self.wake_up.send(b"hold")

    def reset(self):
        """Ends the connections as a crashed host does."""
        self.wake_up.send(b"reset")

    def end_connections(self):
        """Ends the connections in the middle of whatever they carry."""
        self.wake_up.send(b"end")

    def close(self):
        self.wake_up.send(b"close")
        self.thread.join(PATIENCE)
        self.wake_up.close()
        self.orders.close()


class BrokenClient(ServerCase):
    spare_descriptors = 2  # gRPC keeps a few of its own

    @classmethod
    def tearDownClass(cls):
        output = cls.stop_server()
        for method in METHODS.values():
            assert f"{method} ended" not in output, "a broken call was taken for the end of its stream"

    def check(self, break_it, through_proxy=False, rounds=ROUNDS):
        """Breaks clients of each kind once they are at work; each of their handlers sees a broken call."""
        for kind, method in METHODS.items():
            for number in range(rounds):
                with self.subTest(kind=kind, number=number):
                    proxy = Proxy(self.port) if through_proxy else None
                    port = proxy.port if proxy else self.port
                    clients = [Process(CLIENT, f"127.0.0.1:{port}", kind) for _ in range(AT_ONCE)]
                    try:
                        for client in clients:
                            client.expect("began")
                        # What a client has handed to its own network may not have left it.
                        for _ in clients:
                            self.server.expect(f"{method} began")
                        break_it(proxy if proxy else clients)
                        for _ in clients:
                            self.server.expect(f"{method} broken: cancelled")
                    finally:
                        for client in clients:
                            client.close()
                        if proxy:
                            proxy.close()

    def test_killed(self):
        self.check(lambda clients: [client.kill() for client in clients])

    def test_stopped_for_ever(self):
        self.check(lambda clients: [os.kill(client.pid, signal.SIGSTOP) for client in clients], rounds=1)

    def test_a_connection_that_is_reset(self):
        self.check(Proxy.reset, through_proxy=True)

    def test_a_connection_that_is_closed_half_way(self):
        self.check(Proxy.end_connections, through_proxy=True)

    def test_a_connection_that_carries_nothing_any_more(self):
        self.check(Proxy.hold, through_proxy=True, rounds=1)


if __name__ == "__main__":
    unittest.main(argv=sys.argv[:1])
