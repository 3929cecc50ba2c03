"""hello: python3 hello_test.py <hello_server> <hello_client>"""

import sys
import unittest

from processes import Process

SERVER, CLIENT = sys.argv[1:3]


class Hello(unittest.TestCase):
    def start(self, *command):
        process = Process(*command)
        self.addCleanup(process.close)
        return process

    def test_a_call_is_answered_and_the_server_stops_when_told(self):
        server = self.start(SERVER, "127.0.0.1:0")
        target = f"127.0.0.1:{server.port()}"
        self.assertEqual(self.start(CLIENT, target).finish(), "Hello, world!")
        self.assertEqual(self.start(CLIENT, target, "Ada").finish(), "Hello, Ada!")
        server.terminate()
        self.assertTrue(server.finish().endswith("stopped"))
        self.assertIn("UNAVAILABLE", self.start(CLIENT, target).finish(code=1))

    def test_a_port_in_use_is_named(self):
        first = self.start(SERVER, "127.0.0.1:0")
        address = f"127.0.0.1:{first.port()}"
        self.assertIn(address, self.start(SERVER, address).finish(code=1))


if __name__ == "__main__":
    unittest.main(argv=sys.argv[:1])
