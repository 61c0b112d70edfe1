"""One caller that reads slowly costs neither memory nor the others on its connection."""

import json
import os
import pathlib
import re
import subprocess
import unittest

from harness import TestCase

SLOW_CONSUMER = os.environ["STATOR_SLOW_CONSUMER"]
GIB = 1 << 30
ITEM = 64 << 10
LIMIT_KIB = 32 << 10


def memory(process, name):
    status = pathlib.Path(f"/proc/{process.pid}/status").read_text()
    return int(re.search(rf"^{name}:\s+(\d+) kB$", status, re.MULTILINE)[1])


class SlowConsumer(TestCase):
    def test_a_gibibyte_through_one_stream(self):
        cluster = self.cluster(DYN_RUNTIME_NUM_WORKER_THREADS="1")
        worker = cluster.serve()
        pathlib.Path(f"/proc/{worker.process.pid}/clear_refs").write_text("5")  # the peak counts anew
        before = memory(worker.process, "VmRSS")
        ran = subprocess.run(
            [SLOW_CONSUMER, "demo.backend.generate", str(ITEM), str(GIB // ITEM), "200"],
            env=cluster.environment,
            stdout=subprocess.PIPE,
            timeout=120,
            check=True,
        )
        seen = json.loads(ran.stdout)
        self.assertEqual(seen["bytes"], GIB)
        self.assertLess(seen["grown_kib"], LIMIT_KIB, seen)
        self.assertLess(memory(worker.process, "VmHWM") - before, LIMIT_KIB)
        print(seen, memory(worker.process, "VmHWM") - before)


if __name__ == "__main__":
    unittest.main()
