"""The status server of a real worker: what probes, scrapers and operators see of it."""

import json
import pathlib
import re
import time
import unittest

from harness import PATIENCE, TestCase

DASHBOARD = pathlib.Path(__file__).parents[2] / "deploy" / "grafana" / "stator.json"
ENDLESS = {"items": 1_000_000_000, "delay_ms": 20}
SYSTEM = {"DYN_SYSTEM_PORT": "0", "DYN_SYSTEM_HOST": "127.0.0.1"}


class Status(TestCase):
    def worker(self, cluster, **settings):
        worker = cluster.serve(**SYSTEM, **settings)
        worker.status_port()
        return worker

    def wait_for(self, worker, path, status):
        end = time.monotonic() + PATIENCE
        while True:
            seen, text = worker.ask(path)
            if seen == status:
                return text
            self.assertLess(time.monotonic(), end, f"{path} stays {seen}: {text}")
            time.sleep(0.05)

    def test_a_worker_is_ready_until_it_is_asked_to_end(self):
        cluster = self.cluster()
        worker = self.worker(cluster)
        self.assertEqual(worker.ask("/ready")[0], 200)
        status, text = worker.ask("/health")
        self.assertEqual((status, json.loads(text)["endpoints"]), (200, {"generate": "ready"}))
        call = cluster.start_call(ENDLESS)
        call.stdout.wait_for('"i":0')
        streams = json.loads(worker.ask("/debug/streams")[1])
        self.assertEqual(streams["count"], 1)
        worker.terminate()
        text = self.wait_for(worker, "/ready", 503)
        self.assertIn("the process is ending", text)
        self.assertEqual(worker.ask("/live")[0], 200)
        call.terminate()
        self.assertEqual(worker.wait(), 0, worker.stderr.text())

    def test_a_lost_store_is_not_ready_and_still_live(self):
        cluster = self.cluster()
        worker = self.worker(cluster)
        away = cluster.kv.with_name("away")
        cluster.kv.rename(away)
        cluster.kv.touch()
        text = self.wait_for(worker, "/ready", 503)
        self.assertIn("recovering", text)
        self.assertEqual(worker.ask("/live")[0], 200)
        self.assertIn("stator_registered{", worker.ask("/metrics")[1])
        cluster.kv.unlink()
        away.rename(cluster.kv)
        self.wait_for(worker, "/ready", 200)
        self.assert_ended(cluster.call({"items": 1}), 0)

    def test_a_held_loop_is_not_live_where_that_is_asked_for(self):
        cluster = self.cluster()
        threads = {"DYN_RUNTIME_NUM_WORKER_THREADS": "1"}
        worker = self.worker(cluster, DYN_SYSTEM_LIVE_STALL_SECONDS="0.2", **threads)
        call = cluster.start_call({"items": 2, "hold_ms": 2000})
        text = self.wait_for(worker, "/live", 503)
        self.assertIn("primary-0 is held for", text)
        self.assertEqual(worker.ask("/metrics")[0], 200)
        call.terminate()
        self.wait_for(worker, "/live", 200)

    def test_the_dashboard_shows_what_is_exported(self):
        cluster = self.cluster()
        worker = self.worker(cluster)
        self.assert_ended(cluster.call({"items": 3}), 0)
        dashboard = json.loads(DASHBOARD.read_text())
        texts = [target["expr"] for panel in dashboard["panels"] for target in panel["targets"]]
        shown = {name for text in texts for name in re.findall(r"\b(?:stator|dynamo)_[a-z_]+(?=\{)", text)}
        self.assertGreater(len(shown), 20)
        end = time.monotonic() + PATIENCE
        while missing := shown - set(re.findall(r"^([a-z_]+)", worker.ask("/metrics")[1], re.M)):
            # What the store says is there once it has been renewed for the first time.
            self.assertLess(time.monotonic(), end, missing)
            time.sleep(0.1)
        for panel in dashboard["panels"]:
            self.assertTrue(panel["title"])
            self.assertEqual(panel["datasource"]["type"], "prometheus")

    def test_a_port_that_is_taken_is_a_bad_setting(self):
        cluster = self.cluster()
        worker = self.worker(cluster)
        other = cluster.start("serve", "demo.backend.other", **SYSTEM | {"DYN_SYSTEM_PORT": str(worker.status_port())})
        self.assertEqual(other.wait(), 2)
        self.assertIn(f"cannot listen on 127.0.0.1:{worker.status_port()}", other.stderr.text())

    def test_commands_that_serve_nothing_do_not_take_the_port(self):
        cluster = self.cluster()
        worker = self.worker(cluster)
        taken = SYSTEM | {"DYN_SYSTEM_PORT": str(worker.status_port())}
        self.assert_ended(cluster.call({"items": 1}, **taken), 0)
        self.assertEqual(cluster.run("ls", **taken).status, 0)

    def test_tls_needs_a_certificate(self):
        program = self.cluster().start("serve", "demo.backend.generate", **SYSTEM, DYN_SYSTEM_TLS="1")
        self.assertEqual(program.wait(), 2)
        self.assertIn("DYN_TCP_TLS_CERT_PATH", program.stderr.text())


if __name__ == "__main__":
    unittest.main()
