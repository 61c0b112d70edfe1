"""Workers are killed in the middle of their answers, and whoever reads those notices nothing."""

import json
import os
import unittest

from harness import TestCase

MIGRATING = os.environ["STATOR_MIGRATING"]
ENDPOINT = "demo.counter.count"
STREAMS, FIRST, LAST = 50, 7, 40


class Migration(TestCase):
    def setUp(self):
        self.begin()

    def begin(self):
        """A cluster in which nobody has died yet."""
        self.members = self.cluster()
        self.release = self.members.kv.parent / "release"

    def serve(self, count, **settings):
        arguments = ("serve", ENDPOINT, str(FIRST), str(self.release))
        workers = [self.members.start(*arguments, program=MIGRATING, **settings) for _ in range(count)]
        for worker in workers:
            worker.stderr.wait_for("^ready$")
        return workers

    def ask(self, limit):
        """Once each of its streams has had its first items, and none has had more."""
        arguments = (ENDPOINT, STREAMS, FIRST, LAST, limit)
        asking = self.members.start("ask", *map(str, arguments), program=MIGRATING)
        asking.stdout.wait_for("^begun$")
        return asking

    def outcome(self, asking):
        self.assertEqual(asking.wait(), 0, asking.stderr.text())
        return json.loads(asking.stdout.text().splitlines()[-1])

    def test_no_stream_is_cut_when_its_worker_is_killed(self):
        workers = self.serve(3)
        asking = self.ask(limit=1)
        workers[0].kill()
        # Its streams are at the others, where they wait as those do that were there before.
        name = r'stator_migrations_total\{kind="ongoing_request"\}'
        self.wait_until(lambda: self.metric(asking, name) in (STREAMS // 3, STREAMS // 3 + 1), "they have moved")
        self.release.touch()
        self.assertEqual(self.outcome(asking), {"whole": STREAMS, "wrong": 0, "failed": {}})
        self.assertRegex(asking.stderr.text(), f"goes on at another instance after {FIRST} items: .*disconnected")

    def test_as_often_as_the_limit_says(self):
        for limit, whole in ((0, False), (1, False), (2, True)):
            self.begin()
            workers = self.serve(3)
            asking = self.ask(limit)
            for worker in workers[:2]:
                worker.kill()
                worker.wait()
            self.release.touch()
            outcome = self.outcome(asking)
            self.assertEqual(outcome["wrong"], 0)
            if whole:
                self.assertEqual(outcome["whole"], STREAMS, outcome)
            elif limit == 0:
                lost = outcome["failed"].get("disconnected", 0)
                self.assertEqual(outcome["whole"] + lost, STREAMS, outcome)
                self.assertGreaterEqual(lost, 2 * (STREAMS // 3))
            workers[2].terminate()
            self.assertEqual(workers[2].wait(), 0, workers[2].stderr.text())

    def test_a_worker_that_ends_gives_away_what_it_cannot_finish(self):
        (leaving,) = self.serve(1, DYN_WORKER_GRACEFUL_SHUTDOWN_TIMEOUT="2")
        asking = self.ask(limit=1)
        self.serve(1)
        leaving.terminate()
        self.assertEqual(leaving.wait(), 0, leaving.stderr.text())
        self.release.touch()
        self.assertEqual(self.outcome(asking), {"whole": STREAMS, "wrong": 0, "failed": {}})


if __name__ == "__main__":
    unittest.main()
