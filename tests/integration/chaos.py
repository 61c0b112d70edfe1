"""Workers and clients over etcd while its members are killed, paused and wiped, or the workers starve.

    chaos.py <scenario> [--form chaos|soak] [--name VALUE...]

What must hold whatever happens: no process ends, no request fails, no live instance leaves a client's routable
set, and in the end every worker is in the store under the id that it began with. A scenario has two forms: one
that lasts a minute, and one as long as it is meant; each of its numbers can be given by name.
"""

import argparse
import collections
import json
import os
import signal
import sys
import time

from etcd import Etcd
from harness import Cluster

CLIENT = os.environ["STATOR_CHAOS_CLIENT"]
ENDPOINT = "demo.backend.generate"
KEY = "v1/instances/demo/backend/generate/"


def eventually(condition, what, timeout):
    end = time.monotonic() + timeout
    while not (value := condition()):
        if time.monotonic() > end:
            raise AssertionError(f"no sign in {timeout} s of {what}")
        time.sleep(0.05)
    return value


class World:
    """A cluster of etcd, workers and clients; `numbers` are those of the scenario's form."""

    def __init__(self, numbers):
        self.numbers = numbers
        self.etcd = Etcd(3)
        self.cluster = Cluster(
            DYN_DISCOVERY_BACKEND="etcd",
            ETCD_ENDPOINTS=self.etcd.url,
            ETCD_LEASE_TTL=str(numbers["ttl"]),
            DYN_RUNTIME_NUM_WORKER_THREADS="1",
        )
        self.workers = []
        self.clients = []

    def __enter__(self):
        try:
            self.workers = [self.cluster.start("serve", ENDPOINT) for _ in range(self.numbers["workers"])]
            for worker in self.workers:
                worker.stderr.wait_for(r"^ready ", timeout=60)
            self.ids = [worker.instance_ids()[0] for worker in self.workers]
            rate = self.numbers["rate"] / self.numbers["clients"]
            for _ in range(self.numbers["clients"]):
                self.clients.append(self.client(rate))
            for client in self.clients:
                client.stdout.wait_for('"entered"', count=len(self.workers), timeout=60)
            time.sleep(2)  # every client has asked every worker: their connections stand
            self.begin = time.monotonic()
        except BaseException:
            self.__exit__()
            raise
        return self

    def __exit__(self, *_):
        self.cluster.__exit__()
        self.etcd.close()

    def client(self, rate, request='{"items":2,"delay_ms":5}'):
        # A call that a worker has accepted waits for it, however long it is held up.
        limit = str(20 + int(self.numbers.get("seconds", 0)))
        arguments = (ENDPOINT, str(len(self.workers)), str(rate), request, limit)
        return self.cluster.start(*arguments, program=CLIENT)

    def registered(self):
        return sorted(key.removeprefix(KEY) for key in self.etcd.keys(KEY)) == sorted(self.ids)

    def left(self, client):
        """What left the routable set of a client since the trouble began."""
        seen = [json.loads(line.text) for line in client.stdout.lines]
        return [one for one in seen if "left" in one and one["at"] > self.begin]

    def check(self, may_leave=(), wait=60):
        """In the end; returns what is worth knowing."""
        eventually(self.registered, "every worker in the store", wait)
        for program in (*self.workers, *self.clients):
            assert program.running(), f"{program.arguments} has ended:\n{program.stderr_tail()}"
        totals = collections.Counter()
        worst = 0.0
        for client in self.clients:
            left = [one for one in self.left(client) if one["left"] not in may_leave]
            assert not left, f"left a routable set: {left}"
            client.terminate()
        for client in self.clients:
            assert client.wait(60) == 0, client.stderr_tail()
            summary = json.loads(client.stdout.text().splitlines()[-1])
            assert not summary["failed"], f"{summary}\n{client.stderr_tail()}"
            assert summary["succeeded"] == summary["sent"], summary
            totals["requests"] += summary["sent"]
            worst = max(worst, summary["p99_ms"])
        asked = self.numbers["rate"] * (time.monotonic() - self.begin)
        assert totals["requests"] > asked * 0.5, f"{totals} of some {asked}: the load was not there"
        for worker in self.workers:
            worker.terminate()
        for worker in self.workers:
            assert worker.wait(60) == 0, worker.stderr_tail()
        assert not self.etcd.keys(KEY), "something is left in the store"
        return {"requests": totals["requests"], "failed": 0, "worst_p99_ms": worst}


def leader(world):
    """The leader is killed again and again; the one before is back by then."""
    killed = 0
    end = time.monotonic() + world.numbers["seconds"]
    while time.monotonic() < end:
        time.sleep(world.numbers["every"] / 2)
        member = world.etcd.leader()
        member.kill()
        killed += 1
        time.sleep(world.numbers["every"] / 2)
        member.launch()
    return {"leaders_killed": killed, **world.check()}


def paused(world):
    """A member hangs: it neither answers nor goes away."""
    for member in (world.etcd.leader(), world.etcd.members[0]):
        member.pause()
        time.sleep(world.numbers["seconds"])
        member.resume()
    return world.check()


def down(world):
    """All members are away for longer than leases live; calls go on meanwhile."""
    world.etcd.kill()
    time.sleep(3 * world.numbers["ttl"])
    world.etcd.start()
    return world.check()


def wiped(world):
    """The cluster comes back without anything that it held."""
    world.etcd.kill()
    world.etcd.wipe()
    world.etcd.start()
    began = time.monotonic()
    eventually(world.registered, "every worker in the store", 60)
    return {"published_again_s": round(time.monotonic() - began, 2), **world.check()}


def compaction(world):
    """A watcher is held up while the history that it needs is thrown away."""
    watcher = world.cluster.start("watch")
    watcher.stdout.wait_for('"synced"|synced')
    watcher.send(signal.SIGSTOP)
    more = world.cluster.start("serve", ENDPOINT)
    more.stderr.wait_for(r"^ready ")
    (extra,) = more.instance_ids()
    more.terminate()
    assert more.wait(60) == 0, more.stderr_tail()
    last = world.cluster.start("serve", "demo.backend.later")
    last.stderr.wait_for(r"^ready ")
    status = json.loads(world.etcd.control("endpoint", "status", "--write-out=json"))
    world.etcd.control("compaction", str(status[0]["Status"]["header"]["revision"]))
    for member in world.etcd.members:  # so that its stream breaks off
        member.kill()
        member.start()
        world.etcd.leader()
    time.sleep(world.numbers["seconds"])
    watcher.send(signal.SIGCONT)
    watcher.stdout.wait_for(last.instance_ids()[0])
    shown = [line.text for line in watcher.stdout.lines if extra in line.text]
    assert len(shown) in (0, 2), shown  # never seen, or seen come and go
    last.terminate()
    assert last.wait(60) == 0, last.stderr_tail()
    watcher.terminate()
    watcher.wait(60)
    return world.check(may_leave=(extra,))


def busy(world):
    """Handlers of 20 ms each take all of every primary loop: there is always one more that waits."""
    waiting = str(2 * len(world.workers))
    request = '{"items":2,"delay_ms":1,"hold_ms":20}'
    load = world.cluster.start("call", ENDPOINT, request, "--count", "1000000", "--concurrency", waiting)
    time.sleep(world.numbers["seconds"])
    assert load.running(), load.stderr_tail()
    load.kill()
    time.sleep(2)
    return world.check()


def held(world):
    """Handlers hold every loop of one worker: it is left alone, stays registered, and comes back."""
    (victim,) = world.ids[:1]
    held_for = world.numbers["seconds"]
    request = json.dumps({"items": 2, "delay_ms": 1, "hold_ms": int(held_for * 1000)})
    holder = world.cluster.start(
        "call", ENDPOINT, request, "--mode", "direct", "--instance", victim, "--timeout", str(held_for + 30)
    )
    for client in world.clients:
        client.stdout.wait_until(
            lambda lines: [line for line in lines if f'"left":"{victim}"' in line.text], "its leaving", 30
        )
    end = time.monotonic() + held_for - 5
    while time.monotonic() < end:
        assert KEY + victim in world.etcd.keys(KEY), "its record is gone"
        time.sleep(1)
    for client in world.clients:
        client.stdout.wait_until(
            lambda lines: sum(f'"entered":"{victim}"' in line.text for line in lines) >= 2, "its return", 60
        )
    holder.wait(60)
    return world.check(may_leave=(victim,))


# What happens, in a minute and as long as it is meant.
SHORT = {"workers": 6, "clients": 2, "rate": 200, "ttl": 3}
LONG = {"workers": 20, "clients": 4, "rate": 200, "ttl": 10}
SCENARIOS = {
    "leader": (leader, {"seconds": 60, "every": 5}, {"seconds": 600, "every": 30}),
    "paused": (paused, {"seconds": 6}, {"seconds": 30}),
    "down": (down, {}, {}),
    "wiped": (wiped, {}, {}),
    "compaction": (compaction, {"seconds": 1}, {"seconds": 10}),
    "busy": (busy, {"seconds": 20}, {"seconds": 120}),
    "held": (held, {"seconds": 12}, {"seconds": 60}),
}


def main():
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("scenario", choices=SCENARIOS)
    parser.add_argument("--form", choices=("chaos", "soak"), default="chaos")
    for name in ("seconds", "every", *SHORT):
        parser.add_argument(f"--{name}", type=float if name in ("seconds", "every") else int)
    arguments = parser.parse_args()
    happens, short, long = SCENARIOS[arguments.scenario]
    numbers = {**SHORT, **short} if arguments.form == "chaos" else {**LONG, **long}
    given = {name: value for name, value in vars(arguments).items() if name in numbers and value is not None}
    numbers |= given
    began = time.monotonic()
    with World(numbers) as world:
        outcome = happens(world)
    outcome["took_s"] = round(time.monotonic() - began, 1)
    print(json.dumps({"scenario": arguments.scenario, **numbers, **outcome}))


if __name__ == "__main__":
    sys.exit(main())
