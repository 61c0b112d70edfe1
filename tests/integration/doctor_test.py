"""`stator doctor`: what is wrong with an instance is said where it is wrong, and nowhere else."""

import json
import socket
import unittest

from harness import TestCase

EP = "demo.backend.generate"


class Doctor(TestCase):
    def findings(self, cluster, *arguments, status):
        """(verdict, check) -> the messages."""
        run = cluster.run("doctor", *arguments, "--json")
        self.assertEqual(run.status, status, run.stderr.text())
        found = {}
        for each in json.loads(run.stdout.text()):
            found.setdefault((each["verdict"], each["check"]), []).append(each["message"])
        return found

    def record(self, cluster):
        (path,) = (cluster.kv / "v1" / "instances").glob("[!.]*")
        return path, json.loads(path.read_text())

    def copy(self, cluster, identity, **fields):
        """One more record, of another id."""
        path, record = self.record(cluster)
        record |= {"instance_id": identity} | fields
        name = path.name.rpartition("%2F")[0] + f"%2F{identity:x}"
        (path.parent / name).write_text(json.dumps(record))

    def test_all_is_well(self):
        cluster = self.cluster()
        cluster.serve()
        found = self.findings(cluster, EP, status=0)
        self.assertEqual({check for _, check in found}, {"store", "record", "address", "mux", "dynamo"})
        self.assertEqual({verdict for verdict, _ in found}, {"ok"})
        table = cluster.run("doctor")
        self.assertEqual(table.status, 0, table.stderr.text())
        self.assertEqual(len(table.stdout.text().splitlines()), 5)

    def test_nobody_serves_it(self):
        cluster = self.cluster()
        cluster.serve()
        found = self.findings(cluster, "demo.backend.generat", status=1)
        self.assertIn("did you mean demo.backend.generate?", found["bad", "record"][0])
        self.assertEqual(cluster.run("doctor", "not a path").status, 2)

    def test_a_record_that_no_client_accepts(self):
        cluster = self.cluster()
        cluster.serve()
        self.copy(cluster, 0x77, transport={"carrier": "pigeon"})
        found = self.findings(cluster, EP, status=1)
        self.assertIn("instance.transport", found["bad", "record"][0])
        self.assertIn(("ok", "mux"), found, "the other one is well")

    def test_nobody_listens_there(self):
        cluster = self.cluster()
        cluster.serve()
        with socket.create_server(("127.0.0.1", 0)) as listener:
            port = listener.getsockname()[1]
        self.copy(cluster, 0x77, transport={"tcp": f"127.0.0.1:{port}/77/a/b/c"}, x_stator=None)
        found = self.findings(cluster, EP, status=1)
        self.assertIn("refused", found["bad", "address"][0])
        self.assertNotIn(("bad", "dynamo"), found, "what cannot be reached is not asked")

    def test_somebody_else_listens_there(self):
        cluster = self.cluster()
        cluster.serve()
        with socket.create_server(("127.0.0.1", 0)) as listener:  # accepts, and says nothing
            place = f"127.0.0.1:{listener.getsockname()[1]}"
            self.copy(
                cluster,
                0x77,
                transport={"tcp": f"{place}/77/a/b/c"},
                x_stator={"mux": place, "versions": [1, 1], "tls": False},
            )
            found = self.findings(cluster, EP, status=1)
        self.assertEqual(len(found["ok", "address"]), 2)
        self.assertEqual((len(found["bad", "mux"]), len(found["bad", "dynamo"])), (1, 1), found)


if __name__ == "__main__":
    unittest.main()
