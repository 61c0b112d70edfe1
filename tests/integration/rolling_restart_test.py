"""Every worker is replaced, one after the other and again, while clients call: nobody notices.

How long, how many workers and how many requests a second is said by ROLLING_SECONDS, ROLLING_WORKERS and ROLLING_RATE.
"""

import itertools
import json
import os
import time
import unittest

from etcd import over_etcd
from harness import TestCase

EP = "demo.backend.generate"
SECONDS = float(os.environ.get("ROLLING_SECONDS", "6"))
WORKERS = int(os.environ.get("ROLLING_WORKERS", "4"))
RATE = int(os.environ.get("ROLLING_RATE", "100"))
# Each answer lasts longer than a worker that has nothing to do takes to leave.
ITEMS, PACE = 20, 20  # ms
# Many processes on few cores: each has one loop.
SMALL = {"DYN_RUNTIME_NUM_WORKER_THREADS": "1", "DYN_RUNTIME_MAX_BLOCKING_THREADS": "1"}


class OverFiles(TestCase):
    def members(self):
        return self.cluster(**SMALL)

    def test_no_request_is_lost(self):
        cluster = self.members()
        starting = [cluster.start("serve", EP) for _ in range(WORKERS)]
        for worker in starting:
            worker.stderr.wait_for("^ready ")
        load = cluster.start(
            "bench", EP, "--workload", "paced", "--items", str(ITEMS), "--pace-ms", str(PACE), "--rate", str(RATE),
            "--concurrency", str(RATE), "--warmup", "0", "--duration", str(SECONDS), "--json",
        )  # fmt: skip
        end = time.monotonic() + SECONDS
        replaced = 0
        workers = list(starting)
        for place in itertools.cycle(range(WORKERS)):
            if time.monotonic() > end:
                break
            old, workers[place] = workers[place], cluster.serve(EP)
            old.terminate()
            self.assertEqual(old.wait(), 0, old.stderr.text())
            self.assertNotIn("were killed", old.stderr.text().replace("0 were killed", ""))
            replaced += 1
        status = load.wait(SECONDS + 30)
        report = json.loads(load.stdout.text())
        print(f"{replaced} of {WORKERS} workers replaced, {report['requests']} requests, errors {report['errors']}")
        self.assertEqual((status, report["errors"]), (0, {}), load.stderr.text())
        self.assertGreaterEqual(replaced, min(WORKERS, SECONDS / 3))
        # As many as there should be, but for those that began when it ended, and for a busy machine.
        self.assertGreater(report["requests"], RATE * (SECONDS - 1) * 0.8)


class OverEtcd(OverFiles):
    def members(self):
        return over_etcd(self, **SMALL)[1]


if __name__ == "__main__":
    unittest.main()
