"""The order in which a worker ends, and how long each part may take."""

import signal
import time
import unittest

from harness import TestCase, summary_of

GRACE = "DYN_WORKER_GRACEFUL_SHUTDOWN_TIMEOUT"
ENDLESS = {"items": 1_000_000_000, "delay_ms": 20}


class Shutdown(TestCase):
    def last_line(self, worker):
        return worker.stderr.text().splitlines()[-1]

    def assert_one_unfinished(self, worker, what):
        """What a worker that gave up said was left; other threads may log after that line."""
        text = worker.stderr.text()
        said = [line for line in text.splitlines() if "; unfinished: " in line]
        self.assertEqual(len(said), 1, text)
        self.assertEqual(said[0].count(what), 1, text)

    def test_a_thousand_running_streams_are_finished(self):
        cluster = self.cluster()
        worker = cluster.serve()
        call = cluster.start_call(
            {"items": 20, "delay_ms": 150}, "--count", "1000", "--concurrency", "1000"
        )
        call.stdout.wait_for('"i":0,', count=1000)
        self.assertTrue(call.running())
        asked = worker.terminate()
        self.assertEqual(call.wait(), 0, call.stderr.text())
        self.assertGreater(time.monotonic() - asked, 1, "they were not running any more")
        self.assertEqual(worker.wait(), 0, worker.stderr.text())
        summary = summary_of(call)
        self.assertEqual(summary["succeeded"], 1000)
        self.assertEqual(summary["items"], 20_000)
        self.assertNotIn("stopped", call.stdout.text())

    def test_who_is_leaving_is_off_line_at_once(self):
        cluster = self.cluster()
        worker = cluster.serve()
        call = cluster.start_call({"items": 20, "delay_ms": 100})
        call.stdout.wait_for('"i":0')
        worker.terminate()
        end = time.monotonic() + 1.5
        while cluster.ls() and time.monotonic() < end:
            pass
        self.assertEqual(cluster.ls(), [])
        self.assertTrue(call.running(), "the record goes before the requests are done")
        self.assert_ended(cluster.call({}, "--timeout", "0.2"), 3, "unavailable")
        self.assertEqual(call.wait(), 0)
        self.assertEqual(len(call.items()), 20)
        self.assertEqual(worker.wait(), 0)

    def test_stop_is_asked_at_08_of_the_grace_period(self):
        cluster = self.cluster()
        worker = cluster.serve(**{GRACE: "3"})
        calls = [cluster.start_call(ENDLESS) for _ in range(3)]
        for call in calls:
            call.stdout.wait_for('"i":0')
        asked = worker.terminate()
        for call in calls:
            self.assertEqual(call.wait(), 0, call.stderr.text())
            self.assertEqual(call.items()[-1]["stopped"], "shutdown")
        self.assertGreater(time.monotonic() - asked, 2.3)
        self.assertEqual(worker.wait(), 0)
        self.assertLess(time.monotonic() - asked, 3)
        self.assertIn("3 requests were asked to stop, 0 were killed", self.last_line(worker))
        text = worker.stderr.text()
        phases = ["unpublish: ", "finish: waiting for 3 requests", "stop: waiting for", "drain: ", "cut: ", "join: "]
        places = [text.index(phase) for phase in phases]
        self.assertEqual(places, sorted(places), text)

    def test_who_ignores_stop_is_killed_at_09(self):
        for name, request in {
            "waiting": ENDLESS | {"ignore_stop": True},
            "busy": {"items": 1_000_000_000, "ignore_stop": True},
        }.items():
            with self.subTest(name):
                cluster = self.cluster()
                worker = cluster.serve(**{GRACE: "5"})
                calls = [cluster.start_call(request) for _ in range(2)]
                for call in calls:
                    call.stdout.wait_for('"i":0')
                asked = worker.terminate()
                self.assertEqual(worker.wait(), 0, worker.stderr.text())
                took = time.monotonic() - asked
                self.assertGreater(took, 4.4)
                self.assertLess(took, 5.3)
                self.assertIn("2 requests were asked to stop, 2 were killed", self.last_line(worker))
                for call in calls:
                    # What a busy caller has not read yet may keep the error from leaving before the cut.
                    if name == "busy" and call.wait() == 1:
                        self.assert_ended(call, 1, "disconnected", "the process is ending")
                    else:
                        self.assert_ended(call, 3, "unavailable", "ended before the request did")

    def test_who_holds_its_loop_ends_the_process(self):
        cluster = self.cluster()
        worker = cluster.serve(**{GRACE: "2"})
        call = cluster.start_call({"items": 5, "delay_ms": 50, "hold_ms": 30_000})
        call.stdout.wait_for('"i":0')
        time.sleep(0.2)  # into the hold; before it, the worker would end politely and this test fail
        asked = worker.terminate()
        self.assertEqual(worker.wait(), 143, worker.stderr.text())
        took = time.monotonic() - asked
        self.assertGreater(took, 1.9)
        self.assertLess(took, 4)
        self.assert_one_unfinished(worker, "demo.backend.generate request")
        self.assert_ended(call, 1, "disconnected")

    def test_a_second_signal_ends_at_once(self):
        for second in (signal.SIGINT, signal.SIGTERM):
            with self.subTest(second):
                cluster = self.cluster()
                worker = cluster.serve()
                call = cluster.start_call(ENDLESS)
                call.stdout.wait_for('"i":0')
                worker.terminate()
                worker.stderr.wait_for("SIGTERM: ending within")
                time.sleep(0.2)  # what follows within 100 ms counts as the same signal
                again = worker.send(second)
                self.assertEqual(worker.wait(), 143)
                self.assertLess(time.monotonic() - again, 1.5)
                self.assert_one_unfinished(worker, "demo.backend.generate request")
                self.assert_ended(call, 1, "disconnected")

    def test_a_signal_that_comes_twice_at_once_is_one(self):
        # As timeout(1) sends it: to the process, then to its group.
        cluster = self.cluster()
        worker = cluster.serve()
        call = cluster.start_call({"items": 5, "delay_ms": 150})
        call.stdout.wait_for('"i":0')
        worker.terminate()
        worker.terminate()
        self.assertEqual(worker.wait(), 0, worker.stderr.text())
        self.assertEqual(call.wait(), 0)
        self.assertEqual(len(call.items()), 5)

    def test_who_reads_slowly_gets_everything(self):
        # The handler is done, its last items wait for a caller that does not read: they are not cut off.
        cluster = self.cluster()
        worker = cluster.serve()
        call = cluster.start_call({"items": 8, "size": 200_000}, read_stdout=False)
        time.sleep(0.5)  # until nothing moves any more
        worker.terminate()
        worker.stderr.wait_for("SIGTERM: ending within")
        time.sleep(0.3)
        lines = call.process.stdout.read().splitlines()
        call.process.stdout.close()
        self.assertEqual([len(line) for line in lines], [200_000] * 8)
        self.assertEqual(call.wait(), 0, call.stderr.text())
        self.assertEqual(worker.wait(), 0, worker.stderr.text())

    def test_an_idle_worker_leaves_at_once(self):
        for number in (signal.SIGINT, signal.SIGTERM):
            with self.subTest(number):
                cluster = self.cluster()
                worker = cluster.serve(instances=3)
                asked = worker.send(number)
                self.assertEqual(worker.wait(), 0, worker.stderr.text())
                self.assertLess(time.monotonic() - asked, 1.5)
                self.assertEqual(cluster.ls(), [])

    def test_a_dead_store_delays_nothing(self):
        # The folder cannot be used any more: the record is given up, the rest goes its way.
        cluster = self.cluster()
        worker = cluster.serve(**{GRACE: "6"})
        cluster.kv.rename(cluster.kv.with_name("moved"))
        cluster.kv.write_text("no folder")
        asked = worker.terminate()
        self.assertEqual(worker.wait(), 0, worker.stderr.text())
        self.assertLess(time.monotonic() - asked, 5)


if __name__ == "__main__":
    unittest.main()
