"""Objects in NATS that another client and ours have put there.

objects_test.py [-v]
"""

import json
import os
import pathlib
import shutil
import subprocess
import tempfile
import unittest

from interop import HERE, PATIENCE, TestCase
from nats import Nats

BUCKET = "things"
SIZES = (0, 1, 131_072, 131_073, 1_000_000)
NAMES = ("plain", "with space", "a/b.c", "*.>", "日本語", '"{}\n')


def python_of_peers():
    script = HERE / "peers" / "install.sh"
    folder = pathlib.Path(subprocess.check_output([script, "--where"], text=True).strip())
    if not (folder / "installed-nats").exists():
        raise AssertionError(f"no nats-py in {folder}; tests/interop/peers/install.sh nats installs it")
    return str(folder / "bin" / "python")


class Objects(TestCase):
    def setUp(self):
        self.server = Nats.with_jetstream()
        self.addCleanup(self.server.close)
        self.members = self.cluster(DYN_DISCOVERY_BACKEND="file", NATS_SERVER=self.server.url)
        self.folder = pathlib.Path(tempfile.mkdtemp(prefix="stator-objects-"))
        self.addCleanup(shutil.rmtree, self.folder)
        self.file = self.folder / "file"

    def ours(self, action, *arguments):
        commands = {"put": "put", "get": "get", "remove": "rm", "list": "ls"}
        done = self.members.run("nats", "object", commands[action], BUCKET, *map(str, arguments), "--json")
        self.assertEqual(done.status, 0, done.stderr.text())
        return json.loads(done.stdout.text())

    def theirs(self, action, *arguments):
        command = [python_of_peers(), str(HERE / "peers" / "objects.py"), self.server.url, BUCKET, action]
        done = subprocess.run([*command, *map(str, arguments)], capture_output=True, text=True, timeout=PATIENCE)
        self.assertEqual(done.returncode, 0, done.stderr)
        return json.loads(done.stdout)

    def check(self, writer, reader):
        for name, content in [(NAMES[0], os.urandom(size)) for size in SIZES] + [(name, b"x") for name in NAMES]:
            self.file.write_bytes(content)
            put = writer("put", name, self.file)
            self.file.unlink()
            got = reader("get", name, self.file)
            self.assertEqual(self.file.read_bytes(), content)
            for key in ("name", "size", "chunks", "digest"):
                self.assertEqual(put[key], got[key])
        listed = sorted(each["name"] for each in reader("list"))
        self.assertEqual(listed, sorted(NAMES))
        writer("remove", NAMES[0])
        self.assertNotIn(NAMES[0], [each["name"] for each in reader("list")])

    def test_ours_are_theirs(self):
        self.check(self.ours, self.theirs)

    def test_theirs_are_ours(self):
        self.check(self.theirs, self.ours)

    def test_each_writes_over_the_others(self):
        for writer, reader in ((self.ours, self.theirs), (self.theirs, self.ours)) * 2:
            content = os.urandom(300_000)
            self.file.write_bytes(content)
            writer("put", "one", self.file)
            self.file.unlink()
            reader("get", "one", self.file)
            self.assertEqual(self.file.read_bytes(), content)
        self.assertEqual(len(self.ours("list")), 1)


if __name__ == "__main__":
    unittest.main()
