"""What the end of a caller does to the handler that works for it."""

import statistics
import time
import unittest

from harness import TestCase, summary_of


class Cancel(TestCase):
    def test_ctrl_c_stops_the_handler_within_100_ms(self):
        cluster = self.cluster()
        worker = cluster.serve()
        delays = []
        for round_number in range(1, 6):
            call = cluster.start_call({"items": 10_000, "delay_ms": 20})
            call.stdout.wait_for('"i":2,')
            asked = call.interrupt()
            ended = worker.stderr.wait_for(r"diagnostic request \S+ killed after \d+ items", count=round_number)
            delays.append(ended.at - asked)
            self.assert_ended(call, 6, "cancelled")
        # The machine may be busy with other tests: the usual case counts.
        self.assertLess(statistics.median(delays), 0.1, delays)

    def test_ctrl_c_reaches_every_handler_of_a_run(self):
        cluster = self.cluster()
        worker = cluster.serve()
        call = cluster.start_call(
            {"items": 10_000, "delay_ms": 20}, "--count", "1000", "--concurrency", "40"
        )
        call.stdout.wait_for('"i":2,', count=40)
        call.interrupt()
        worker.stderr.wait_for(r"diagnostic request \S+ killed after \d+ items", count=40)
        self.assert_ended(call, 6, "cancelled")
        summary = summary_of(call)
        self.assertEqual(summary["requests"], 40, "none begins after Ctrl-C")
        self.assertEqual(summary["errors"], {"cancelled": 40})

    def test_a_reader_that_goes_away_cancels(self):
        cluster = self.cluster()
        worker = cluster.serve()
        call = cluster.start_call({"items": 10_000, "delay_ms": 5}, read_stdout=False)
        self.assertIn(b'"i":0', call.process.stdout.readline())
        call.process.stdout.close()
        self.assert_ended(call, 6, "cancelled", "Broken pipe")
        worker.stderr.wait_for(r"diagnostic request \S+ killed after \d+ items")

    def test_ctrl_c_while_nobody_reads(self):
        cluster = self.cluster()
        worker = cluster.serve()
        call = cluster.start_call({"items": 1_000_000_000, "size": 1000}, read_stdout=False)
        call.process.stdout.readline()
        # Everything between the two is full once the handler waits: ask it a moment after that.
        time.sleep(0.5)
        asked = call.interrupt()
        worker.stderr.wait_for(r"diagnostic request \S+ killed after \d+ items", timeout=5)
        self.assert_ended(call, 6, "cancelled")
        self.assertLess(time.monotonic() - asked, 5)
        call.process.stdout.close()

    def test_a_caller_that_is_killed_leaves_no_handler(self):
        cluster = self.cluster()
        worker = cluster.serve()
        call = cluster.start_call({"items": 10_000, "delay_ms": 20})
        call.stdout.wait_for('"i":0')
        killed = call.kill()
        ended = worker.stderr.wait_for(r"diagnostic request \S+ killed after \d+ items \(peer_gone\)")
        self.assertLess(ended.at - killed, 1)


if __name__ == "__main__":
    unittest.main()
