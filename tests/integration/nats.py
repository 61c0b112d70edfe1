"""A real nats-server on a free port of this machine, with a folder of its own."""

import pathlib
import shutil
import socket
import subprocess
import tempfile
import time

from etcd import free_ports


class Nats:
    store = None

    def __init__(self, configuration=""):
        self.folder = pathlib.Path(tempfile.mkdtemp(prefix="stator-nats-"))
        (self._port,) = free_ports(1)
        self.url = f"nats://127.0.0.1:{self._port}"
        (self.folder / "conf").write_text(f"listen: 127.0.0.1:{self._port}\n{configuration}\n")
        self._process = None
        self.start()

    def start(self):
        with open(self.folder / "log", "ab") as log:
            self._process = subprocess.Popen(
                ["setpriv", "--pdeathsig", "KILL", "--", "nats-server", "-c", str(self.folder / "conf")],
                stdout=log,
                stderr=log,
                stdin=subprocess.DEVNULL,
            )
        end = time.monotonic() + 20
        while time.monotonic() < end:
            with socket.socket() as tried:
                if tried.connect_ex(("127.0.0.1", self._port)) == 0:
                    return
            time.sleep(0.01)
        raise AssertionError((self.folder / "log").read_text()[-2000:])

    def signal(self, number):
        self._process.send_signal(number)

    def kill(self):
        self._process.kill()
        self._process.wait()

    @classmethod
    def with_jetstream(cls):
        folder = tempfile.mkdtemp(prefix="stator-jetstream-")
        made = cls(f'jetstream {{ store_dir: "{folder}" }}')
        made.store = folder
        return made

    def close(self):
        self.kill()
        shutil.rmtree(self.folder, ignore_errors=True)
        if self.store:
            shutil.rmtree(self.store, ignore_errors=True)
