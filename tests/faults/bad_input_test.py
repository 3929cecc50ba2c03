"""Bad input on a server's port: python3 bad_input_test.py <fault_server> <fault_client>

Each case writes something wrong and expects a definite end, a status or a closed connection. After each the server
answers a good call on a new connection.
"""

import gzip
import random
import socket
import struct
import sys
import unittest

import hpack

from processes import PATIENCE
from serving import ServerCase

ECHO = "/rill.test.v1.Echo/"
PREFACE = b"PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n"
OK, UNKNOWN, RESOURCE_EXHAUSTED, UNIMPLEMENTED, INTERNAL, UNAVAILABLE = "0", "2", "8", "12", "13", "14"
CLOSED = "closed"  # the connection, by GOAWAY or outright
RESET = "reset"  # the stream alone, without a status
# Where several ends are allowed it is gRPC that decides, and its versions differ.
REFUSED = (RESOURCE_EXHAUSTED, CLOSED, RESET)
IGNORED = (OK, INTERNAL, CLOSED, RESET)


def note(text=b"hi"):
    """A Note as protobuf writes it, shorter than 128 bytes."""
    return b"\x0a" + bytes([len(text)]) + text


def framed(message, flag=0, length=None):
    """A gRPC message with its five bytes in front."""
    return struct.pack(">BI", flag, len(message) if length is None else length) + message


def frame(kind, flags, stream, body=b"", length=None):
    """An HTTP/2 frame."""
    size = len(body) if length is None else length
    return struct.pack(">I", size)[1:] + struct.pack(">BBI", kind, flags, stream) + body


DATA, HEADERS, RST_STREAM, SETTINGS, PING, GOAWAY, WINDOW_UPDATE, CONTINUATION = 0, 1, 3, 4, 6, 7, 8, 9


def headers_of(path, *more, method="POST", kind="application/grpc"):
    return [
        (":method", method),
        (":scheme", "http"),
        (":path", path),
        (":authority", "localhost"),
        ("te", "trailers"),
        ("content-type", kind),
        *more,
    ]


class Raw:
    """A connection that sends bytes as they are."""

    def __init__(self, port):
        self.socket = socket.create_connection(("127.0.0.1", port), PATIENCE)

    def send(self, *parts):
        for part in parts:
            try:
                self.socket.sendall(part)
            except (BrokenPipeError, ConnectionResetError):
                return  # closed already, which is what the cases are about

    def is_closed(self):
        """Waits until the server has closed the connection, after a GOAWAY or not."""
        try:
            while self.socket.recv(65536):
                pass
        except ConnectionResetError:
            pass
        except socket.timeout:
            return False
        return True

    def end_input(self):
        try:
            self.socket.shutdown(socket.SHUT_WR)
        except OSError:
            pass

    def close(self):
        self.socket.close()


class Http2(Raw):
    """A connection whose frames are right, whatever the calls on it are. Strict libraries do not do what it must."""

    def __init__(self, port, stream_window=65535):
        super().__init__(port)
        self.encoder = hpack.Encoder()
        self.decoder = hpack.Decoder()
        self.decoder.max_header_list_size = 1 << 20
        self.unread = b""
        self.next_stream = 1
        self.room = {0: 65535}  # what may be sent, by stream, 0 for the connection
        self.first_room = 65535
        self.send(PREFACE, frame(SETTINGS, 0, 0, struct.pack(">HI", 4, stream_window)))
        while self.receive()[0] != SETTINGS:  # the server's limits hold once they are acknowledged
            pass

    def start(self, headers, end=False):
        stream, self.next_stream = self.next_stream, self.next_stream + 2
        self.room[stream] = self.first_room
        block = self.encoder.encode(headers, huffman=False)
        pieces = [block[at : at + 16384] for at in range(0, len(block), 16384)]
        for number, piece in enumerate(pieces):
            flags = (1 if end and number == 0 else 0) | (4 if number == len(pieces) - 1 else 0)
            self.send(frame(CONTINUATION if number else HEADERS, flags & (4 if number else 5), stream, piece))
        return stream

    def write(self, stream, data, end=False):
        while True:
            room = min(self.room[0], self.room[stream], 16384, len(data))
            if room == 0 and data:
                if self.receive()[0] in (None, RST_STREAM, GOAWAY, HEADERS):
                    return  # it has its answer already
                continue
            part, data = data[:room], data[room:]
            self.send(frame(DATA, 1 if end and not data else 0, stream, part))
            self.room[0] -= room
            self.room[stream] -= room
            if not data:
                return

    def reset(self, stream):
        self.send(frame(RST_STREAM, 0, stream, struct.pack(">I", 8)))

    def receive(self):
        """The next frame as kind, flags, stream and body, or Nones once the connection has ended."""
        while len(self.unread) < 9 or len(self.unread) < 9 + int.from_bytes(self.unread[:3], "big"):
            try:
                data = self.socket.recv(65536)
            except ConnectionResetError:
                data = b""
            if not data:
                return None, 0, 0, b""
            self.unread += data
        size = int.from_bytes(self.unread[:3], "big")
        kind, flags, stream = struct.unpack(">BBI", self.unread[3:9])
        body, self.unread = self.unread[9 : 9 + size], self.unread[9 + size :]
        if kind == SETTINGS and not flags & 1:
            for at in range(0, size, 6):
                name, value = struct.unpack(">HI", body[at : at + 6])
                if name == 4:
                    for open_stream in self.room:
                        self.room[open_stream] += value - self.first_room if open_stream else 0
                    self.first_room = value
            self.send(frame(SETTINGS, 1, 0))
        elif kind == PING and not flags & 1:
            self.send(frame(PING, 1, 0, body))
        elif kind == WINDOW_UPDATE and stream in self.room:
            self.room[stream] += struct.unpack(">I", body)[0]
        elif kind == DATA and size:
            self.send(*[frame(WINDOW_UPDATE, 0, to, struct.pack(">I", size)) for to in (0, stream)])
        self.last = kind, flags, stream, body
        return self.last

    def outcome(self, stream):
        """How the call ends, and the bytes that came. A status counts even if the stream was reset before it."""
        data = b""
        headers = {}
        ended = None
        while True:
            kind, flags, of, body = self.receive()
            if kind is None or kind == GOAWAY:
                return ended or CLOSED, data
            if kind == HEADERS:
                fields = dict(self.decoder.decode(body))
                headers.update(fields if of == stream else {})
            if of != stream:
                if ended and kind == PING:
                    return ended, data
                continue
            if kind == DATA:
                data += body
            if "grpc-status" in headers:
                return headers["grpc-status"], data
            if kind == RST_STREAM and ended is None:
                ended = RESET
                self.send(frame(PING, 0, 0, bytes(8)))  # what is still under way comes before its answer
            if kind in (DATA, HEADERS) and flags & 1:
                return RESET, data

    def call(self, headers, body=b"", end=True):
        stream = self.start(headers, end=end and not body)
        if body:
            self.write(stream, body, end)
        return self.outcome(stream)


class BadInput(ServerCase):
    @classmethod
    def warm_up(cls):
        cls.good_call()

    @classmethod
    def tearDownClass(cls):
        cls.stop_server()

    @classmethod
    def good_call(cls):
        connection = Http2(cls.port)
        try:
            assert connection.call(headers_of(ECHO + "Say"), framed(note())) == (OK, framed(note()))
        finally:
            connection.close()

    def tearDown(self):
        self.good_call()

    def raw(self):
        connection = Raw(self.port)
        self.addCleanup(connection.close)
        return connection

    def http(self, **settings):
        connection = Http2(self.port, **settings)
        self.addCleanup(connection.close)
        return connection

    def expect(self, wanted, headers, body=b"", end=True):
        """A call on a connection of its own ends so."""
        connection = self.http()
        got, _ = connection.call(headers, body, end)
        connection.close()
        self.assertIn(got, wanted if isinstance(wanted, tuple) else (wanted,))

    def expect_closed(self, *parts, preface=True):
        connection = self.raw()
        if preface:
            connection.send(PREFACE, frame(SETTINGS, 0, 0))
        connection.send(*parts)
        self.assertTrue(connection.is_closed())
        connection.close()

    # Below HTTP/2.

    def test_what_is_not_http2(self):
        for sent in (
            b"GET / HTTP/1.1\r\nHost: localhost\r\n\r\n",
            b"\x16\x03\x01\x02\x00\x01\x00\x01\xfc\x03\x03" + bytes(500),  # the beginning of a TLS handshake
            b"\x00" * 1000,
            b"PRI * HTTP/2.0\r\n\r\nSM\r\n\rX",
        ):
            with self.subTest(sent=sent[:12]):
                self.expect_closed(sent, preface=False)

    def test_random_bytes(self):
        for seed in range(100):
            with self.subTest(seed=seed):
                connection = self.raw()
                if seed % 2:
                    connection.send(PREFACE, frame(SETTINGS, 0, 0))
                connection.send(random.Random(seed).randbytes(seed * 50 + 24))
                connection.end_input()  # it may look like the beginning of a frame
                self.assertTrue(connection.is_closed())
                connection.close()

    def test_connections_that_stop_half_way(self):
        halves = []
        for number in range(100):
            connection = self.raw()
            whole = PREFACE + frame(SETTINGS, 0, 0) + frame(HEADERS, 4, 1, b"\x82", length=900)
            connection.send(whole[: number + 1])
            halves.append(connection)
        self.good_call()
        for connection in halves:
            connection.close()

    # HTTP/2 frames.

    def test_frames_that_break_the_protocol(self):
        for name, sent in {
            "larger than allowed": frame(DATA, 0, 1, bytes(20000)),
            "the largest length there is": frame(HEADERS, 4, 1, length=0xFFFFFF),
            "a continuation of nothing": frame(CONTINUATION, 4, 1, b"\x82"),
            "headers that are cut short by a ping": frame(HEADERS, 0, 1, b"\x82") + frame(PING, 0, 0, bytes(8)),
            "settings of a wrong length": frame(SETTINGS, 0, 0, bytes(5)),
            "a ping of a wrong length": frame(PING, 0, 0, bytes(5)),
            "a window update of a wrong length": frame(WINDOW_UPDATE, 0, 0, bytes(3)),
            "a reset of a wrong length": frame(RST_STREAM, 0, 1, bytes(3)),
            "headers that are no HPACK": frame(HEADERS, 5, 1, b"\xff" * 100),
        }.items():
            with self.subTest(name):
                self.expect_closed(sent)

    def test_frames_that_mean_nothing_are_ignored(self):
        for name, sent in {
            "an unknown kind": frame(0xEE, 0xFF, 0, b"whatever"),
            "data without a stream": frame(DATA, 1, 0, framed(note())),
            "data of a stream that never was": frame(DATA, 1, 77, framed(note())),
            "a reset of a stream that never was": frame(RST_STREAM, 0, 77, bytes(4)),
        }.items():
            with self.subTest(name):
                connection = self.http()
                connection.send(sent)
                self.assertEqual(connection.call(headers_of(ECHO + "Say"), framed(note()))[0], OK)
                connection.close()

    def test_a_flood_of_pings(self):
        self.expect_closed(*[frame(PING, 0, 0, bytes(8)) * 100] * 100)

    def test_a_flood_of_settings(self):
        connection = self.raw()
        connection.send(PREFACE)
        for _ in range(100):
            connection.send(frame(SETTINGS, 0, 0, struct.pack(">HI", 4, 65535)) * 10)
        self.good_call()
        connection.close()

    def test_streams_that_are_reset_at_once(self):
        connection = self.http()
        for _ in range(2000):
            stream = connection.start(headers_of(ECHO + "Collect"))
            connection.reset(stream)
        self.good_call()
        self.assertEqual(connection.call(headers_of(ECHO + "Say"), framed(note()))[0], OK)

    # Headers and metadata.

    def test_huge_metadata(self):
        for size in (20_000, 200_000, 2_000_000):
            with self.subTest(size=size):
                self.expect(REFUSED, headers_of(ECHO + "Say", ("x-big", "x" * size)), framed(note()))

    def test_many_pairs_of_metadata(self):
        pairs = [(f"x-{number}", "y") for number in range(5000)]
        self.expect(REFUSED, headers_of(ECHO + "Say", *pairs), framed(note()))

    def test_invalid_metadata(self):
        for name, value in (
            ("X-Upper", "v"), ("x y", "v"), ("x\x00y", "v"), ("", "v"), ("x:y", "v"), ("\xe9", "v"),
            (":unknown", "v"), ("connection", "close"),
            ("x-v", "a\x00b"), ("x-v", "a\nb"), ("x-v", "\xe9"), ("x-v", "\x7f"),
        ):
            with self.subTest(name=name, value=value):
                self.expect(IGNORED, headers_of(ECHO + "Say", (name, value)), framed(note()))

    def test_binary_metadata_that_is_no_base64(self):
        for value in ("!!! no base64 !!!", "a"):
            with self.subTest(value=value):
                wanted = (UNAVAILABLE, INTERNAL, CLOSED, RESET)
                self.expect(wanted, headers_of(ECHO + "Say", ("x-bin", value)), framed(note()))

    def test_unknown_methods_and_paths(self):
        for path in (
            ECHO + "Unknown", "/no.Service/Method", "/", "/" + "x" * 4000, ECHO + "say", "//", ECHO + "Say/",
            ECHO + "Say?a=b", "/..%2f../Say", "/\xe9/\xe9",
        ):
            with self.subTest(path=path[:40]):
                self.expect(UNIMPLEMENTED, headers_of(path), framed(note()))

    def test_requests_that_are_not_of_grpc(self):
        strange = (UNKNOWN, UNIMPLEMENTED, INTERNAL, CLOSED, RESET)
        for name, wanted, headers in (
            ("GET", strange, headers_of(ECHO + "Say", method="GET")),
            ("PUT", strange, headers_of(ECHO + "Say", method="PUT")),
            ("no path", strange, [pair for pair in headers_of("") if pair[0] != ":path"]),
            ("empty path", strange, headers_of("")),
            ("no method", strange, [pair for pair in headers_of(ECHO + "Say") if pair[0] != ":method"]),
            ("no host", strange, [pair for pair in headers_of(ECHO + "Say") if pair[0] != ":authority"]),
            ("no te", strange, [pair for pair in headers_of(ECHO + "Say") if pair[0] != "te"]),
            ("another content", (OK, *strange), headers_of(ECHO + "Say", kind="text/plain")),
            ("a time limit that is none", IGNORED, headers_of(ECHO + "Say", ("grpc-timeout", "soon"))),
            ("a negative time limit", IGNORED, headers_of(ECHO + "Say", ("grpc-timeout", "-1S"))),
            ("an endless time limit", OK, headers_of(ECHO + "Say", ("grpc-timeout", "99999999H"))),
        ):
            with self.subTest(name):
                self.expect(wanted, headers, framed(note()))

    # Messages.

    def test_messages_with_broken_lengths(self):
        # gRPC drops a message that its client half-closes in the middle of, and does not say so: on a stream that looks
        # like the end. It is the client that said it was the end, so no connection that breaks looks like this.
        dropped = (OK, INTERNAL)
        for name, body, unary, streaming in (
            ("nothing at all", b"", INTERNAL, OK),
            ("half a length", b"\x00\x00\x00", INTERNAL, dropped),
            ("longer than it says", framed(note(), length=2), INTERNAL, INTERNAL),
            ("shorter than it says", framed(note(), length=200), INTERNAL, dropped),
            ("4 GiB are promised", framed(note(), length=0xFFFFFFFF), (INTERNAL, *REFUSED), (OK, INTERNAL, *REFUSED)),
            ("two messages", framed(note()) * 2, (OK, INTERNAL, UNIMPLEMENTED), OK),
            ("a wrong flag", framed(note(), flag=7), IGNORED, IGNORED),
        ):
            for method, wanted in (("Say", unary), ("Collect", streaming), ("Chat", streaming)):
                with self.subTest(name, method=method):
                    self.expect(wanted, headers_of(ECHO + method), body)

    def test_bytes_that_are_not_the_message(self):
        for method in ("Say", "Expand", "Collect", "Chat"):
            for bad in (b"\x0a\xff", b"\xff" * 20, b"\x0a\x02\xff\xfe"):
                with self.subTest(method=method, bad=bad):
                    self.expect(INTERNAL, headers_of(ECHO + method), framed(bad))

    def test_messages_over_the_limit(self):
        for method in ("Say", "Collect", "Chat"):
            with self.subTest(method=method):
                body = b"\x1a\x80\x80\x80\x01" + bytes(2 * 1024 * 1024)
                self.expect(RESOURCE_EXHAUSTED, headers_of(ECHO + method), framed(body))

    def test_bad_compression(self):
        packed = gzip.compress(note())
        bomb = gzip.compress(b"\x1a\x80\x80\x80\x20" + bytes(64 * 1024 * 1024))
        unreadable = (INTERNAL, UNIMPLEMENTED, CLOSED, RESET)
        for name, wanted, encoding, body in (
            ("good", OK, "gzip", framed(packed, 1)),
            ("not said", unreadable, None, framed(packed, 1)),
            ("not gzip", unreadable, "gzip", framed(b"this is no gzip", 1)),
            ("cut short", unreadable, "gzip", framed(packed[:-6], 1)),
            ("unknown", unreadable, "zippy", framed(packed, 1)),
            ("a bomb", RESOURCE_EXHAUSTED, "gzip", framed(bomb, 1)),
        ):
            for method in ("Say", "Collect", "Chat"):
                with self.subTest(name, method=method):
                    more = [("grpc-encoding", encoding)] if encoding else []
                    self.expect(wanted, headers_of(ECHO + method, *more), body)

    # Windows.

    def test_a_reader_that_gives_no_window(self):
        connection = self.http(stream_window=0)
        connection.start(headers_of(ECHO + "Expand"))
        connection.write(1, framed(note()), end=True)
        self.server.expect("expand waits")
        self.good_call()
        connection.close()
        self.server.expect("expand broken: cancelled")

    def test_a_window_that_overflows(self):
        connection = self.http()
        stream = connection.start(headers_of(ECHO + "Collect"))
        connection.send(frame(WINDOW_UPDATE, 0, stream, struct.pack(">I", 0x7FFFFFFF)) * 3)
        self.good_call()
        connection.send(frame(WINDOW_UPDATE, 0, 0, struct.pack(">I", 0x7FFFFFFF)) * 3)
        self.good_call()


if __name__ == "__main__":
    unittest.main(argv=sys.argv[:1])
