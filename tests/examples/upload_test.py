"""upload: python3 upload_test.py <upload_server> <upload>"""

import hashlib
import os
import pathlib
import random
import signal
import sys
import tempfile
import unittest

from processes import Process

SERVER, CLIENT = sys.argv[1:3]
MIB = 1 << 20


def make_file(path, size, seed=1):
    path.write_bytes(random.Random(seed).randbytes(size))
    return path


def peak_memory(process):
    """The most memory that the process ever had, in MiB."""
    for line in pathlib.Path(f"/proc/{process.pid}/status").read_text().splitlines():
        if line.startswith("VmHWM:"):
            return int(line.split()[1]) / 1024
    raise AssertionError("no VmHWM")


class Upload(unittest.TestCase):
    def setUp(self):
        scratch = tempfile.TemporaryDirectory()
        self.addCleanup(scratch.cleanup)
        self.scratch = pathlib.Path(scratch.name)
        self.folder = self.scratch / "received"
        self.folder.mkdir()

    def start(self, *command):
        process = Process(*command)
        self.addCleanup(process.close)
        return process

    def serve(self, *flags):
        self.server = self.start(SERVER, "--listen", "127.0.0.1:0", *flags, self.folder)
        self.target = f"127.0.0.1:{self.server.port()}"
        return self.server

    def upload(self, file, *flags):
        return self.start(CLIENT, "--server", self.target, *flags, file)

    def visible(self):
        """The names that somebody who looks into the folder sees."""
        return sorted(name for name in os.listdir(self.folder) if not name.startswith("."))

    def partial(self):
        return sorted(os.listdir(self.folder / ".partial"))

    def stop(self):
        self.server.terminate()
        self.assertTrue(self.server.finish().endswith("stopped"))

    def check_received(self, name, original):
        self.assertEqual((self.folder / name).read_bytes(), original.read_bytes())
        self.assertEqual(self.partial(), [])

    def test_a_file_arrives_whole(self):
        self.serve()
        file = make_file(self.scratch / "some file.bin", 5 * MIB + 17)
        output = self.upload(file).finish()
        self.assertIn("100%", output)
        self.assertIn("/s", output)
        self.assertIn(hashlib.sha256(file.read_bytes()).hexdigest(), output)
        self.check_received("some file.bin", file)
        self.stop()

    def test_an_empty_file_and_a_name_in_another_script(self):
        self.serve()
        file = make_file(self.scratch / "empty", 0)
        self.upload(file, "--as", "пустой файл").finish()
        self.check_received("пустой файл", file)
        self.stop()

    def test_the_same_file_again_is_not_sent_again(self):
        self.serve()
        file = make_file(self.scratch / "a", MIB)
        self.upload(file).finish()
        self.assertIn("the server has this file already", self.upload(file).finish())
        self.stop()

    def test_other_contents_under_a_taken_name_are_refused(self):
        self.serve()
        first = make_file(self.scratch / "first", MIB, seed=1)
        second = make_file(self.scratch / "second", MIB, seed=2)
        self.upload(first, "--as", "name").finish()
        self.assertIn("ALREADY_EXISTS", self.upload(second, "--as", "name").finish(code=1))
        self.check_received("name", first)
        self.stop()

    def test_replacing_if_the_server_allows_it(self):
        self.serve("--replace")
        first = make_file(self.scratch / "first", MIB, seed=1)
        second = make_file(self.scratch / "second", 2 * MIB, seed=2)
        self.upload(first, "--as", "name").finish()
        self.upload(second, "--as", "name").finish()
        self.check_received("name", second)
        self.stop()

    def killed_half_way(self, file):
        """Kills an uploading client, and waits until the server has noticed."""
        client = self.upload(file, "--limit-rate", "6M")
        client.expect(" 50%")
        client.kill()
        client.finish(code=-9)
        self.server.expect("broken off")
        self.assertEqual(self.visible(), [])
        self.assertEqual(len(self.partial()), 1)
        kept = (self.folder / ".partial" / self.partial()[0]).stat().st_size
        self.assertGreater(kept, 0)
        self.assertLess(kept, file.stat().st_size)

    def test_a_killed_client_goes_on_where_it_was(self):
        self.serve()
        file = make_file(self.scratch / "big", 16 * MIB)
        self.killed_half_way(file)
        output = self.upload(file).finish()
        self.assertIn("resuming at ", output)
        self.assertNotIn(" 10%", output)
        self.check_received("big", file)
        self.stop()

    def test_going_on_after_the_server_was_started_again(self):
        self.serve()
        file = make_file(self.scratch / "big", 16 * MIB)
        self.killed_half_way(file)
        self.stop()
        self.serve()
        self.assertIn("resuming at ", self.upload(file).finish())
        self.check_received("big", file)
        self.stop()

    def test_a_client_outlives_its_server(self):
        first = self.serve()
        file = make_file(self.scratch / "big", 16 * MIB)
        client = self.upload(file, "--limit-rate", "6M", "--retries", "1000")
        client.expect(" 50%")
        first.kill()
        client.expect("trying again")
        self.server = self.start(SERVER, "--listen", self.target, self.folder)
        self.server.port()
        self.assertIn("resuming at ", client.finish())
        self.check_received("big", file)
        self.stop()

    def test_a_server_that_is_told_to_stop_keeps_what_it_has(self):
        first = self.serve()
        file = make_file(self.scratch / "big", 16 * MIB)
        client = self.upload(file, "--limit-rate", "1M", "--retries", "1000")
        first.expect("big: receiving")
        client.expect(" 10%")
        first.terminate()
        self.assertIn("broken off", first.finish())
        client.expect("trying again")
        client.kill()
        self.serve()
        self.assertIn("resuming at ", self.upload(file).finish())
        self.check_received("big", file)
        self.stop()

    def test_a_damaged_partial_file_is_not_built_on(self):
        self.serve()
        file = make_file(self.scratch / "big", 16 * MIB)
        self.killed_half_way(file)
        with open(self.folder / ".partial" / self.partial()[0], "r+b") as damaged:
            damaged.write(b"not what was sent")
        self.assertIn("damaged; starting again", self.upload(file).finish())
        self.check_received("big", file)
        self.stop()

    def test_two_uploads_of_one_name_at_once(self):
        self.serve()
        file = make_file(self.scratch / "big", 16 * MIB)
        other = make_file(self.scratch / "other", 8 * MIB, seed=2)
        first = self.upload(file, "--limit-rate", "16M")
        self.server.expect("big: receiving")
        os.kill(first.pid, signal.SIGSTOP)
        refused = self.upload(other, "--as", "big", "--retries", "0").finish(code=1)
        self.assertIn("ABORTED", refused)
        self.assertIn("another client", refused)
        os.kill(first.pid, signal.SIGCONT)
        first.finish()
        self.assertEqual((self.folder / "big").read_bytes(), file.read_bytes())
        self.stop()

    def test_a_silent_client_is_given_up_and_may_come_back(self):
        self.serve("--idle-limit", "1")
        file = make_file(self.scratch / "big", 16 * MIB)
        client = self.upload(file, "--limit-rate", "16M")
        client.expect(" 25%")  # so the server has kept something
        os.kill(client.pid, signal.SIGSTOP)
        self.server.expect("broken off")
        os.kill(client.pid, signal.SIGCONT)
        output = client.finish()
        self.assertIn("DEADLINE_EXCEEDED", output)
        self.assertIn("resuming at ", output)
        self.check_received("big", file)
        self.stop()

    def test_clients_killed_one_after_the_other_harm_nobody(self):
        self.serve()
        for number in range(5):
            client = self.upload(make_file(self.scratch / f"victim{number}", 8 * MIB, seed=number), "--limit-rate", "8M")
            client.expect("%")
            # What a client has handed to its own network may not have left it.
            self.server.expect(f"victim{number}: receiving")
            client.kill()
            self.server.expect(f"victim{number}: broken off")
        self.assertEqual(self.visible(), [])
        file = make_file(self.scratch / "good", 4 * MIB)
        self.upload(file).finish()
        self.assertEqual((self.folder / "good").read_bytes(), file.read_bytes())
        self.stop()

    def test_names_that_leave_the_folder_are_refused(self):
        self.serve()
        file = make_file(self.scratch / "a", 100)
        outside = sorted(os.listdir(self.scratch))
        for name in ("../evil", "..", ".", "/tmp/evil", "a/b", "a\\b", "C:evil", ".hidden", ".partial", "a\nb", "x" * 201):
            with self.subTest(name=name):
                self.assertIn("INVALID_ARGUMENT: the file name", self.upload(file, "--as", name).finish(code=1))
        self.assertEqual(self.visible(), [])
        self.assertEqual(self.partial(), [])
        self.assertEqual(sorted(os.listdir(self.scratch)), outside)
        self.stop()

    def test_a_symbolic_link_is_not_followed(self):
        target = make_file(self.scratch / "precious", 1000)
        before = target.read_bytes()
        (self.folder / "link").symlink_to(target)
        (self.folder / "dangling").symlink_to(self.scratch / "made by a link")
        (self.folder / "folder").mkdir()
        file = make_file(self.scratch / "a", 100, seed=2)
        for flags in ((), ("--replace",)):
            self.serve(*flags)
            for name in ("link", "dangling", "folder"):
                self.assertIn("FAILED_PRECONDITION", self.upload(file, "--as", name).finish(code=1))
            self.stop()
        self.assertEqual(target.read_bytes(), before)
        self.assertFalse((self.scratch / "made by a link").exists())

    def test_a_file_over_the_limit_is_refused_before_it_is_sent(self):
        self.serve("--max-size", "1M")
        refused = self.upload(make_file(self.scratch / "large", MIB + 1)).finish(code=1)
        self.assertIn("RESOURCE_EXHAUSTED: a file may have at most 1.0 MiB", refused)
        self.assertNotIn("%", refused)
        self.upload(make_file(self.scratch / "fits", MIB)).finish()
        self.assertEqual(self.visible(), ["fits"])
        self.stop()

    def test_a_folder_belongs_to_one_server(self):
        self.serve()
        self.assertIn("another server uses", self.start(SERVER, "--listen", "127.0.0.1:0", self.folder).finish(code=1))
        self.stop()

    @unittest.skipIf("RILL_SANITIZED" in os.environ, "sanitizers take memory of their own")
    def test_memory_does_not_grow_with_the_file(self):
        self.serve()
        small = make_file(self.scratch / "small", 16 * MIB)
        self.upload(small).finish()
        before = peak_memory(self.server)
        large = make_file(self.scratch / "large", 160 * MIB)
        self.upload(large).finish()
        self.assertLess(peak_memory(self.server) - before, 24)
        self.assertEqual((self.folder / "large").stat().st_size, 160 * MIB)
        self.stop()


if __name__ == "__main__":
    unittest.main(argv=sys.argv[:1])
