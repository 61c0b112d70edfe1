"""Runs the real `stator` with a discovery folder of its own; waits for conditions, each with a bound."""

import collections
import contextlib
import http.client
import json
import os
import pathlib
import re
import signal
import subprocess
import tempfile
import threading
import time
import unittest

STATOR = os.environ["STATOR"]
# Sanitizers make everything slower; what a test measures is not changed by it, only how long it waits.
PATIENCE = float(os.environ.get("STATOR_TEST_PATIENCE", "20"))

Line = collections.namedtuple("Line", "text at")


class Output:
    """The lines of a pipe as they come in, with the time of each."""

    def __init__(self, pipe):
        self.lines = []
        self.closed = False
        self._changed = threading.Condition()
        self._pipe = pipe
        self._thread = threading.Thread(target=self._read, daemon=True)
        self._thread.start()

    def _read(self):
        with self._pipe:
            for raw in self._pipe:
                with self._changed:
                    self.lines.append(Line(raw.decode(errors="replace").rstrip("\n"), time.monotonic()))
                    self._changed.notify_all()
        with self._changed:
            self.closed = True
            self._changed.notify_all()

    def wait_until(self, condition, what, timeout=PATIENCE):
        """The first true value of condition(lines)."""
        end = time.monotonic() + timeout
        with self._changed:
            while True:
                value = condition(self.lines)
                if value:
                    return value
                left = end - time.monotonic()
                if left <= 0 or self.closed:
                    why = "ended without" if self.closed else f"no sign in {timeout} s of"
                    tail = "\n".join(line.text for line in self.lines[-20:])
                    raise AssertionError(f"{why} {what}; the last lines:\n{tail}")
                self._changed.wait(left)

    def wait_for(self, pattern, count=1, timeout=PATIENCE):
        """The count-th line that matches, as a Line."""

        def find(lines):
            found = (line for line in lines if re.search(pattern, line.text))
            return next((line for number, line in enumerate(found, 1) if number == count), None)

        return self.wait_until(find, f"{count} x {pattern!r}", timeout)

    def text(self):
        self._thread.join(PATIENCE)
        return "".join(f"{line.text}\n" for line in self.lines)


class Program:
    """A running `stator`. Everything it writes is read at once, unless read_stdout is false."""

    def __init__(self, arguments, environment, stdin=None, read_stdout=True, program=STATOR, stdin_from=None):
        self.arguments = arguments
        self.started = time.monotonic()
        self.process = subprocess.Popen(
            [program, *arguments],
            env=environment,
            stdin=subprocess.PIPE if stdin is not None else stdin_from or subprocess.DEVNULL,
            stdout=subprocess.PIPE,
            stderr=subprocess.PIPE,
        )
        self.stdout = Output(self.process.stdout) if read_stdout else None
        self.stderr = Output(self.process.stderr)
        if stdin is not None:
            threading.Thread(target=self._feed, args=(stdin,), daemon=True).start()

    def _feed(self, stdin):
        with contextlib.suppress(BrokenPipeError), self.process.stdin as pipe:
            pipe.write(stdin)

    def send(self, number):
        """Sends a signal; the time at which that was done."""
        now = time.monotonic()
        self.process.send_signal(number)
        return now

    def interrupt(self):
        return self.send(signal.SIGINT)

    def terminate(self):
        return self.send(signal.SIGTERM)

    def kill(self):
        return self.send(signal.SIGKILL)

    def running(self):
        return self.process.poll() is None

    def wait(self, timeout=PATIENCE):
        """The exit status; 143 if SIGTERM ended it."""
        try:
            code = self.process.wait(timeout)
        except subprocess.TimeoutExpired:
            raise AssertionError(
                f"stator {' '.join(self.arguments)} still runs after {timeout} s:\n{self.stderr_tail()}"
            ) from None
        return 128 - code if code < 0 else code

    def stderr_tail(self):
        return "\n".join(line.text for line in self.stderr.lines[-20:])

    def items(self):
        """What `call` printed."""
        return [json.loads(line) for line in self.stdout.text().splitlines()]

    def error(self):
        """The last line on stderr, which must be an error."""
        lines = self.stderr.text().splitlines()
        if not lines:
            raise AssertionError("nothing on stderr")
        return json.loads(lines[-1])["error"]

    def status_port(self):
        """Of its status server, once it listens."""
        return int(self.stderr.wait_for(r"status server at \S+:\d+").text.rsplit(":", 1)[1])

    def ask(self, path, method="GET", body=None):
        """(status, text) of its status server."""
        connection = http.client.HTTPConnection("127.0.0.1", self.status_port(), timeout=PATIENCE)
        try:
            connection.request(method, path, body)
            answer = connection.getresponse()
            return answer.status, answer.read().decode()
        finally:
            connection.close()

    def instance_ids(self):
        """Of `serve`: the ids in its ready lines so far."""
        found = (re.fullmatch(r"ready \S+ ([0-9a-f]+)", line.text) for line in self.stderr.lines)
        return [match[1] for match in found if match]


class Cluster:
    """A discovery folder, and the programs that use it; both end with it."""

    def __init__(self, **settings):
        self._folder = tempfile.TemporaryDirectory(prefix="stator-test-")
        root = pathlib.Path(self._folder.name)
        self.kv = root / "kv"
        self.config_root = root / "config"
        (self.config_root / "etc").mkdir(parents=True)
        self.environment = {
            name: value for name, value in os.environ.items() if not name.startswith(("DYN_", "ETCD_", "NATS_"))
        }
        self.environment |= {"DYN_FILE_KV": str(self.kv), "DYN_CONFIG_ROOT": str(self.config_root), **settings}
        self._programs = []

    def __enter__(self):
        return self

    def __exit__(self, *_):
        for program in self._programs:
            if program.running():
                program.kill()
        for program in self._programs:
            program.process.wait()
            program.stderr.text()
        self._folder.cleanup()

    def start(self, *arguments, stdin=None, read_stdout=True, program=STATOR, stdin_from=None, **settings):
        started = Program(arguments, self.environment | settings, stdin, read_stdout, program, stdin_from)
        self._programs.append(started)
        return started

    def serve(self, endpoint="demo.backend.generate", *options, instances=1, **settings):
        """A worker whose instances are all ready."""
        extra = ("--instances", str(instances)) if instances > 1 else ()
        worker = self.start("serve", endpoint, *options, *extra, **settings)
        worker.stderr.wait_for(r"^ready ", count=instances)
        return worker

    def start_call(self, request, *options, endpoint="demo.backend.generate", read_stdout=True, **settings):
        text = request if isinstance(request, str) else json.dumps(request)
        return self.start("call", endpoint, text, *options, read_stdout=read_stdout, **settings)

    def run(self, *arguments, timeout=PATIENCE, **settings):
        """A program that has ended; its status is in `status`."""
        program = self.start(*arguments, **settings)
        program.status = program.wait(timeout)
        return program

    def call(self, request, *options, timeout=PATIENCE, **settings):
        program = self.start_call(request, *options, **settings)
        program.status = program.wait(timeout)
        return program

    def ls(self):
        listed = self.run("ls", "--json")
        if listed.status != 0:
            raise AssertionError(f"ls: {listed.stderr.text()}")
        return json.loads(listed.stdout.text())


class TestCase(unittest.TestCase):
    maxDiff = None

    def cluster(self, **settings):
        cluster = Cluster(**settings)
        self.addCleanup(cluster.__exit__)
        return cluster

    def wait_until(self, condition, what, timeout=PATIENCE):
        end = time.monotonic() + timeout
        while not condition():
            self.assertLess(time.monotonic(), end, what)
            time.sleep(0.02)

    def metric(self, worker, name):
        """Its value as the worker prints it at SIGUSR1; it must have counted something."""
        before = len(worker.stderr.lines)
        worker.send(signal.SIGUSR1)
        pattern = re.compile(rf"^{name} (\S+)$")

        def find(lines):
            found = (pattern.match(line.text) for line in lines[before:])
            return next(([match[1]] for match in found if match), None)

        return float(worker.stderr.wait_until(find, name)[0])

    def assert_ended(self, program, status, code=None, says=""):
        """It ended with that status and, if it failed, with an error of that class as its last line."""
        self.assertEqual(program.wait(), status, program.stderr.text())
        if code is None:
            return None
        error = program.error()
        self.assertEqual(error["code"], code, error)
        self.assertIn(says, json.dumps(error, ensure_ascii=False))
        return error


def memory_kib(program, field="VmRSS"):
    """What a running program has in memory; VmHWM: the most it ever had."""
    status = pathlib.Path(f"/proc/{program.process.pid}/status").read_text()
    return int(re.search(rf"^{field}:\s+(\d+) kB$", status, re.MULTILINE)[1])


def descriptors(program):
    return len(os.listdir(f"/proc/{program.process.pid}/fd"))


def summary_of(program):
    """The lines of a call's summary, by their first word; of `worker` {id: requests}."""
    parts = {"worker": {}}
    for line in program.stderr.text().splitlines():
        match = re.fullmatch(r"worker   ([0-9a-f]+) (\d+) \(.*\)", line)
        if match:
            parts["worker"][match[1]] = int(match[2])
        elif match := re.fullmatch(r"requests (\d+) \((\d+) succeeded\) in .*", line):
            parts["requests"], parts["succeeded"] = int(match[1]), int(match[2])
        elif match := re.fullmatch(r"items    (\d+)", line):
            parts["items"] = int(match[1])
        elif match := re.fullmatch(r"errors   (.*)", line):
            pairs = (pair.split() for pair in match[1].split(", ") if pair != "none")
            parts["errors"] = {code: int(count) for code, count in pairs}
        elif line.startswith("latency  "):
            parts["latency"] = line
    return parts
