"""asio_server and asio_client: python3 asio_test.py <asio_server> <asio_client>"""

import socket
import sys
import unittest

from processes import Process

SERVER, CLIENT = sys.argv[1:3]


class Lines:
    """A client of the line protocol."""

    def __init__(self, port):
        self._socket = socket.create_connection(("127.0.0.1", port), timeout=90)
        self._file = self._socket.makefile("rw", encoding="utf-8", newline="\n")

    def ask(self, line):
        self._file.write(line + "\n")
        self._file.flush()
        return self.read()

    def read(self):
        return self._file.readline().rstrip("\n")

    def close(self):
        self._file.close()
        self._socket.close()


class Asio(unittest.TestCase):
    def start(self, *command):
        process = Process(*command)
        self.addCleanup(process.close)
        return process

    def start_server(self):
        server = self.start(SERVER, "0", "127.0.0.1:0")
        lines = int(server.expect("lines on port ").rsplit(" ", 1)[1])
        return server, lines, server.port()

    def connect(self, port):
        lines = Lines(port)
        self.addCleanup(lines.close)
        return lines

    def test_both_protocols_share_the_store(self):
        _, port, grpc = self.start_server()
        lines = self.connect(port)
        self.assertEqual(lines.ask("get name"), "! no such key")
        said = self.start(CLIENT, port, f"127.0.0.1:{grpc}", "name", "Ada Lovelace").finish()
        self.assertEqual(
            said.splitlines(),
            [
                "lines: set name: ok",
                "gRPC: name = Ada Lovelace",
                "gRPC: watched Ada Lovelace",
                "gRPC: NOT_FOUND: no such key",
            ],
        )
        self.assertEqual(lines.ask("get name"), "= Ada Lovelace")
        self.assertEqual(lines.ask("nonsense"), "! get KEY, or set KEY VALUE")

    def test_it_stops_when_told_although_a_connection_is_open(self):
        server, port, grpc = self.start_server()
        lines = self.connect(port)
        self.assertEqual(lines.ask("set a b"), "ok")
        server.terminate()
        self.assertTrue(server.finish().endswith("stopped"))
        self.assertEqual(lines.read(), "")
        self.start(CLIENT, port, f"127.0.0.1:{grpc}", "a", "b").finish(code=1)


if __name__ == "__main__":
    unittest.main(argv=sys.argv[:1])
