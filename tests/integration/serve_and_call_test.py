"""A worker serves, a client streams: what each command shows when all is well."""

import collections
import json
import re
import signal
import time
import unittest

from harness import TestCase, summary_of

EP = "demo.backend.generate"


class ServeAndCall(TestCase):
    def test_five_items_are_five_lines(self):
        cluster = self.cluster()
        worker = cluster.serve()
        (identity,) = worker.instance_ids()
        call = cluster.call({"items": 5})
        self.assertEqual(call.status, 0, call.stderr.text())
        self.assertEqual(call.items(), [{"i": i, "worker": identity} for i in range(5)])
        self.assertEqual(call.stderr.text(), "", "nothing to say when all is well")
        worker.terminate()
        self.assertEqual(worker.wait(), 0, worker.stderr.text())

    def test_settings_that_differ_are_logged_at_the_start(self):
        cluster = self.cluster()
        worker = cluster.serve(DYN_LOG="debug", DYN_RUNTIME_NUM_WORKER_THREADS="1")
        worker.terminate()
        worker.wait()
        self.assertRegex(
            worker.stderr.text(),
            r"settings: .*runtime\.num_worker_threads=1 \(environment DYN_RUNTIME_NUM_WORKER_THREADS\)",
        )

    def test_defaults_text_and_size(self):
        cluster = self.cluster()
        cluster.serve()
        self.assertEqual(len(cluster.call({}).items()), 3)
        call = cluster.call({"items": 12, "size": 300, "text": "hé\n"})
        lines = call.stdout.text().splitlines()
        self.assertEqual([len(line.encode()) for line in lines], [300] * 12)
        self.assertEqual({item["text"] for item in call.items()}, {"hé\n"})

    def test_a_request_from_stdin(self):
        cluster = self.cluster()
        cluster.serve()
        text = "x" * 200_000  # more than an argument may hold
        call = cluster.call("-", stdin=json.dumps({"items": 2, "text": text}).encode())
        self.assertEqual(call.status, 0, call.stderr.text())
        self.assertEqual([item["text"] for item in call.items()], [text, text])

    def test_items_come_as_they_are_made(self):
        cluster = self.cluster()
        cluster.serve()
        call = cluster.start_call({"items": 4, "delay_ms": 250})
        times = [call.stdout.wait_for(rf'"i":{i},').at for i in range(4)]
        self.assertEqual(call.wait(), 0)
        self.assertGreater(times[3] - times[0], 0.5, "all at once")
        for before, after in zip(times, times[1:]):
            self.assertGreater(after - before, 0.1, times)

    def test_fail_after(self):
        cluster = self.cluster()
        cluster.serve()
        call = cluster.call({"items": 9, "fail_after": 2})
        self.assert_ended(call, 1, "internal", "failed after 2 items")
        self.assertEqual(len(call.items()), 2)

    def test_bad_requests_are_refused_by_name(self):
        cluster = self.cluster()
        cluster.serve()
        table = [
            ({"items": -1}, "items must be a whole number"),
            ({"items": "5"}, "items must be a whole number"),
            ({"itms": 5}, "did you mean items?"),
            ({"text": 5}, "text must be a string"),
            ([], "must be an object"),
        ]
        for request, says in table:
            with self.subTest(request=request):
                call = cluster.call(request)
                self.assert_ended(call, 1, "invalid_request", says)
                self.assertEqual(call.stdout.text(), "")

    def test_summary(self):
        cluster = self.cluster()
        worker = cluster.serve()
        call = cluster.call({"items": 2}, "--count", "50", "--concurrency", "8")
        self.assertEqual(call.status, 0, call.stderr.text())
        self.assertEqual(len(call.items()), 100)
        summary = summary_of(call)
        self.assertEqual(summary["requests"], 50)
        self.assertEqual(summary["succeeded"], 50)
        self.assertEqual(summary["items"], 100)
        self.assertEqual(summary["errors"], {})
        self.assertEqual(summary["worker"], {worker.instance_ids()[0]: 50})
        number = r"[\d.]+ (ns|us|ms|s)"
        self.assertRegex(
            summary["latency"], rf"^latency  p50 {number}, p90 {number}, p99 {number}, p99\.9 {number}$"
        )

    def test_summary_of_failures(self):
        cluster = self.cluster()
        cluster.serve()
        call = cluster.call({"fail_after": 1}, "--count", "5")
        self.assert_ended(call, 1, "internal")
        summary = summary_of(call)
        self.assertEqual(summary["succeeded"], 0)
        self.assertEqual(summary["errors"], {"internal": 5})
        self.assertEqual(summary["items"], 5)


class Routing(TestCase):
    def test_round_robin_shares_evenly(self):
        cluster = self.cluster()
        workers = [cluster.serve(instances=2), cluster.serve()]
        ids = {identity for worker in workers for identity in worker.instance_ids()}
        self.assertEqual(len(ids), 3)
        call = cluster.call({"items": 1}, "--count", "30", "--concurrency", "4")
        self.assertEqual(call.status, 0, call.stderr.text())
        self.assertEqual(summary_of(call)["worker"], {identity: 10 for identity in ids})
        self.assertEqual(collections.Counter(item["worker"] for item in call.items()), {i: 10 for i in ids})

    def test_random_reaches_everyone(self):
        cluster = self.cluster()
        worker = cluster.serve(instances=3)
        call = cluster.call({"items": 1}, "--mode", "random", "--count", "200")
        shares = summary_of(call)["worker"]
        self.assertEqual(set(shares), set(worker.instance_ids()))
        self.assertGreater(min(shares.values()), 20)  # 67 expected; chance of a failure below 1e-11

    def test_direct_asks_whom_it_is_told(self):
        cluster = self.cluster()
        worker = cluster.serve(instances=3)
        for identity in worker.instance_ids():
            call = cluster.call({"items": 2}, "--mode", "direct", "--instance", identity)
            self.assertEqual(call.status, 0, call.stderr.text())
            self.assertEqual({item["worker"] for item in call.items()}, {identity})
        call = cluster.call({}, "--instance", "abc")
        self.assert_ended(call, 3, "unavailable", "instance abc of demo.backend.generate is not registered")

    def test_endpoints_of_one_name_never_meet(self):
        cluster = self.cluster()
        names = ["demo.one.generate", "demo.two.generate", "demo.one.two.generate"]
        workers = {name: cluster.serve(name) for name in names}
        for name, worker in workers.items():
            call = cluster.call({"items": 3}, endpoint=name, timeout=20)
            self.assertEqual({item["worker"] for item in call.items()}, set(worker.instance_ids()))

    def test_nobody_there(self):
        cluster = self.cluster()
        begin = time.monotonic()
        call = cluster.call({}, "--timeout", "0.5")
        error = self.assert_ended(call, 3, "unavailable", "demo.backend.generate")
        self.assertIn(str(cluster.kv), json.dumps(error))
        self.assertGreaterEqual(time.monotonic() - begin, 0.5)
        self.assertEqual(call.stdout.text(), "")

    def test_waits_five_seconds_for_the_first_instance(self):
        cluster = self.cluster()
        begin = time.monotonic()
        call = cluster.start_call({})
        self.assert_ended(call, 3, "unavailable")
        self.assertGreaterEqual(time.monotonic() - begin, 5)
        self.assertLess(time.monotonic() - begin, 9)

    def test_a_worker_that_comes_late(self):
        cluster = self.cluster()
        call = cluster.start_call({"items": 1})
        # It is looking: it has a watch, so the folder exists.
        end = time.monotonic() + 4
        while not cluster.kv.exists() and time.monotonic() < end:
            time.sleep(0.01)
        worker = cluster.serve()
        self.assertEqual(call.wait(), 0, call.stderr.text())
        self.assertEqual(call.items()[0]["worker"], worker.instance_ids()[0])


class Limits(TestCase):
    def test_overloaded_at_max_inflight(self):
        cluster = self.cluster()
        cluster.serve(EP, "--max-inflight", "2")
        running = cluster.start_call({"items": 1, "delay_ms": 60_000}, "--count", "2", "--concurrency", "2")
        # Both hold a place when a third one is refused.
        refused = None
        end = time.monotonic() + 20
        while time.monotonic() < end:
            refused = cluster.call({"items": 1})
            if refused.status == 5:
                break
        self.assert_ended(refused, 5, "overloaded", "2")
        running.interrupt()
        self.assertEqual(running.wait(), 6)
        # Their places are free again.
        end = time.monotonic() + 20
        while (again := cluster.call({"items": 1})).status == 5 and time.monotonic() < end:
            pass
        self.assertEqual(again.status, 0, again.stderr.text())

    def test_overload_goes_elsewhere(self):
        cluster = self.cluster()
        full = cluster.serve(EP, "--max-inflight", "1")
        free = cluster.serve()
        cluster.start_call({"items": 1, "delay_ms": 60_000}, "--instance", full.instance_ids()[0])
        end = time.monotonic() + 20
        while cluster.call({"items": 1}, "--instance", full.instance_ids()[0]).status != 5:
            self.assertLess(time.monotonic(), end, "it never was full")
        call = cluster.call({"items": 1}, "--count", "20")
        self.assertEqual(call.status, 0, call.stderr.text())
        self.assertEqual(summary_of(call)["worker"], {free.instance_ids()[0]: 20})

    def test_many_at_once_are_refused_by_class(self):
        cluster = self.cluster()
        cluster.serve(EP, "--max-inflight", "3")
        call = cluster.call({"items": 1, "delay_ms": 3000}, "--count", "10", "--concurrency", "10")
        self.assert_ended(call, 5, "overloaded")
        summary = summary_of(call)
        self.assertEqual(summary["succeeded"], 3)
        self.assertEqual(summary["errors"], {"overloaded": 7})

    def test_the_deadline_ends_the_call_and_the_handler(self):
        cluster = self.cluster()
        worker = cluster.serve()
        begin = time.monotonic()
        call = cluster.call({"items": 3, "delay_ms": 30_000}, "--timeout", "0.7")
        self.assert_ended(call, 4, "deadline_exceeded")
        self.assertGreaterEqual(time.monotonic() - begin, 0.7)
        self.assertLess(time.monotonic() - begin, 5)
        worker.stderr.wait_for(r"diagnostic request \S+ killed after 0 items \(deadline\)", timeout=5)


class Views(TestCase):
    def test_ls_shows_the_instances(self):
        cluster = self.cluster()
        self.assertEqual(cluster.ls(), [])
        worker = cluster.serve(instances=2)
        other = cluster.serve("a.b.c.d")
        listed = cluster.ls()
        self.assertEqual(len(listed), 3)
        by_id = {entry["instance_id"]: entry for entry in listed}
        self.assertEqual(set(by_id), {*worker.instance_ids(), *other.instance_ids()})
        entry = by_id[other.instance_ids()[0]]
        keys = ["namespace", "component", "endpoint", "instance_id", "state", "transports"]
        self.assertEqual(list(entry), keys)
        self.assertEqual([entry[key] for key in keys[:3]], ["a.b", "c", "d"])
        self.assertEqual(entry["state"], "ready")
        self.assertEqual(set(entry["transports"]), {"tcp", "mux"})
        self.assertRegex(entry["transports"]["mux"], r"^127\.0\.0\.1:\d+$")
        table = cluster.run("ls").stdout.text().splitlines()
        self.assertEqual(len(table), 4)
        self.assertEqual(table[0].split()[:5], ["NAMESPACE", "COMPONENT", "ENDPOINT", "INSTANCE", "STATE"])
        self.assertEqual(len({line.index("ready") for line in table[1:]}), 1, "not aligned")

    def test_ls_no_longer_shows_who_left(self):
        cluster = self.cluster()
        worker = cluster.serve()
        staying = cluster.serve()
        worker.terminate()
        self.assertEqual(worker.wait(), 0)
        self.assertEqual([entry["instance_id"] for entry in cluster.ls()], staying.instance_ids())

    def test_watch_tells_what_happens(self):
        cluster = self.cluster()
        first = cluster.serve()
        watch = cluster.start("watch", "demo.backend")
        watch.stdout.wait_for(r'"event":"synced"')
        cluster.serve("demo.other.generate")
        second = cluster.serve()
        watch.stdout.wait_for(rf'"event":"added".*"{second.instance_ids()[0]}"')
        first.terminate()
        watch.stdout.wait_for(rf'"event":"removed".*"{first.instance_ids()[0]}"')
        watch.interrupt()
        self.assertEqual(watch.wait(), 0, watch.stderr.text())
        events = watch.items()
        self.assertEqual(
            [(event["event"], event.get("instance_id")) for event in events],
            [
                ("added", first.instance_ids()[0]),
                ("synced", None),
                ("added", second.instance_ids()[0]),
                ("removed", first.instance_ids()[0]),
            ],
        )

    def test_watch_ends_with_its_reader(self):
        cluster = self.cluster()
        watch = cluster.start("watch", read_stdout=False)
        watch.process.stdout.readline()
        watch.process.stdout.close()
        cluster.serve()
        self.assert_ended(watch, 6, "cancelled", "Broken pipe")

    def test_config_names_values_and_sources(self):
        cluster = self.cluster(DYN_WORKER_GRACEFUL_SHUTDOWN_TIMEOUT="7")
        (cluster.config_root / "etc" / "x.toml").write_text("# comment\nmax_blocking_threads = 3\n")
        shown = json.loads(cluster.run("config", "--json").stdout.text())
        by_name = {entry["name"]: entry for entry in shown}
        self.assertEqual(len(by_name), len(shown))
        threads = by_name["runtime.max_blocking_threads"]
        self.assertEqual(threads["value"], "3")
        self.assertRegex(threads["source"], r"x\.toml:2$")
        grace = by_name["worker.graceful_shutdown_timeout"]
        self.assertEqual(grace["source"], "environment DYN_WORKER_GRACEFUL_SHUTDOWN_TIMEOUT")
        self.assertEqual(by_name["system.port"]["source"], "default")
        table = cluster.run("config").stdout.text().splitlines()
        self.assertEqual(len(table), len(shown) + 1)
        self.assertTrue(any(re.match(r"runtime\.max_blocking_threads +3 +\S*x\.toml:2$", line) for line in table))

    def test_version_and_help(self):
        cluster = self.cluster()
        version = cluster.run("--version")
        self.assertEqual(version.status, 0)
        self.assertRegex(version.stdout.text(), r"^stator \d+\.\d+\.\d+\n$")
        help_text = cluster.run("call", "--help")
        self.assertEqual(help_text.status, 0)
        self.assertIn("--concurrency", help_text.stdout.text())

    def test_sigusr1_prints_the_metrics(self):
        cluster = self.cluster()
        worker = cluster.serve()
        call = cluster.start_call({"items": 100, "delay_ms": 100})
        call.stdout.wait_for('"i":0')
        call.interrupt()
        self.assertEqual(call.wait(), 6)
        worker.stderr.wait_for(r"diagnostic request \S+ killed after")
        worker.send(signal.SIGUSR1)
        worker.stderr.wait_for(r"requests_killed_total\S* 1(\.0+)?$")


if __name__ == "__main__":
    unittest.main()
