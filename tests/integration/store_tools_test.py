"""`stator kv`, `stator lock` and `stator barrier`: over files what is possible there, over etcd and NATS everything."""

import json
import os
import signal
import time
import unittest

from etcd import over_etcd
from harness import PATIENCE, TestCase
from nats import Nats

TTL = "2"


def lines(program):
    return program.stdout.text().splitlines()


class OverFiles(TestCase):
    def setUp(self):
        self.members = self.cluster(DYN_DISCOVERY_BACKEND="file")

    def test_a_held_key_is_there_while_its_holder_runs(self):
        watch = self.members.start("kv", "watch", "v1/test/")
        watch.stdout.wait_for("^synced$")
        holder = self.members.start("kv", "put", "v1/test/k", "some value", "--hold")
        holder.stdout.wait_for("^held v1/test/k$")
        got = self.members.run("kv", "get", "v1/test/k")
        self.assertEqual((got.status, got.stdout.text()), (0, "some value\n"))
        listed = self.members.run("kv", "get", "v1/test/", "--prefix", "--json")
        (entry,) = [json.loads(line) for line in lines(listed)]
        self.assertEqual((entry["key"], entry["value"]), ("v1/test/k", "some value"))
        watch.stdout.wait_for("^put v1/test/k some value$")
        holder.terminate()
        self.assertEqual(holder.wait(), 0, holder.stderr_tail())
        watch.stdout.wait_for("^removed v1/test/k$")
        self.assert_ended(self.members.run("kv", "get", "v1/test/k"), 1, "not_found", "v1/test/k")
        self.assert_ended(self.members.run("kv", "del", "v1/test/k"), 1, "not_found", "v1/test/k")
        watch.interrupt()
        self.assertEqual(watch.wait(), 0, watch.stderr_tail())

    def test_time_is_an_end_of_holding_and_watching(self):
        held = self.members.run("kv", "put", "v1/test/k", "1", "--hold", "--timeout", "0.2", "--json")
        self.assertEqual(held.status, 0, held.stderr.text())
        self.assertEqual([json.loads(line) for line in lines(held)], [{"event": "held", "key": "v1/test/k"}])
        seen = self.members.run("kv", "watch", "v1/test/", "--timeout", "0.2", "--json")
        self.assertEqual(seen.status, 0, seen.stderr.text())
        self.assertEqual([json.loads(line) for line in lines(seen)], [{"event": "synced", "keys": 0}])

    def test_what_files_cannot_do_is_refused_by_name(self):
        self.assert_ended(self.members.run("kv", "put", "v1/test/k", "1"), 1, "unimplemented", "cli.no_lasting_keys")
        locked = self.members.run("lock", "l", "--", "true")
        self.assert_ended(locked, 1, "unimplemented", "store.no_sessions")
        joined = self.members.run("barrier", "b", "--worker", "w")
        self.assert_ended(joined, 1, "unimplemented", "store.no_sessions")
        self.assert_ended(self.members.run("kv", "get", "nonsense"), 1, "invalid_request", "store.key")
        self.assert_ended(self.members.run("kv"), 2, "invalid_request")
        self.assert_ended(self.members.run("barrier", "b"), 2, "invalid_request", "--leader")


class OverNats(TestCase):
    def setUp(self):
        self.nats = Nats.with_jetstream()
        self.addCleanup(self.nats.close)
        self.members = self.cluster(DYN_DISCOVERY_BACKEND="file", NATS_SERVER=self.nats.url)

    def kv(self, *arguments):
        return self.members.run("kv", *arguments, "--store", "nats")

    def test_a_key_stays_in_a_bucket_of_such(self):
        lasting = ("--bucket", "config")
        self.assert_ended(self.kv("get", "v1/test/k", *lasting), 1, "not_found", "store.no_bucket")
        put = self.kv("put", "v1/test/k", "value", "--json", *lasting)
        self.assertEqual(put.status, 0, put.stderr.text())
        revision = json.loads(put.stdout.text())["revision"]
        got = json.loads(self.kv("get", "v1/test/k", "--json", *lasting).stdout.text())
        self.assertEqual(got, {"key": "v1/test/k", "value": "value", "revision": revision, "created": revision})
        held = self.kv("put", "v1/test/h", "1", "--hold", "--timeout", "1", *lasting)
        self.assert_ended(held, 1, "unimplemented", "store.no_ttl")
        self.nats.kill()
        self.nats.start()
        listed = self.kv("get", "v1/test/", "--prefix", *lasting)
        self.assertEqual(lines(listed), ["v1/test/k value"])
        self.assertEqual(self.kv("del", "v1/test/k", *lasting).status, 0)
        self.assert_ended(self.kv("get", "v1/test/k", *lasting), 1, "not_found", "v1/test/k")

    def test_a_held_key_is_there_while_its_holder_runs(self):
        holder = self.members.start("kv", "put", "v1/test/k", "1", "--hold", "--store", "nats")
        holder.stdout.wait_for("^held v1/test/k$")
        watch = self.members.start("kv", "watch", "v1/test/", "--store", "nats")
        watch.stdout.wait_for("^put v1/test/k 1$")
        self.assert_ended(self.kv("put", "v1/test/x", "1"), 1, "unimplemented", "cli.no_lasting_keys")
        holder.terminate()
        self.assertEqual(holder.wait(), 0, holder.stderr_tail())
        watch.stdout.wait_for("^removed v1/test/k$")
        watch.interrupt()
        self.assertEqual(watch.wait(), 0, watch.stderr_tail())

    def test_locks_and_barriers(self):
        first = self.members.start("lock", "l", "--store", "nats", "--", "sh", "-c", "echo $STATOR_LOCK_TOKEN; exec sleep 60")
        token = int(first.stdout.wait_for(r"^\d+$").text)
        late = self.members.run("lock", "l", "--store", "nats", "--timeout", "0.3", "--", "true")
        self.assert_ended(late, 4, "deadline_exceeded", "store.lock_wait")
        first.terminate()
        self.assert_ended(first, 6, "cancelled")
        second = self.members.run("lock", "l", "--store", "nats", "--", "sh", "-c", "echo $STATOR_LOCK_TOKEN")
        self.assertGreater(int(second.stdout.text()), token)
        leader = self.members.start("barrier", "b", "--leader", "1", "--data", "go", "--store", "nats")
        joined = self.members.run("barrier", "b", "--worker", "w", "--store", "nats")
        self.assertEqual(lines(joined), ["go"], joined.stderr.text())
        self.assertEqual(leader.wait(), 0, leader.stderr_tail())
        short = self.members.run("lock", "l", "--ttl", "5", "--store", "nats", "--", "true")
        self.assert_ended(short, 1, "invalid_request", "store.ttl")

    def test_what_cannot_be_is_refused_by_name(self):
        self.assert_ended(self.members.run("kv", "get", "v1/test/k", "--store", "redis"), 2, "invalid_request", "redis")
        self.assert_ended(self.members.run("kv", "get", "v1/test/k", "--bucket", "b"), 2, "invalid_request", "--store nats")
        plain = Nats()
        self.addCleanup(plain.close)
        members = self.cluster(DYN_DISCOVERY_BACKEND="file", NATS_SERVER=plain.url)
        self.assert_ended(members.run("lock", "l", "--store", "nats", "--", "true"), 1, "unimplemented", "nats.no_jetstream")
        discovery = self.cluster(DYN_DISCOVERY_BACKEND="nats", NATS_SERVER=self.nats.url)
        self.assert_ended(discovery.run("ls"), 2, "invalid_request", "discovery")


class OverEtcd(TestCase):
    def setUp(self):
        self.etcd, self.members = over_etcd(
            self, ETCD_LEASE_TTL=TTL, DYN_GRACEFUL_SHUTDOWN_GRACE_PERIOD_SECS="0"
        )

    def test_a_key_stays_until_it_is_removed(self):
        put = self.members.run("kv", "put", "v1/test/k", "value", "--json")
        self.assertEqual(put.status, 0, put.stderr.text())
        written = json.loads(put.stdout.text())
        got = json.loads(self.members.run("kv", "get", "v1/test/k", "--json").stdout.text())
        self.assertEqual(got, {"key": "v1/test/k", "value": "value", "revision": written["revision"], "created": written["revision"]})
        self.assertEqual(self.etcd.keys("v1/test/"), ["v1/test/k"])
        self.assertEqual(self.members.run("kv", "del", "v1/test/k").status, 0)
        self.assertEqual(self.etcd.keys("v1/test/"), [])

    def test_a_lock_is_held_while_its_command_runs(self):
        first = self.members.start("lock", "l", "--json", "--", "sh", "-c", "echo token $STATOR_LOCK_TOKEN; sleep 60")
        token = int(first.stdout.wait_for(r"^token \d+$").text.split()[1])
        self.assertEqual(json.loads(first.stderr.wait_for('"lock"').text)["token"], token)
        late = self.members.run("lock", "l", "--timeout", "0.3", "--", "true")
        self.assert_ended(late, 4, "deadline_exceeded", "store.lock_wait")
        second = self.members.start("lock", "l", "--", "sh", "-c", "echo then $STATOR_LOCK_TOKEN $STATOR_LOCK_NAME; exit 7")
        time.sleep(0.3)
        self.assertTrue(second.running())
        first.terminate()  # its command with it
        self.assert_ended(first, 6, "cancelled")
        self.assertEqual(second.wait(), 7, second.stderr_tail())
        word, greater, name = lines(second)[0].split()
        self.assertEqual((word, name), ("then", "l"))
        self.assertGreater(int(greater), token)
        self.assertEqual(self.etcd.keys("v1/locks/"), [])

    def test_readers_share_a_lock_and_a_writer_waits_for_them(self):
        command = ("sh", "-c", "echo $STATOR_LOCK_MODE $STATOR_LOCK_TOKEN; exec sleep 60")
        readers = [self.members.start("lock", "l", "--shared", "--json", "--", *command) for _ in range(2)]
        tokens = [int(reader.stdout.wait_for(r"^shared \d+$").text.split()[1]) for reader in readers]
        self.assertEqual(json.loads(readers[0].stderr.wait_for('"lock"').text)["mode"], "shared")
        writer = self.members.start("lock", "l", "--", "sh", "-c", "echo $STATOR_LOCK_MODE $STATOR_LOCK_TOKEN")
        self.wait_until(lambda: len(self.etcd.keys("v1/locks/")) == 3, "three in the queue")
        late = self.members.run("lock", "l", "--shared", "--timeout", "0.3", "--", "true")
        self.assert_ended(late, 4, "deadline_exceeded", "store.lock_wait")
        readers[0].terminate()
        self.assert_ended(readers[0], 6, "cancelled")
        self.assertTrue(writer.running())
        readers[1].terminate()
        self.assertEqual(writer.wait(), 0, writer.stderr_tail())
        mode, token = lines(writer)[0].split()
        self.assertEqual(mode, "exclusive")
        self.assertGreater(int(token), max(tokens))

    def test_statuses_are_the_commands(self):
        self.assertEqual(self.members.run("lock", "l", "--", "true").wait(), 0)
        self.assertEqual(self.members.run("lock", "l", "--", "false").wait(), 1)
        killed = self.members.run("lock", "l", "--", "sh", "-c", "kill -KILL $$")
        self.assertEqual(killed.wait(), 128 + signal.SIGKILL)
        self.assert_ended(self.members.run("lock", "l", "--", "no-such-program"), 127, "not_found", "no-such-program")
        self.assert_ended(self.members.run("lock", "l", "--", "/dev/null"), 126, "invalid_request", "cli.command")
        piped = self.members.start("lock", "l", "--", "cat", stdin=b"through\n")
        self.assertEqual(piped.wait(), 0, piped.stderr_tail())
        self.assertEqual(lines(piped), ["through"])

    def test_the_lock_of_a_killed_holder_is_free_after_its_time_and_its_command_ends(self):
        holder = self.members.start("lock", "l", "--", "sh", "-c", "echo pid $$; exec sleep 60")
        command = int(holder.stdout.wait_for(r"^pid \d+$").text.split()[1])
        holder.kill()
        begun = time.monotonic()
        after = self.members.run("lock", "l", "--timeout", str(PATIENCE), "--", "true")
        self.assertEqual(after.status, 0, after.stderr.text())
        self.assertLess(time.monotonic() - begun, float(TTL) + 4)
        with self.assertRaises(ProcessLookupError):
            os.kill(command, 0)

    def test_a_holder_that_is_stopped_past_its_time_gives_up(self):
        holder = self.members.start("lock", "l", "--", "sh", "-c", "echo token $STATOR_LOCK_TOKEN; exec sleep 60")
        token = int(holder.stdout.wait_for(r"^token \d+$").text.split()[1])
        holder.send(signal.SIGSTOP)
        after = self.members.run("lock", "l", "--timeout", str(PATIENCE), "--", "sh", "-c", "echo $STATOR_LOCK_TOKEN")
        holder.send(signal.SIGCONT)
        self.assertEqual(after.status, 0, after.stderr.text())
        self.assertGreater(int(after.stdout.text()), token)
        self.assert_ended(holder, 3, "unavailable", "store.session_lost")

    def test_a_command_ends_when_its_lock_is_lost(self):
        holder = self.members.start("lock", "l", "--", "sh", "-c", "echo running; exec sleep 60")
        holder.stdout.wait_for("running")
        (key,) = self.etcd.keys("v1/locks/")
        self.etcd.control("del", key)
        self.assert_ended(holder, 3, "unavailable", "store.session_lost")

    def test_a_holder_without_a_store_ends_before_others_may_have_the_lock(self):
        command = "trap 'echo told; exit' TERM; echo running; while :; do sleep 0.05; done"
        holder = self.members.start("lock", "l", "--ttl", "4", "--", "sh", "-c", command)
        holder.stdout.wait_for("running")
        self.etcd.pause()
        begun = time.monotonic()
        self.assertLess(holder.stdout.wait_for("told").at - begun, 4)
        self.etcd.resume()
        self.assert_ended(holder, 3, "unavailable", "store.session_lost")

    def assert_gone(self, pid):
        with self.assertRaises(ProcessLookupError):
            os.kill(pid, 0)

    def test_what_a_command_has_started_ends_before_the_next_has_the_lock(self):
        # The shell would leave it behind.
        holder = self.members.start("lock", "l", "--", "sh", "-c", "sleep 60 & echo pid $!; wait")
        started = int(holder.stdout.wait_for(r"^pid \d+$").text.split()[1])
        holder.terminate()
        self.assert_ended(holder, 6, "cancelled")
        self.assert_gone(started)

    def test_what_a_command_has_started_ends_when_its_lock_is_lost(self):
        deaf = "(trap '' TERM; echo pid $$; while :; do sleep 0.1; done) & exec sleep 60"
        holder = self.members.start("lock", "l", "--", "sh", "-c", deaf)
        started = int(holder.stdout.wait_for(r"^pid \d+$").text.split()[1])
        (key,) = self.etcd.keys("v1/locks/")
        self.etcd.control("del", key)
        self.assert_ended(holder, 3, "unavailable", "store.session_lost")
        self.assert_gone(started)

    def test_what_a_command_leaves_behind_keeps_its_lock(self):
        holder = self.members.start("lock", "l", "--", "sh", "-c", "sleep 60 & echo pid $!; exit 7")
        started = int(holder.stdout.wait_for(r"^pid \d+$").text.split()[1])
        late = self.members.run("lock", "l", "--timeout", "0.5", "--", "true")
        self.assert_ended(late, 4, "deadline_exceeded", "store.lock_wait")
        os.kill(started, signal.SIGKILL)
        self.assertEqual(holder.wait(), 7, holder.stderr_tail())
        self.assertEqual(self.members.run("lock", "l", "--", "true").status, 0)

    def test_a_barrier(self):
        leader = self.members.start("barrier", "b", "--leader", "2", "--data", "port 1234", "--json")
        first = self.members.start("barrier", "b", "--worker", "w1")
        second = self.members.start("barrier", "b", "--worker", "w2", "--json")
        self.assertEqual(first.wait(), 0, first.stderr_tail())
        self.assertEqual(first.stdout.text(), "port 1234\n")
        self.assertEqual(second.wait(), 0, second.stderr_tail())
        self.assertEqual(
            json.loads(second.stdout.text()),
            {"barrier": "b", "role": "worker", "worker": "w2", "data": "port 1234"},
        )
        self.assertEqual(leader.wait(), 0, leader.stderr_tail())
        told = json.loads(leader.stdout.text())
        self.assertEqual((told["role"], sorted(told["workers"])), ("leader", ["w1", "w2"]))
        self.assertEqual(self.etcd.keys("v1/barriers/"), [])

    def test_a_barrier_that_fails_tells_everybody(self):
        worker = self.members.start("barrier", "b", "--worker", "w1")
        leader = self.members.run("barrier", "b", "--leader", "2", "--timeout", "1")
        self.assert_ended(leader, 4, "deadline_exceeded", "of 2 workers")
        worker.terminate()
        self.assertNotEqual(worker.wait(), 0)
        alone = self.members.run("barrier", "c", "--worker", "w", "--timeout", "0.2")
        self.assert_ended(alone, 4, "deadline_exceeded", "no leader")


if __name__ == "__main__":
    unittest.main()
