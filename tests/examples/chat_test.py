"""chat: python3 chat_test.py <chat_server> <chat>"""

import os
import pathlib
import pty
import re
import select
import subprocess
import sys
import tempfile
import time
import unittest

from processes import PATIENCE, Process

SERVER, CLIENT = sys.argv[1:3]
TOKENS = {name: f"the-secret-token-of-{name}" for name in ("ada", "bob", "carol")}


class Chat(unittest.TestCase):
    def setUp(self):
        scratch = tempfile.TemporaryDirectory()
        self.addCleanup(scratch.cleanup)
        self.scratch = pathlib.Path(scratch.name)
        self.tokens = self.scratch / "tokens"
        self.tokens.write_text("# who may come\n" + "".join(f"{name} {token}\n" for name, token in TOKENS.items()))

    def start(self, *command, **options):
        process = Process(*command, **options)
        self.addCleanup(process.close)
        return process

    def serve(self, *flags):
        self.server = self.start(
            SERVER, "--listen", "127.0.0.1:0", "--tokens", self.tokens, "--history", self.scratch / "chat.db", *flags
        )
        self.target = f"127.0.0.1:{self.server.port()}"
        return self.server

    def member(self, name, *steps, token=None, flags=()):
        """A member that follows a script; more steps may be sent to it."""
        client = self.start(
            CLIENT, "--server", self.target, "--script", "-", *flags, stdin=True, CHAT_TOKEN=token or TOKENS[name]
        )
        client.send(*steps)
        return client

    def leave(self, *members):
        for member in members:
            member.end_input()
        return [member.finish() for member in members]

    def stop(self):
        self.server.terminate()
        output = self.server.finish()
        self.assertTrue(output.endswith("stopped"))
        self.assertNotIn("secret", output)  # no token, not even a wrong one
        return output

    def test_members_talk_and_see_who_is_there(self):
        self.serve()
        ada = self.member("ada", "join lobby")
        ada.expect("you are ada in #lobby, alone")
        bob = self.member("bob", "join lobby")
        bob.expect("you are bob in #lobby, with ada")
        ada.expect("bob joined")
        ada.send("say hello bob")
        bob.expect("ada: hello bob")
        bob.send("say good morning, ada", "who")
        ada.expect("bob: good morning, ada")
        bob.expect("here are ada, bob")
        self.leave(bob)
        ada.expect("bob left")
        ada.send("who")
        ada.expect("here are ada")
        self.leave(ada)
        self.stop()

    def test_rooms_do_not_hear_each_other(self):
        self.serve()
        ada = self.member("ada", "join red")
        bob = self.member("bob", "join blue")
        ada.expect("you are ada")
        bob.expect("you are bob in #blue, alone")
        ada.send("say only red may hear this")
        ada.expect("only red")
        bob.send("say blue")
        bob.expect("bob: blue")
        # The same stream of events, and nothing of the other room in it.
        self.assertNotIn("red", "\n".join(self.leave(bob)))
        self.leave(ada)
        self.stop()

    def test_a_member_with_two_devices_is_one_member(self):
        self.serve()
        ada = self.member("ada", "join lobby")
        ada.expect("alone")
        bob = self.member("bob", "join lobby")
        ada.expect("bob joined")
        again = self.member("bob", "join lobby")
        again.expect("you are bob in #lobby, with ada")
        self.leave(again)
        bob.send("who")
        bob.expect("here are ada, bob")
        self.leave(bob)
        ada.expect("bob left")
        output = self.leave(ada)[0]
        self.assertEqual(output.count("bob joined"), 1)
        self.assertEqual(output.count("bob left"), 1)
        self.stop()

    def test_a_killed_member_has_left(self):
        self.serve()
        ada = self.member("ada", "join lobby")
        ada.expect("alone")
        bob = self.member("bob", "join lobby")
        ada.expect("bob joined")
        bob.kill()
        ada.expect("bob left")
        self.leave(ada)
        self.stop()

    def test_history_outlives_the_server(self):
        self.serve()
        ada = self.member("ada", "join lobby", "say first", "say second")
        ada.expect("ada: second")
        self.leave(ada)
        self.stop()
        self.serve("--past", "3")
        bob = self.member("bob", "join lobby", "say third", "say fourth")
        bob.expect("ada: first")
        bob.expect("ada: second")
        bob.expect("you are bob")
        bob.expect("bob: fourth")
        self.leave(bob)
        carol = self.member("carol", "join lobby")
        carol.expect("you are carol")
        # Only the last three, in order.
        said = [line.split(" ", 1)[1] for line in self.leave(carol)[0].splitlines() if ": " in line]
        self.assertEqual(said, ["ada: second", "bob: third", "bob: fourth"])
        self.stop()

    def test_a_crash_loses_nothing_that_was_heard(self):
        server = self.serve()
        ada = self.member("ada", "join lobby", "say remember this")
        ada.expect("ada: remember this")
        server.kill()
        ada.send("expect-end UNAVAILABLE")
        self.leave(ada)
        self.serve()
        bob = self.member("bob", "join lobby")
        bob.expect("ada: remember this")
        self.leave(bob)
        self.stop()

    def test_wrong_tokens_are_refused(self):
        self.serve()
        for token in ("the-secret-token-of-adb", "the-secret-token-of-ad", "x", TOKENS["ada"] + "x"):
            stranger = self.member("ada", "join lobby", "expect-end UNAUTHENTICATED", token=token)
            self.assertNotIn("secret", self.leave(stranger)[0])
        nobody = self.start(CLIENT, "--server", self.target, CHAT_TOKEN="")
        self.assertIn("UNAUTHENTICATED", nobody.finish(code=1))
        self.assertNotIn("entered", self.stop())

    def test_what_a_room_does_not_accept(self):
        self.serve()
        for step, answer in (
            ("say " + "x" * 2001, "INVALID_ARGUMENT: a text may have 2000 bytes, this one has 2001"),
            ("say", "INVALID_ARGUMENT: there is nothing to say"),
            ("say \x1b[2J", "INVALID_ARGUMENT: a text may not contain control characters"),
            ("say \u009b2J", "INVALID_ARGUMENT: a text may not contain control characters"),
            ("say " + "x" * 5000, "RESOURCE_EXHAUSTED"),
        ):
            with self.subTest(answer=answer):
                self.leave(self.member("ada", "join lobby", step, "expect-end " + answer))
        for room in ("!", "Lobby", "a/b", "x" * 33):
            with self.subTest(room=room):
                self.leave(self.member("ada", f"join {room}", "expect-end INVALID_ARGUMENT: a room's name"))
        ada = self.member("ada", "join lobby", "say " + "x" * 2000)
        ada.expect("ada: xxx")
        self.leave(ada)
        self.stop()

    def flood(self, text, count):
        """A member that says a lot, but never more at once than its own queue of 8 events could hold."""
        ada = self.member("ada")
        ada.send("join lobby", "expect you are ada")
        for first in range(0, count, 8):
            ada.send(*(f"say {text} {number}" for number in range(first, first + 8)))
            ada.expect(f"{text} {first + 7}")
        return ada

    def test_a_slow_member_misses_events_and_is_told_how_many(self):
        self.serve("--queue", "8")
        slow = self.member("carol", "join lobby", "expect you are carol", "stop-reading", flags=("--window", "65536"))
        slow.expect("you are carol")
        count = 400
        text = "x" * 1500
        ada = self.flood(text, count)
        # Ada heard all of it while carol took nothing: nobody waits for the slow one.
        self.assertEqual(sum(text in line for line in ada.lines), count)
        slow.send("read-on")
        slow.expect(f" {count - 1}")
        self.leave(ada)
        output = self.leave(slow)[0]
        missed = [int(number) for number in re.findall(r"you missed (\d+) event", output)]
        got = [int(number) for number in re.findall(r"x (\d+)$", output, re.MULTILINE)]
        self.assertGreater(sum(missed), 0)
        self.assertEqual(got, sorted(set(got)))
        # Everything is accounted for: ada's coming, what was said, and her leaving if it was still heard.
        events = len(got) + sum(missed) + output.count("ada joined")
        self.assertEqual(events, count + 1)
        self.stop()

    def test_a_slow_member_is_sent_away_if_that_is_the_policy(self):
        self.serve("--queue", "8", "--slow", "away")
        slow = self.member("carol", "join lobby", "expect you are carol", "stop-reading", flags=("--window", "65536"))
        slow.expect("you are carol")
        ada = self.flood("x" * 1500, 400)
        slow.send("read-on")
        slow.send("expect-end RESOURCE_EXHAUSTED: you read too slowly")
        ada.expect_ever("carol left")
        self.leave(slow, ada)
        self.assertIn("carol sent away", self.stop())

    def test_a_member_that_takes_nothing_at_all_is_cut_off(self):
        # The queue takes everything, so it is the connection that the server gives up.
        self.serve("--queue", "1000", "--slow", "away", "--stall-limit", "1")
        slow = self.member("carol", "join lobby", "expect you are carol", "stop-reading", flags=("--window", "65536"))
        slow.expect("you are carol")
        ada = self.flood("x" * 1500, 400)
        ada.expect_ever("carol left")
        self.leave(ada)
        slow.kill()
        self.assertIn("carol cut off from lobby: takes nothing", self.stop())

    def test_members_are_told_why_the_server_stops(self):
        self.serve()
        ada = self.member("ada", "join lobby")
        ada.expect("you are ada")
        # An idle member, and one that takes nothing and would hold the stop up.
        slow = self.member("carol", "join lobby", "expect you are carol", "stop-reading")
        slow.expect("you are carol")
        self.server.terminate()
        ada.expect("! the server stops; what was said is kept")
        ada.send("expect-end UNAVAILABLE: the server stops")
        self.leave(ada)
        slow.kill()
        self.server.finish()

    def test_a_pipe_is_a_member_too(self):
        self.serve()
        ada = self.member("ada", "join lobby")
        ada.expect("alone")
        pipe = self.start(CLIENT, "--server", self.target, "lobby", stdin=True, CHAT_TOKEN=TOKENS["bob"])
        pipe.send("from a pipe", "/nonsense", "/who")
        pipe.expect("there is no such command")
        pipe.expect("here are ada, bob")
        pipe.send("/join library", "now here")
        ada.expect("bob: from a pipe")
        ada.expect("bob left")
        pipe.expect("you are bob in #library, alone")
        pipe.send("the last line")
        pipe.end_input()
        self.assertIn("bob: the last line", pipe.finish())
        self.leave(ada)
        self.stop()

    def test_a_prompt_survives_what_comes_in(self):
        self.serve()
        keyboard, screen = pty.openpty()
        self.addCleanup(os.close, keyboard)
        person = subprocess.Popen(
            [CLIENT, "--server", self.target, "lobby"],
            stdin=screen,
            stdout=screen,
            stderr=screen,
            env={**os.environ, "CHAT_TOKEN": TOKENS["ada"], "TERM": "xterm"},
        )
        os.close(screen)
        self.addCleanup(person.wait)
        self.addCleanup(person.kill)
        seen = ""

        def see(text):
            nonlocal seen
            deadline = time.monotonic() + PATIENCE
            while text not in seen:
                ready, _, _ = select.select([keyboard], [], [], max(0, deadline - time.monotonic()))
                self.assertTrue(ready, f"{text!r} did not appear; seen: {seen!r}")
                seen += os.read(keyboard, 4096).decode()
            seen = seen[seen.index(text) + len(text) :]

        see("you are ada in #lobby, alone")
        os.write(keyboard, b"half a l")
        see("> half a l")
        bob = self.member("bob", "join lobby", "say interrupting you", "expect interrupting")
        see("interrupting you")
        see("> half a l")  # drawn again below what came in
        os.write(keyboard, b"\x7f\x7f line\x1b[D\x1b[D\x1b[D\x1b[DLONG \r")
        bob.expect("ada: half a LONG line")
        os.write(keyboard, b"/who\r")
        see("here are ada, bob")
        os.write(keyboard, b"\x03")
        bob.expect("ada left")
        self.leave(bob)
        self.assertEqual(person.wait(PATIENCE), 0)
        self.stop()


if __name__ == "__main__":
    unittest.main(argv=sys.argv[:1])
