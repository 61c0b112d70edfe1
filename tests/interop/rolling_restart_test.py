"""Every worker is replaced, one after the other and again, while a real Dynamo client calls: it does not notice.

How long, how many workers and how many requests a second is said by ROLLING_SECONDS, ROLLING_WORKERS and ROLLING_RATE.
"""

import collections
import itertools
import os
import threading
import time
import unittest

from interop import GENERATE, HERE, PATIENCE, Peers, TestCase, parsed, real_python

SECONDS = float(os.environ.get("ROLLING_SECONDS", "8"))
WORKERS = int(os.environ.get("ROLLING_WORKERS", "4"))
RATE = int(os.environ.get("ROLLING_RATE", "50"))
ITEMS, PACE = 20, 20  # ms
EVERY = 0.1  # seconds, from burst to burst
# What a client says of requests that it has just sent to a worker whose record it sees going, before the worker has called
# home: it calls them off by itself, for others to send them again, and no worker can keep it from that (docs/dynamo.md).
CALLED_OFF = "Worker disconnected before response stream was established"
# Many processes on few cores: each has one loop.
SMALL = {"DYN_RUNTIME_NUM_WORKER_THREADS": "1", "DYN_RUNTIME_MAX_BLOCKING_THREADS": "1"}


class RealClient(TestCase):
    def setUp(self):
        self.peers = Peers()
        self.addCleanup(self.peers.__exit__)

    def worker(self):
        started = self.peers.start("serve", GENERATE, **SMALL)
        started.stderr.wait_for("^ready ")
        return started

    def offer(self, client, over):
        """Bursts of requests by the clock, until it is over."""
        due = time.monotonic()
        for number in itertools.count():
            if over.wait(max(0.0, due - time.monotonic())):
                return
            client.tell({
                "id": f"burst-{number}", "path": GENERATE, "request": {"items": ITEMS, "pace_ms": PACE},
                "count": max(1, round(RATE * EVERY)), "timeout": 30, "wait": False,
            })  # fmt: skip
            self.bursts = number + 1
            due += EVERY

    def test_no_request_is_lost(self):
        workers = [self.worker() for _ in range(WORKERS)]
        client = self.peers.start_peer([real_python(), "-B", str(HERE / "peers" / "client.py")])
        client.event("ready")
        client.tell({"id": "first", "path": GENERATE, "request": {"items": 1}})
        self.assertEqual(client.event("end", id="first")["results"][0]["outcome"], "ok")
        client.mark()
        over = threading.Event()
        offering = threading.Thread(target=self.offer, args=(client, over), daemon=True)
        self.bursts = 0
        offering.start()
        replaced = 0
        end = time.monotonic() + SECONDS
        for place in itertools.cycle(range(WORKERS)):
            if time.monotonic() > end:
                break
            old, workers[place] = workers[place], self.worker()
            old.terminate()
            self.assertEqual(old.wait(), 0, old.stderr.text())
            self.assertNotIn("were killed", old.stderr.text().replace("0 were killed", ""))
            replaced += 1
        over.set()
        offering.join()
        results = self.results_of(client)
        print(f"{replaced} of {WORKERS} workers replaced, {sum(results.values())} requests: {dict(results)}")
        called_off = sum(results.pop(one) for one in list(results) if one[:2] == ("error", 0) and CALLED_OFF in one[2])
        self.assertEqual(list(results), [("ok", ITEMS, None)])
        self.assertLessEqual(called_off, replaced)
        self.assertGreaterEqual(replaced, min(WORKERS, SECONDS / 4))
        self.assertGreater(sum(results.values()), RATE * SECONDS * 0.8)

    def results_of(self, client):
        """How often which outcome, once every burst has ended."""
        def ended(lines):
            ends = [parsed(line.text) for line in lines if '"end"' in line.text]
            bursts = [one for one in ends if one.get("event") == "end" and one["id"].startswith("burst-")]
            return bursts if len(bursts) >= self.bursts else None

        bursts = client.stdout.wait_until(ended, f"the end of {self.bursts} bursts", PATIENCE + 30)
        return collections.Counter(
            (one["outcome"], one["items"], str(one["error"]) if one["error"] else None)
            for burst in bursts
            for one in burst["results"]
        )


if __name__ == "__main__":
    unittest.main()
