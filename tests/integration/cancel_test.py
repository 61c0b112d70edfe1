"""What the end of a caller does to the handler that works for it."""

import os
import pathlib
import statistics
import time
import unittest

from harness import TestCase, summary_of

HOP = pathlib.Path(os.environ["STATOR_HOP"])


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

    def through_three_hops(self, end):
        """How long after `end(call)`, which says when it was, the last of three handlers was over."""
        cluster = self.cluster()
        worker = cluster.serve("hops.last.generate")
        for name, following in (("middle", "last"), ("first", "middle")):
            hop = cluster.start(f"hops.{name}.generate", f"hops.{following}.generate", program=HOP)
            hop.stderr.wait_for("^ready")
        delays = []
        for round_number in range(1, 6):
            call = cluster.start_call({"items": 10_000, "delay_ms": 20}, endpoint="hops.first.generate")
            call.stdout.wait_for('"i":2,')
            at = end(call)
            ended = worker.stderr.wait_for(r"diagnostic request \S+ killed after \d+ items", count=round_number)
            delays.append(ended.at - at)
            call.wait()
        # The machine may be busy with other tests: the usual case counts.
        self.assertLess(statistics.median(delays), 0.1, delays)

    def test_a_killed_caller_ends_the_last_of_three_handlers_within_100_ms(self):
        self.through_three_hops(lambda call: call.kill())

    def test_ctrl_c_ends_the_last_of_three_handlers_within_100_ms(self):
        self.through_three_hops(lambda call: call.interrupt())

    def test_a_first_hop_that_is_killed_ends_the_last_of_three_handlers_within_100_ms(self):
        cluster = self.cluster()
        worker = cluster.serve("hops.last.generate")
        middle = cluster.start("hops.middle.generate", "hops.last.generate", program=HOP)
        middle.stderr.wait_for("^ready")
        delays = []
        for round_number in range(1, 6):
            first = cluster.start(f"hops.first{round_number}.generate", "hops.middle.generate", program=HOP)
            first.stderr.wait_for("^ready")
            call = cluster.start_call(
                {"items": 10_000, "delay_ms": 20}, endpoint=f"hops.first{round_number}.generate"
            )
            call.stdout.wait_for('"i":2,')
            killed = first.kill()
            ended = worker.stderr.wait_for(r"diagnostic request \S+ killed after \d+ items", count=round_number)
            delays.append(ended.at - killed)
            self.assertNotEqual(call.wait(), 0)
        self.assertLess(statistics.median(delays), 0.1, delays)


if __name__ == "__main__":
    unittest.main()
