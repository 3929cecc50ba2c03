"""A test case with one fault server, which lets go of its connections and stops as ever in the end."""

import os
import sys
import time
import unittest

from processes import PATIENCE, Process

SERVER = sys.argv[1]


class ServerCase(unittest.TestCase):
    spare_descriptors = 0  # what the server may keep beyond what it had at first

    @classmethod
    def setUpClass(cls):
        cls.server = Process(SERVER)
        cls.addClassCleanup(cls.server.close)
        cls.port = cls.server.port()
        cls.warm_up()
        cls.descriptors = cls.open_descriptors()

    @classmethod
    def warm_up(cls):
        """What comes before the descriptors are counted."""

    @classmethod
    def open_descriptors(cls):
        return len(os.listdir(f"/proc/{cls.server.pid}/fd"))

    @classmethod
    def stop_server(cls):
        """Waits until the server has closed what its clients have left, stops it, and gives its output."""
        deadline = time.monotonic() + PATIENCE
        while cls.open_descriptors() > cls.descriptors + cls.spare_descriptors:
            assert time.monotonic() < deadline, "the server keeps descriptors of connections that have ended"
            time.sleep(0.05)
        cls.server.terminate()
        return cls.server.finish()
