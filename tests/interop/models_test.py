"""What only our own workers do behind the real OpenAI frontend: error statuses, overload, conflicts, the tool, the
example."""

import concurrent.futures
import json
import os
import subprocess
import unittest

from frontend_test import PATIENCE, Frontend, slow, wait_until
from interop import records

# Of an error before the first word, in one piece: docs/openai.md.
STATUS_OF = {
    "invalid_request": 400,
    "unauthenticated": 401,
    "permission_denied": 403,
    "not_found": 404,
    "already_exists": 409,
    "payload_too_large": 413,
    "overloaded": 529,
    "cancelled": 499,
    "deadline_exceeded": 504,
    "unimplemented": 501,
    "protocol": 502,
    "internal": 500,
    # Last: routers put the instance aside after it.
    "unavailable": 503,
}


class OurWorkers(unittest.TestCase):
    maxDiff = None

    @classmethod
    def setUpClass(cls):
        cls.cluster = Frontend([os.environ["STATOR_INTEROP_PEER"], "model"])
        cls.addClassCleanup(cls.cluster.__exit__)
        cls.client = cls.cluster.client

    def start(self, command, model):
        """A program that serves the model; it is gone after the test."""
        program = self.cluster.start_peer(command)
        self.addCleanup(self.end, program)
        wait_until(lambda: model in self.client.models(), f"the model {model} of {command}")
        return program

    @staticmethod
    def end(program):
        if program.running():
            program.terminate()
            program.wait()

    def worker(self, *options):
        return self.start([*self.cluster.command, *options], options[1])

    def stator(self, *arguments):
        return subprocess.run(
            [os.environ["STATOR"], *arguments],
            env=self.cluster.environment,
            capture_output=True,
            text=True,
            timeout=PATIENCE,
            check=False,
        )

    def test_statuses_of_errors(self):
        self.worker("--chat", "failing")
        seen = {}
        for code in STATUS_OF:
            answer = self.client.ask("failing", slow(1, 0, fail_after=0, fail=code))
            seen[code] = answer.status
            answer = self.client.ask("failing", slow(2, 0, fail_after=1, fail=code), stream=True)
            self.assertEqual((answer.outcome, answer.error["code"]), ("stream error", STATUS_OF[code]), code)
        self.assertEqual(seen, STATUS_OF)

    def test_a_request_that_is_wrong_for_us(self):
        self.worker("--chat", "strict")
        answer = self.client.ask("strict", "!{no json")
        self.assertEqual((answer.outcome, answer.status), ("http error", 400), answer)
        self.assertEqual(self.client.ask("strict", "go on").outcome, "ok", "it is not put aside")

    def test_full_worker(self):
        worker = self.worker("--chat", "full", "--max-inflight", "1")
        with concurrent.futures.ThreadPoolExecutor(1) as pool:
            first = pool.submit(self.client.ask, "full", slow(30, 50), stream=True)
            worker.event("request")
            for stream in (False, True):
                answer = self.client.ask("full", "hello", stream=stream)
                self.assertEqual((answer.outcome, answer.status), ("http error", 529), answer)
            self.assertEqual(first.result().outcome, "ok")
        wait_until(lambda: self.client.ask("full", "hello").outcome == "ok", "an answer once there is room")

    def test_embeddings_as_base64(self):
        self.worker("--embeddings", "packed")
        answer = self.client.ask("packed", ["a"], api="embeddings", encoding_format="base64")
        self.assertEqual(answer.outcome, "ok", answer)
        # base64.b64encode(struct.pack("<3f", 0.5, -1.0, 0.25))
        self.assertEqual(answer.body["data"][0]["embedding"], "AAAAPwAAgL8AAIA+")

    def test_a_list_of_prompts(self):
        self.worker("--chat", "several")
        answer = self.client.ask("several", ["a b", "c"], api="completions")
        self.assertEqual(answer.outcome, "ok", answer)
        self.assertEqual(sorted(one["text"] for one in answer.body["choices"]), ["a b ", "c "])

    def test_conflicting_cards(self):
        self.worker("--chat", "same")
        other = self.cluster.start_peer([*self.cluster.command, "--chat", "same", "--context-length", "9"])
        self.assertNotEqual(other.wait(), 0)
        self.assertIn("context_length", other.stderr_tail())
        self.assertEqual(len(list(records(self.cluster.kv, "dyn.same.generate"))), 1)

    def test_the_tool_serves_and_lists_a_model(self):
        self.start([os.environ["STATOR"], "serve", "dyn.tool.generate", "--openai-model", "Tool/1.0"], "Tool/1.0")
        for stream in (True, False):
            answer = self.client.ask("Tool/1.0", "The license", stream=stream, max_tokens=7, seed=1)
            self.assertEqual((answer.outcome, answer.finish), ("ok", "length"), answer)
            self.assertEqual(answer.usage["completion_tokens"], 7)
        listed = [one for one in json.loads(self.stator("ls", "--models", "--json").stdout) if one["name"] == "Tool/1.0"]
        instance = listed[0].pop("instance_id")
        self.assertEqual(
            listed,
            [
                {
                    "name": "Tool/1.0",
                    "namespace": "dyn",
                    "component": "tool",
                    "endpoint": "generate",
                    "model_type": "Chat | Completions",
                    "model_input": "Text",
                }
            ],
        )
        self.assertIn(instance, self.stator("ls", "--models").stdout)

    def test_the_example(self):
        program = self.start([os.environ["STATOR_OPENAI_WORKER"]], "licences")
        answer = self.client.ask("licences", "The license", stream=True, max_tokens=5)
        self.assertEqual((answer.outcome, answer.finish), ("ok", "length"), answer)
        self.assertEqual(self.client.ask("licences", "hello", api="completions", max_tokens=3).outcome, "ok")
        self.assertEqual(self.client.ask("licences", "").status, 400)
        program.terminate()
        self.assertEqual(program.wait(), 0)


if __name__ == "__main__":
    unittest.main()
