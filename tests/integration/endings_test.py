"""How a worker ends, as a table: in each phase of the end, each thing that may happen in it.

A case holds the worker in one phase (see HOLDS) and then lets something happen (see Case.happens). Expected are its exit
status, the phases in their order, that nothing is lost that was promised, and an end within the deadline.
"""

import concurrent.futures
import contextlib
import fcntl
import os
import re
import signal
import socket
import threading
import time
import unittest

import raw_dynamo
from harness import Cluster, TestCase

EP = "demo.backend.generate"
ENDING_WORKER = os.environ.get("STATOR_ENDING_WORKER", "")
GRACE = 5.0
# A machine that has other things to do; the deadline's own bound is a tenth of it.
SLACK = 1.5
HOLD = 0.6  # seconds, where a hold ends by itself
LARGE = 3_000_000  # bytes: more than a call may send unasked
ENDLESS = {"items": 1_000_000_000, "delay_ms": 20}
HOLDING = {"items": 5, "delay_ms": 20, "hold_ms": 60_000}  # a loop
PHASES = ("unpublish", "settle", "finish", "stop", "kill", "drain", "cut", "join")
# An endpoint has its phases beside those of the process.
OF_ENDPOINT, OF_PROCESS = PHASES[:5], PHASES[5:]
HELD_BY = {
    "nothing": "",
    "unpublish": "somebody holds the lock of the folder that has the record",
    "settle": "a connection of Dynamo's plane is open, whose client learns of the end by the record only",
    "finish": "a request that takes a while",
    "stop": "a request that ends when it is asked to",
    "kill": "a request that does not",
    "drain": "a callback of the application's",
    "cut": "a caller that has not taken its answer yet",
    "join": "a thread that is blocked",
}


class Case:
    """One worker, held in a phase, to which something happens."""

    def __init__(self, phase, happens="nothing", app="waits"):
        self.phase, self.happens, self.app = phase, happens, app
        self.name = f"{phase}, {happens}, the application {app}"
        self.problems = []
        self._undo = contextlib.ExitStack()

    def check(self, holds, what):
        if not holds:
            self.problems.append(what)

    def run(self):
        with self._undo:
            try:
                self._run()
            except Exception as error:  # of any kind: it belongs to this case, the others go on
                self.problems.append(f"{type(error).__name__}: {error}")
        return self

    def _run(self):
        self.stuck = self.happens == "it is stuck"
        self.cluster = self._undo.enter_context(Cluster())
        self._start()
        self._hold()
        asked = self._ask()
        self._happen()
        status = self.worker.wait(GRACE * 2 + 10)
        took = time.monotonic() - asked
        self._release.set()
        self.text = self.worker.stderr.text()
        self._check_status(status, took)
        self._check_phases()
        self._check_promises(status)

    def _start(self):
        time_held = int(1000 * (60 if self.stuck or self.happens == "a second signal" else HOLD))
        drain = time_held if self.phase == "drain" else 0
        job = time_held if self.phase == "join" else 0
        self.stdin, theirs = os.pipe()[::-1]
        self._undo.callback(self._close_stdin)
        settings = {
            "DYN_WORKER_GRACEFUL_SHUTDOWN_TIMEOUT": str(GRACE),
            "DYN_WORKER_SETTLE_TIME": str(HOLD),
            "DYN_RUNTIME_NUM_WORKER_THREADS": "2",
            # Who ends by itself says it quietly.
            "DYN_LOG": "info,stator::worker=debug",
        }
        self.worker = self.cluster.start(
            EP, self.app, str(drain), str(job), program=ENDING_WORKER, stdin_from=theirs, **settings
        )
        os.close(theirs)
        self.worker.stderr.wait_for("^ready")

    def _close_stdin(self):
        if self.stdin is not None:
            os.close(self.stdin)
            self.stdin = None

    def _hold(self):
        self.call = None
        self._release = threading.Event()
        self._undo.callback(self._release.set)
        if self.phase == "unpublish":
            folder = os.open(self.cluster.kv / "v1" / "instances", os.O_RDONLY)
            self._undo.callback(os.close, folder)
            fcntl.flock(folder, fcntl.LOCK_EX)
            if not self.stuck:
                self.unlock = lambda: fcntl.flock(folder, fcntl.LOCK_UN)
        elif self.phase == "settle":
            address = next(each["transports"]["tcp"] for each in self.cluster.ls()).split("/")[0]
            host, port = address.rsplit(":", 1)
            connection = socket.create_connection((host, int(port)))
            self._undo.callback(connection.close)
            # Its first request makes it one of Dynamo's.
            connection.sendall(raw_dynamo.request("nobody/at/all", "127.0.0.1:1"))
            connection.recv(1)
        elif self.phase == "cut":
            # Its handler ends, and the second item waits for the credit of a caller that stands still.
            self.call = self.cluster.start_call({"items": 2, "size": LARGE, "delay_ms": 300})
            self.call.stdout.wait_for('"i":0')
            self.call.send(signal.SIGSTOP)
            self._undo.callback(self.call.send, signal.SIGCONT)
            time.sleep(0.6)
        elif self.phase in ("finish", "stop", "kill"):
            request = {
                "finish": {"items": int(HOLD / 0.02) + 1, "delay_ms": 20},
                "stop": ENDLESS,
                "kill": ENDLESS | {"ignore_stop": True},
            }[self.phase]
            if self.happens == "a second signal":
                # It must not be over before that comes.
                request = {"finish": ENDLESS, "stop": ENDLESS | {"ignore_stop": True}, "kill": HOLDING}[self.phase]
            if self.stuck:
                request = HOLDING
            self.call = self.cluster.start_call(request)
            self.call.stdout.wait_for('"i":0')
            if request is HOLDING:
                time.sleep(0.3)  # into the hold

    def _ask(self):
        now = time.monotonic()
        if self.app == "waits":
            self.worker.terminate()
        else:
            self._close_stdin()
        return now

    def _happen(self):
        seen = {"nothing": "join"}.get(self.phase, self.phase)
        if not self.stuck or self.phase in ("unpublish", "drain", "join"):
            with contextlib.suppress(AssertionError):
                self.worker.stderr.wait_for(rf"\b{seen}: waiting for")
        if self.happens == "the store is gone":
            self.cluster.kv.rename(self.cluster.kv.with_name("moved"))
            self.cluster.kv.write_text("no folder")
        elif self.happens == "a second signal":
            time.sleep(0.15)  # what follows within 100 ms counts as the same
            self.second = time.monotonic()
            self.worker.send(signal.SIGINT)
            if self.app != "waits":
                self.worker.stderr.wait_for("ending within")
                time.sleep(0.15)
                self.second = time.monotonic()
                self.worker.send(signal.SIGINT)
        if self.happens == "a second signal":
            return
        if self.phase == "unpublish" and not self.stuck:
            time.sleep(HOLD)
            self.unlock()
        if self.phase == "cut" and not self.stuck:
            time.sleep(HOLD)
            still = not any("join: waiting" in line.text for line in self.worker.stderr.lines)
            self.check(still, "nothing held it")
            self.call.send(signal.SIGCONT)

    def _check_status(self, status, took):
        # What holds a loop, or a thread that is never given back, cannot be ended.
        never = self.stuck and self.phase in ("finish", "stop", "kill", "drain", "join")
        if self.happens == "a second signal":
            self.check(status == 143, f"exit status {status}, not 143")
            self.check(time.monotonic() - self.second < 1 + SLACK, "it did not end at once")
        elif never:
            self.check(status == 143, f"exit status {status}, not 143")
            self.check("the grace period has run out; unfinished: " in self.text, "no last words")
            self.check(took >= GRACE - 0.1, f"it gave up after {took:.2f} s")
        else:
            expected = 1 if self.app == "throws" else 0
            self.check(status == expected, f"exit status {status}, not {expected}")
            thrown = re.search("the application failed: .*thrown on purpose", self.text) is not None
            self.check(thrown == (self.app == "throws"), "the application's error")
        self.check(took <= GRACE * 1.1 + SLACK, f"it took {took:.2f} s")

    def _check_phases(self):
        seen = re.findall(rf"\b({'|'.join(PHASES)}): waiting for", self.text)
        for part in (OF_ENDPOINT, OF_PROCESS):
            order = [part.index(phase) for phase in seen if phase in part]
            self.check(order == sorted(set(order)), f"phases {seen}")
        ended_early = self.happens == "a second signal" or self.stuck
        if self.phase != "nothing" and not self.stuck:
            self.check(self.phase in seen, f"phases {seen}")
        if not ended_early:
            self.check(list(OF_PROCESS) == [phase for phase in seen if phase in OF_PROCESS], f"phases {seen}")
            self.check("unpublish" in seen, f"phases {seen}")
        skipped = {"settle", "finish", "stop", "kill"} - {self.phase}
        if self.phase == "kill":
            skipped -= {"finish", "stop"}
        elif self.phase == "stop":
            skipped -= {"finish"}
        if not self.stuck:
            self.check(not skipped & set(seen), f"phases {seen}, with nothing to wait for")

    def _check_promises(self, status):
        if self.call is None or self.stuck or self.happens == "a second signal":
            return
        if self.phase == "cut":
            sizes = [len(line) for line in self.call.stdout.text().splitlines()]
            self.check(sizes == [LARGE] * 2, f"the answer was cut off: {sizes}")
        ended = self.call.wait()
        if self.phase == "kill":
            error = self.call.error()
            self.check((ended, error["code"]) == (3, "unavailable"), f"the call ended with {ended}, {error}")
        else:
            self.check(ended == 0, f"the call ended with {ended}: {self.call.stderr_tail()}")
        if self.phase == "finish":
            self.check(len(self.call.items()) == int(HOLD / 0.02) + 1, "items are missing")
        if self.phase == "stop":
            self.check(self.call.items()[-1].get("stopped") == "shutdown", "it was not asked to stop")


def cases():
    for phase in HELD_BY:
        for app in ("waits", "returns", "throws"):
            yield Case(phase, app=app)
        yield Case(phase, "the store is gone")
        if phase != "nothing":
            yield Case(phase, "a second signal")
        if phase not in ("nothing", "settle"):
            yield Case(phase, "it is stuck")
    yield Case("finish", "a second signal", app="returns")


class Endings(TestCase):
    def test_every_phase_whatever_happens(self):
        only = os.environ.get("ENDINGS_ONLY", "")
        wanted = [case for case in cases() if only in case.name]
        with concurrent.futures.ThreadPoolExecutor(max_workers=6) as pool:
            for case in pool.map(Case.run, wanted):
                with self.subTest(case.name):
                    self.assertEqual(case.problems, [], getattr(case, "text", ""))


class Beginnings(TestCase):
    """A signal while the worker starts: it ends as if it had not begun."""

    def worker(self, cluster):
        return cluster.start(EP, "waits", "0", "0", program=ENDING_WORKER)

    def test_while_the_settings_are_read(self):
        for delay in (0, 0.005, 0.01, 0.02, 0.04, 0.08):
            with self.subTest(delay):
                cluster = self.cluster()
                worker = self.worker(cluster)
                time.sleep(delay)
                asked = worker.terminate()
                # Before it has taken its signals over, it ends as every program does: by the signal.
                self.assertIn(worker.wait(), (0, 143), worker.stderr.text())
                self.assertLess(time.monotonic() - asked, 1 + SLACK)
                self.assertEqual(cluster.ls(), [])

    def test_while_the_store_does_not_answer(self):
        cluster = self.cluster()
        (cluster.kv / "v1" / "instances").mkdir(parents=True)
        folder = os.open(cluster.kv / "v1" / "instances", os.O_RDONLY)
        self.addCleanup(os.close, folder)
        fcntl.flock(folder, fcntl.LOCK_EX)
        worker = self.worker(cluster)
        with self.assertRaises(AssertionError):
            worker.stderr.wait_for("^ready", timeout=0.7)
        asked = worker.terminate()
        self.assertEqual(worker.wait(), 0, worker.stderr.text())
        self.assertLess(time.monotonic() - asked, 3 + SLACK)
        self.assertNotIn("ready\n", worker.stderr.text())


if __name__ == "__main__":
    unittest.main()
