"""Real etcd on free ports of this machine, with a folder of its own: one member or several."""

import contextlib
import json
import os
import pathlib
import random
import shutil
import signal
import socket
import subprocess
import tempfile
import time
import urllib.error
import urllib.request


def free_ports(count):
    """Ports that are free now: all are bound before any is given back.

    Of those that the kernel gives to nobody who connects or asks for any port, so that a server that is started again
    finds its own still free.
    """
    chosen_by_kernel = int(pathlib.Path("/proc/sys/net/ipv4/ip_local_port_range").read_text().split()[0])
    sockets = []
    while len(sockets) < count:
        made = socket.socket()
        with contextlib.suppress(OSError):
            made.bind(("127.0.0.1", random.randrange(chosen_by_kernel // 2, chosen_by_kernel)))
            sockets.append(made)
    ports = [each.getsockname()[1] for each in sockets]
    for each in sockets:
        each.close()
    return ports


class Member:
    """One process of a cluster; `peers` is {name: peer url} of all."""

    def __init__(self, name, client, peers, folder):
        self.name = name
        self.url = f"http://127.0.0.1:{client}"
        self._port = client
        self._peers = peers
        self.folder = folder
        self._process = None

    def launch(self):
        peer = self._peers[self.name]
        with open(self.folder / f"{self.name}.log", "ab") as log:
            self._process = subprocess.Popen(
                [
                    "setpriv", "--pdeathsig", "KILL", "--",
                    "etcd",
                    f"--name={self.name}",
                    f"--data-dir={self.folder / self.name}",
                    f"--listen-client-urls={self.url}",
                    f"--advertise-client-urls={self.url}",
                    f"--listen-peer-urls={peer}",
                    f"--initial-advertise-peer-urls={peer}",
                    f"--initial-cluster={','.join(f'{name}={url}' for name, url in self._peers.items())}",
                    "--heartbeat-interval=50",
                    "--election-timeout=500",
                    "--log-level=warn",
                    "--logger=zap",
                ],
                stdout=log,
                stderr=log,
                stdin=subprocess.DEVNULL,
            )  # fmt: skip

    def wait(self, timeout=30):
        """Until it listens."""
        end = time.monotonic() + timeout
        while time.monotonic() < end:
            with socket.socket() as tried:
                if tried.connect_ex(("127.0.0.1", self._port)) == 0:
                    return
            time.sleep(0.01)
        raise AssertionError((self.folder / f"{self.name}.log").read_text()[-2000:])

    def works(self):
        """Whether it knows a leader."""
        with contextlib.suppress(urllib.error.HTTPError):
            with urllib.request.urlopen(f"{self.url}/health", timeout=10) as answer:
                return json.load(answer)["health"] == "true"
        return False

    def start(self):
        self.launch()
        self.wait()

    def kill(self):
        self._process.kill()
        self._process.wait()

    def pause(self):
        self._process.send_signal(signal.SIGSTOP)

    def resume(self):
        self._process.send_signal(signal.SIGCONT)

    def wipe(self):
        shutil.rmtree(self.folder / self.name)


class Etcd:
    """A cluster; with one member it is that member, too."""

    def __init__(self, members=1):
        shared_memory = pathlib.Path("/dev/shm")
        place = shared_memory if os.access(shared_memory, os.W_OK) else None
        self.folder = pathlib.Path(tempfile.mkdtemp(prefix="stator-etcd-", dir=place))
        ports = free_ports(2 * members)
        peers = {f"m{i}": f"http://127.0.0.1:{port}" for i, port in enumerate(ports[members:])}
        self.members = [Member(f"m{i}", port, peers, self.folder) for i, port in enumerate(ports[:members])]
        self.url = ",".join(member.url for member in self.members)
        self.start()
        # One that is killed for the first time before it has stored who belongs to its cluster never
        # works again.
        self.wait_until_it_works()

    def start(self):
        for member in self.members:
            member.launch()
        for member in self.members:
            member.wait()

    def wait_until_it_works(self, timeout=30):
        end = time.monotonic() + timeout
        while not all(member.works() for member in self.members):
            assert time.monotonic() < end, f"no leader in {timeout} s"
            time.sleep(0.01)

    def kill(self):
        for member in self.members:
            member.kill()

    def pause(self):
        for member in self.members:
            member.pause()

    def resume(self):
        for member in self.members:
            member.resume()

    def wipe(self):
        for member in self.members:
            member.wipe()

    def leader(self, timeout=20):
        """The member that leads, once there is one."""
        end = time.monotonic() + timeout
        while time.monotonic() < end:
            with contextlib.suppress(AssertionError, KeyError):
                answers = json.loads(self.control("endpoint", "status", "--write-out=json", timeout=0))
                for answer in answers:
                    status = answer["Status"]
                    if status.get("leader") and status["leader"] == status["header"]["member_id"]:
                        return next(member for member in self.members if member.url == answer["Endpoint"])
            time.sleep(0.1)
        raise AssertionError(f"no leader in {timeout} s")

    def control(self, *arguments, timeout=10):
        """What etcdctl prints, once it succeeds."""
        end = time.monotonic() + timeout
        while True:
            done = subprocess.run(
                ["etcdctl", f"--endpoints={self.url}", *arguments],
                env={**os.environ, "ETCDCTL_API": "3"},
                capture_output=True,
                text=True,
            )
            if done.returncode == 0:
                return done.stdout
            if time.monotonic() > end:
                raise AssertionError(f"etcdctl {arguments}: {done.stderr}")
            time.sleep(0.1)

    def keys(self, prefix="v1/instances/"):
        return self.control("get", "--prefix", "--keys-only", prefix).split()

    def close(self):
        self.kill()
        shutil.rmtree(self.folder, ignore_errors=True)


def over_etcd(test, **settings):
    """One member for the time of a test, and what runs over it: (etcd, cluster)."""
    etcd = Etcd()
    test.addCleanup(etcd.close)
    return etcd, test.cluster(DYN_DISCOVERY_BACKEND="etcd", ETCD_ENDPOINTS=etcd.url, **settings)
