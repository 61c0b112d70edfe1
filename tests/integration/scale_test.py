"""Very many calls at once cost neither connections nor much memory."""

import unittest

from harness import TestCase, descriptors, memory_kib, summary_of

CALLS = 100_000


class Scale(TestCase):
    def run_calls(self, threads, most_connections):
        cluster = self.cluster(DYN_RUNTIME_NUM_WORKER_THREADS=str(threads))
        worker = cluster.serve()
        idle, before = descriptors(worker), memory_kib(worker, "VmHWM")
        # The first items come at once, the second ones when all have begun.
        call = cluster.start_call(
            {"items": 2, "delay_ms": 3000}, "--count", str(CALLS), "--concurrency", str(CALLS), "--timeout", "60"
        )
        call.stdout.wait_for('"i":0,', count=CALLS, timeout=60)
        self.assertLessEqual(descriptors(worker) - idle, most_connections)
        self.assertEqual(call.wait(60), 0, call.stderr.text())
        summary = summary_of(call)
        self.assertEqual(summary["succeeded"], CALLS)
        self.assertEqual(summary["items"], 2 * CALLS)
        # A call that is served: its stream, its context, its handler.
        self.assertLess((memory_kib(worker, "VmHWM") - before) / CALLS, 6, "KiB for a call")
        worker.terminate()
        self.assertEqual(worker.wait(), 0, worker.stderr.text())

    def test_a_hundred_thousand_streams_on_one_connection(self):
        self.run_calls(threads=1, most_connections=1)

    def test_a_hundred_thousand_requests_over_few_connections(self):
        self.run_calls(threads=2, most_connections=8)


if __name__ == "__main__":
    unittest.main()
