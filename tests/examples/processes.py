"""Starts servers and clients, and waits for what they print."""

import os
import queue
import subprocess
import threading
import time

PATIENCE = 90  # seconds; a limit for what hangs, never a time that a test waits for


class Process:
    """A running program whose output, of both kinds, is read line by line as it comes."""

    def __init__(self, *command, stdin=False, **environment):
        self.name = os.path.basename(str(command[0]))
        self.lines = []
        self._new = queue.Queue()
        self._process = subprocess.Popen(
            [str(part) for part in command],
            stdin=subprocess.PIPE if stdin else subprocess.DEVNULL,
            stdout=subprocess.PIPE,
            stderr=subprocess.STDOUT,
            env={**os.environ, **environment},
            text=True,
            encoding="utf-8",
            errors="replace",
            bufsize=1,
        )
        self._reader = threading.Thread(target=self._read, daemon=True)
        self._reader.start()

    def _read(self):
        for line in self._process.stdout:
            self._new.put(line.rstrip("\n"))
        self._new.put(None)

    @property
    def pid(self):
        return self._process.pid

    def expect(self, text):
        """Waits for the next line with this text, and gives it."""
        deadline = time.monotonic() + PATIENCE
        while True:
            try:
                line = self._new.get(timeout=max(0, deadline - time.monotonic()))
            except queue.Empty:
                raise AssertionError(f"{self.name} did not print {text!r} in time; it printed:\n{self.excerpt()}")
            if line is None:
                self._new.put(None)
                raise AssertionError(f"{self.name} ended without printing {text!r}; it printed:\n{self.excerpt()}")
            self.lines.append(line)
            if text in line:
                return line

    def expect_ever(self, text):
        """As expect, but content with a line that came before."""
        return next((line for line in self.lines if text in line), None) or self.expect(text)

    def port(self):
        return int(self.expect("listening on port ").rsplit(" ", 1)[1])

    def send(self, *lines):
        for line in lines:
            self._process.stdin.write(line + "\n")
        self._process.stdin.flush()

    def end_input(self):
        self._process.stdin.close()

    def terminate(self):
        self._process.terminate()

    def kill(self):
        """As kill -9 does."""
        self._process.kill()

    def finish(self, code=0):
        """Waits for the end, checks the exit code, and gives everything that was printed."""
        try:
            ended = self._process.wait(PATIENCE)
        except subprocess.TimeoutExpired:
            self.kill()
            raise AssertionError(f"{self.name} did not end; it printed:\n{self.excerpt()}")
        self._reader.join(PATIENCE)
        if ended != code:
            raise AssertionError(f"{self.name} ended with {ended}, not {code}; it printed:\n{self.excerpt()}")
        return self.output()

    def output(self):
        while not self._new.empty():
            line = self._new.get()
            if line is None:
                self._new.put(None)
                break
            self.lines.append(line)
        return "\n".join(self.lines)

    def excerpt(self):
        """The output for a person who looks for a mistake."""
        self.output()
        return "\n".join(line if len(line) < 120 else line[:60] + " ... " + line[-60:] for line in self.lines[-8:])

    def close(self):
        """Ends it whatever it does."""
        if self._process.poll() is None:
            self._process.kill()
            self._process.wait()
        self._reader.join(PATIENCE)
        for stream in (self._process.stdin, self._process.stdout):
            if stream is not None:
                try:
                    stream.close()
                except BrokenPipeError:
                    pass
