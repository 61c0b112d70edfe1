"""TLS from outside: what is refused at start, and who reaches whom."""

import json
import pathlib
import sys
import unittest

from harness import TestCase, summary_of

sys.path.append(str(pathlib.Path(__file__).parent.parent / "interop"))
from certificates import Certificates  # noqa: E402

EP = "demo.backend.generate"


class Tls(TestCase):
    @classmethod
    def setUpClass(cls):
        cls.made = cls.enterClassContext(Certificates())

    def test_calls_over_tls(self):
        for settings in (self.made.server(), self.made.mutual()):
            cluster = self.cluster(**settings)
            worker = cluster.serve()
            call = cluster.call({"items": 20, "size": 100_000}, "--count", "20", "--concurrency", "4")
            self.assertEqual(call.status, 0, call.stderr.text())
            self.assertEqual(summary_of(call)["succeeded"], 20)
            worker.terminate()
            self.assertEqual(worker.wait(), 0, worker.stderr.text())

    def assert_unreachable(self, worker, client, says):
        cluster = self.cluster()
        cluster.serve(**worker)
        call = cluster.call({}, **client)
        self.assert_ended(call, 3, "unavailable", says)

    def test_who_is_not_let_in(self):
        server, mutual = self.made.server(), self.made.mutual()
        self.assert_unreachable(mutual, self.made.mutual(presents="none"), "certificate required")
        self.assert_unreachable(mutual, self.made.mutual(presents="stranger"), "unknown ca")
        foreign = server | {"DYN_TCP_TLS_CA_CERT_PATH": str(self.made.foreign.certificate)}
        self.assert_unreachable(server, foreign, "its certificate is not accepted")
        self.assert_unreachable(server, {}, "DYN_TCP_TLS_CA_CERT_PATH is not set here")
        self.assert_unreachable({}, server, "speaks no TLS")

    def test_the_doctor_knows(self):
        server = self.made.server()
        cluster = self.cluster()
        cluster.serve(**server)
        well = cluster.run("doctor", "--json", **server)
        self.assertEqual(well.status, 0, well.stdout.text())
        self.assertEqual(len(json.loads(well.stdout.text())), 5)
        ill = cluster.run("doctor", "--json")
        self.assertEqual(ill.status, 1, ill.stdout.text())
        bad = {each["check"]: each["message"] for each in json.loads(ill.stdout.text()) if each["verdict"] == "bad"}
        self.assertIn("DYN_TCP_TLS_CA_CERT_PATH is not set here", bad["tls"])

    def test_what_is_of_no_use_is_refused_at_start(self):
        cluster = self.cluster()
        garbage = cluster.kv.parent / "garbage.pem"
        garbage.write_text("no PEM\n")
        mutual = self.made.mutual()
        for name, file in mutual.items():
            table = [
                ({name: str(garbage)}, [name, str(garbage)]),
                ({name: "/nowhere/x.pem"}, [name, "/nowhere/x.pem", "No such file"]),
            ]
            if name not in ("DYN_TCP_TLS_CLIENT_CA_CERT_PATH",):
                table.append(({name: ""}, [name, "is not"]))
            for change, words in table:
                for command in (("serve", EP), ("call", EP, "{}")):
                    with self.subTest(change=change, command=command):
                        program = cluster.run(*command, **(mutual | change))
                        self.assert_ended(program, 2, "invalid_request")
                        for word in words:
                            self.assertIn(word, program.error()["message"])
        _, key = self.made.ours.sign("other")
        program = cluster.run("serve", EP, **(mutual | {"DYN_TCP_TLS_KEY_PATH": str(key)}))
        self.assert_ended(program, 2, "invalid_request", "not the key of the certificate")


if __name__ == "__main__":
    unittest.main()
