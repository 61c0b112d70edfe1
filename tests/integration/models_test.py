"""Models: served, listed, asked as a frontend asks them, and gone with their instances."""

import json
import pathlib
import unittest

from harness import TestCase

EP = "demo.backend.generate"


def chat(text, **more):
    return {"model": "tiny", "messages": [{"role": "user", "content": text}]} | more


class Models(TestCase):
    def listed(self, cluster):
        listed = cluster.run("ls", "--models", "--json")
        self.assertEqual(listed.status, 0, listed.stderr.text())
        return json.loads(listed.stdout.text())

    def test_a_model_is_listed_while_it_is_served(self):
        cluster = self.cluster()
        self.assertEqual(self.listed(cluster), [])
        worker = cluster.serve(EP, "--openai-model", "Org/Tiny", instances=2)
        expected = [
            {
                "name": "Org/Tiny",
                "namespace": "demo",
                "component": "backend",
                "endpoint": "generate",
                "instance_id": identity,
                "model_type": "Chat | Completions",
                "model_input": "Text",
            }
            for identity in sorted(worker.instance_ids(), key=lambda identity: f"demo/{identity}")
        ]
        self.assertEqual(self.listed(cluster), expected)
        table = cluster.run("ls", "--models").stdout.text().splitlines()
        self.assertEqual(table[0].split(), ["MODEL", "NAMESPACE", "COMPONENT", "ENDPOINT", "INSTANCE", "TYPE", "INPUT"])
        self.assertEqual(len(table), 3)
        self.assertEqual(len(cluster.ls()), 2, "instances are listed as ever")
        worker.terminate()
        self.assertEqual(worker.wait(), 0, worker.stderr.text())
        self.assertEqual(self.listed(cluster), [])

    def test_chat_and_completions(self):
        cluster = self.cluster()
        cluster.serve(EP, "--openai-model", "tiny")
        call = cluster.call(chat("The license", max_tokens=5, seed=3))
        self.assertEqual(call.status, 0, call.stderr.text())
        *pieces, last, usage = call.items()
        text = "".join(piece["choices"][0]["delta"]["content"] for piece in pieces)
        self.assertEqual(len(pieces), 5)
        self.assertEqual(last["choices"][0]["finish_reason"], "length")
        self.assertEqual(usage["usage"], {"prompt_tokens": 2, "completion_tokens": 5, "total_tokens": 7})
        again = cluster.call({"model": "tiny", "prompt": "The license", "max_tokens": 5, "seed": 3})
        self.assertEqual("".join(one["choices"][0]["text"] for one in again.items()[:-1]), text, "the same seed")

    def test_a_request_that_is_none(self):
        cluster = self.cluster()
        cluster.serve(EP, "--openai-model", "tiny")
        self.assert_ended(cluster.call({"model": "tiny"}), 1, "invalid_request", "openai.messages")
        self.assert_ended(cluster.call(chat("a", max_tokens="many")), 1, "invalid_request", "openai.max_tokens")

    def test_a_killed_workers_successor_says_the_same(self):
        cluster = self.cluster()
        worker = cluster.serve(EP, "--openai-model", "tiny")
        worker.kill()
        worker.wait()
        cluster.serve(EP, "--openai-model", "tiny")

    def test_a_conflicting_card_is_refused_by_name(self):
        cluster = self.cluster()
        worker = cluster.serve(EP, "--openai-model", "tiny")
        (identity,) = worker.instance_ids()
        # Of a worker that is somewhere else: the same model, but longer.
        records = pathlib.Path(cluster.kv, "v1", "mdc")
        (path,) = records.glob("[!.]*")
        record = json.loads(path.read_text())
        record["instance_id"] = 0xABC
        record["card_json"]["context_length"] = 9
        (records / path.name.replace(identity, "abc")).write_text(json.dumps(record))
        worker.terminate()
        worker.wait()
        other = cluster.start("serve", EP, "--openai-model", "tiny")
        error = self.assert_ended(other, 1, "already_exists", "context_length")
        self.assertEqual(error["detail"], "model.conflict")
        self.assertIn("abc", error["message"])
        self.assertEqual(cluster.ls(), [])


if __name__ == "__main__":
    unittest.main()
