"""stator bench against a real worker: its figures must be of what was done, on both sides."""

import json
import time
import unittest

from harness import TestCase

EP = "demo.backend.generate"
SHORT = ("--duration", "0.5", "--warmup", "0.1")


class Bench(TestCase):
    def setUp(self):
        self.the_cluster = self.cluster()

    def bench(self, *options, status=0, endpoint=EP):
        run = self.the_cluster.run("bench", endpoint, "--json", *SHORT, *options)
        self.assertEqual(run.status, status, run.stderr.text())
        lines = run.stdout.text().splitlines()
        self.assertEqual(len(lines), 1, lines)
        run.figures = json.loads(lines[0])
        return run

    def assert_rising(self, latency):
        self.assertEqual(list(latency), ["p50", "p90", "p99", "p999", "max"])
        values = list(latency.values())
        self.assertEqual(values, sorted(values))
        self.assertGreater(values[0], 0)

    def test_unary(self):
        worker = self.the_cluster.serve()
        figures = self.bench("--concurrency", "4").figures
        self.assertGreater(figures["requests"], 0)
        self.assertEqual(figures["items"], figures["requests"])
        rate = figures["requests"] / figures["seconds"]
        self.assertAlmostEqual(figures["requests_per_s"], rate, delta=rate / 100)
        self.assertAlmostEqual(figures["seconds"], 0.5, delta=0.1)
        self.assertGreater(figures["bytes_received_per_s"], 0)
        self.assertEqual(figures["errors"], {})
        self.assert_rising(figures["latency_us"])
        (identity,) = worker.instance_ids()
        self.assertEqual(figures["workers"], [{"instance_id": identity, "pid": worker.process.pid}])
        self.assertGreater(figures["cpu_client_us_per_op"], 0)
        self.assertGreater(figures["cpu_workers_us_per_op"], 0)
        for absent in ("rate", "tail_latency_us", "added_delay_us", "unstarted"):
            self.assertIsNone(figures[absent], absent)

    def test_stream_and_instances_of_one_process(self):
        worker = self.the_cluster.serve(instances=2)
        figures = self.bench("--workload", "stream", "--items", "10", "--concurrency", "4").figures
        self.assertGreater(figures["items"], 5 * figures["requests"])
        self.assertEqual({each["pid"] for each in figures["workers"]}, {worker.process.pid})
        self.assertEqual(figures["operation"], "item")
        direct = self.bench("--instance", worker.instance_ids()[1]).figures
        self.assertEqual([each["instance_id"] for each in direct["workers"]], [worker.instance_ids()[1]])

    def test_paced(self):
        self.the_cluster.serve()
        options = ("--workload", "paced", "--items", "10", "--pace-ms", "10", "--concurrency", "8")
        figures = self.bench(*options).figures
        self.assert_rising(figures["added_delay_us"])
        # Ten items, the last of them due after 100 ms.
        self.assertGreaterEqual(figures["latency_us"]["p50"], 99_000)
        self.assertLess(figures["items_per_s"], 8 * 100 * 1.3)

    def test_bulk(self):
        self.the_cluster.serve()
        figures = self.bench("--workload", "bulk", "--size", "1000000", "--concurrency", "2").figures
        self.assertGreaterEqual(figures["bytes_sent_per_s"], figures["requests_per_s"] * 1_000_000)
        self.assertEqual(figures["items"], 0)

    def test_the_tail_is_told_apart(self):
        self.the_cluster.serve()
        figures = self.bench("--workload", "tail", "--tail-percent", "10", "--tail-ms", "20").figures
        self.assertGreaterEqual(figures["tail_latency_us"]["p50"], 20_000)
        self.assertLess(figures["latency_us"]["p50"], 20_000)

    def test_an_open_loop_keeps_its_rate(self):
        self.the_cluster.serve()
        figures = self.bench("--rate", "200").figures
        self.assertAlmostEqual(figures["requests"], 100, delta=30)
        self.assertEqual(figures["rate"], 200)
        self.assertEqual(figures["unstarted"], 0)

    def test_an_open_loop_omits_nothing(self):
        # One request at a time, each of 50 ms, due each 10 ms: the last of the window should have been sent
        # long before. A closed loop would report 50 ms throughout.
        self.the_cluster.serve()
        slow = ("--concurrency", "1", "--tail-percent", "100", "--tail-ms", "50")
        figures = self.bench("--rate", "100", *slow).figures
        self.assertGreater(figures["tail_latency_us"]["p99"], 250_000)
        self.assertGreater(figures["unstarted"], 20)
        closed = self.bench(*slow).figures
        self.assertGreater(figures["tail_latency_us"]["p99"], 2 * closed["tail_latency_us"]["p50"])

    def test_the_table(self):
        self.the_cluster.serve()
        run = self.the_cluster.run("bench", EP, *SHORT)
        self.assertEqual(run.status, 0)
        names = [line.split("  ")[0] for line in run.stdout.text().splitlines()[1:]]
        self.assertEqual(names, ["requests", "items", "bytes", "latency", "errors", "cpu"])
        self.assertEqual(run.stderr.text(), "")

    def test_refusals_are_counted_and_end_with_their_status(self):
        self.the_cluster.serve(EP, "--max-inflight", "1")
        options = ("--concurrency", "8", "--tail-percent", "100", "--tail-ms", "20")
        run = self.bench(*options, status=5)
        self.assert_ended(run, 5, "overloaded")
        self.assertGreater(run.figures["errors"]["overloaded"], 0)
        self.assertGreater(run.figures["requests"], 0, "one at a time is served all the same")

    def test_requests_that_never_end_are_a_failure(self):
        self.the_cluster.serve()
        options = ("--timeout", "0.2", "--tail-percent", "100", "--tail-ms", "60000", "--concurrency", "2")
        run = self.bench(*options, status=4)
        self.assert_ended(run, 4, "deadline_exceeded")
        self.assertIsNone(run.figures["latency_us"])
        self.assertIsNone(run.figures["cpu_workers_us_per_op"])

    def test_nobody_there(self):
        run = self.the_cluster.run("bench", EP, "--timeout", "0.2")
        self.assert_ended(run, 3, "unavailable", "looking in the discovery folder")
        self.assertEqual(run.stdout.text(), "")

    def test_a_worker_that_dies(self):
        worker = self.the_cluster.serve()
        run = self.the_cluster.start("bench", EP, "--json", "--duration", "1", "--warmup", "0", "--timeout", "1")
        time.sleep(0.3)  # into the window; if it is not open yet, the test is about less
        worker.kill()
        worker.wait()
        self.assertIn(run.wait(), (1, 3, 4))
        figures = json.loads(run.stdout.text())
        self.assertGreater(sum(figures["errors"].values()), 0)
        self.assertIsNone(figures["cpu_workers_us_per_op"], "its clock is gone")
        run.error()

    def test_interrupted_it_shows_what_it_has(self):
        self.the_cluster.serve()
        run = self.the_cluster.start("bench", EP, "--json", "--duration", "60", "--warmup", "0")
        time.sleep(1)
        run.interrupt()
        self.assert_ended(run, 6, "cancelled")
        figures = json.loads(run.stdout.text())
        self.assertLess(figures["seconds"], 30)
        self.assertEqual(set(figures["errors"]) - {"cancelled"}, set())

    def test_usage(self):
        for options, says in (
            (["--rate", "0"], "--rate must be above 0"),
            (["--workload", "open"], "there are unary"),
            (["--items", "3"], "--items goes with"),
            (["--size", "x"], "--size"),
        ):
            run = self.the_cluster.run("bench", EP, *options)
            self.assert_ended(run, 2, "invalid_request", says)


if __name__ == "__main__":
    unittest.main()
