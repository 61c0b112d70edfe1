"""The real OpenAI frontend (`python -m dynamo.frontend`) over workers of one kind, real or ours.

STATOR_INTEROP_MODEL_WORKER is the command of the worker, with the options of peers/chat_worker.py; without it, that
real worker is used: then this tests the harness.
"""

import collections
import concurrent.futures
import json
import os
import shlex
import socket
import time
import unittest

from interop import HERE, PATIENCE, Peers, real_python, virtual_environment
from openai_client import OpenAiClient

STREAMS = 50
KILL_SEEN_WITHIN = 0.1  # seconds


def free_port():
    with socket.socket() as listener:
        listener.bind(("127.0.0.1", 0))
        return listener.getsockname()[1]


def worker_command():
    given = os.environ.get("STATOR_INTEROP_MODEL_WORKER")
    return shlex.split(given) if given else [real_python(), "-B", str(HERE / "peers" / "chat_worker.py")]


def wait_until(condition, what, timeout=PATIENCE):
    end = time.monotonic() + timeout
    while not condition():
        if time.monotonic() > end:
            raise AssertionError(f"no sign in {timeout} s of {what}")
        time.sleep(0.02)


def slow(words, delay_ms, **more):
    return "!" + json.dumps({"words": words, "delay_ms": delay_ms} | more)


def text_of(words):
    return "".join(f"w{number} " for number in range(words))


class Frontend(Peers):
    """The frontend and the workers behind it, in a discovery folder of their own."""

    def __init__(self, command=None):
        if not (virtual_environment() / "installed-frontend").exists():
            raise AssertionError("no Dynamo frontend; tests/interop/peers/install.sh frontend installs it")
        super().__init__(HF_HUB_OFFLINE="1")
        # It keeps copies of model cards in the user's folder.
        self.environment["HOME"] = str(self.kv.parent)
        port = free_port()
        self.client = OpenAiClient(port, PATIENCE)
        frontend = [real_python(), "-m", "dynamo.frontend", "--http-host", "127.0.0.1", "--http-port", str(port)]
        self.port = port
        self.command = command or worker_command()
        self.frontend = self.start_peer([*frontend, "--discovery-backend", "file", "--request-plane", "tcp"])
        wait_until(self._is_healthy, "the frontend's health", 60)

    def realtime(self, model, *events, close_after=0):
        """A session over a WebSocket that sends those events."""
        client = [real_python(), "-B", str(HERE / "peers" / "realtime_client.py"), "--port", str(self.port)]
        return self.start_peer([*client, "--model", model, "--close-after", str(close_after), *events])

    def _is_healthy(self):
        if not self.frontend.running():
            raise AssertionError(f"the frontend ended:\n{self.frontend.stderr_tail()}")
        try:
            return self.client.get("/health")[0] == 200
        except OSError:
            return False

    def worker(self, *options):
        """A worker, as soon as the frontend gives its models requests."""
        worker = self.start_peer([*self.command, *options])
        worker.event("ready")
        wait_until(lambda: set(options[1::2]) <= set(self.client.models()), f"the models of {options}")
        return worker

    def many(self, count, model, prompt):
        """That many streams at a time, as futures."""
        pool = concurrent.futures.ThreadPoolExecutor(count)
        futures = [pool.submit(self.client.ask, model, prompt, stream=True) for _ in range(count)]
        pool.shutdown(wait=False)
        return futures


class OverTheFrontend(unittest.TestCase):
    maxDiff = None

    @classmethod
    def setUpClass(cls):
        cls.cluster = Frontend()
        cls.addClassCleanup(cls.cluster.__exit__)
        cls.client = cls.cluster.client

    def workers(self, model, count=1):
        """Of one chat model; they are gone after the test."""
        workers = [self.cluster.worker("--chat", model) for _ in range(count)]
        if count > 1:
            self.wait_for_all(model, workers)
        for worker in workers:
            self.addCleanup(self.end, worker)
        return workers

    @staticmethod
    def end(worker):
        if worker.running():
            worker.terminate()
            worker.wait()

    def wait_for_all(self, model, workers):
        """Until each has been asked."""

        def asked():
            self.client.ask(model, "hello")
            return all(worker.events("request") for worker in workers)

        wait_until(asked, "requests at every worker")
        for worker in workers:
            worker.mark()


class Apis(OverTheFrontend):
    @classmethod
    def setUpClass(cls):
        super().setUpClass()
        cls.worker = cls.cluster.worker("--chat", "words", "--chat", "others", "--embeddings", "vectors")

    def test_models_are_listed(self):
        self.assertEqual(self.client.models(), ["others", "vectors", "words"])

    def test_chat_stream(self):
        answer = self.client.ask("words", "hello wide world", stream=True)
        self.assertEqual((answer.outcome, answer.text, answer.finish), ("ok", "hello wide world ", "stop"))
        self.assertGreaterEqual(answer.chunks, 3)

    def test_chat_in_one_piece(self):
        answer = self.client.ask("words", "hello wide world")
        self.assertEqual((answer.outcome, answer.text, answer.finish), ("ok", "hello wide world ", "stop"))
        self.assertEqual(answer.body["object"], "chat.completion")
        self.assertEqual(answer.usage["total_tokens"], 6)

    def test_completions(self):
        for stream in (True, False):
            with self.subTest(stream=stream):
                answer = self.client.ask("words", "hello wide world", api="completions", stream=stream)
                self.assertEqual((answer.outcome, answer.text, answer.finish), ("ok", "hello wide world ", "stop"))

    def test_embeddings(self):
        answer = self.client.ask("vectors", ["a", "b"], api="embeddings")
        self.assertEqual(answer.outcome, "ok", answer)
        self.assertEqual([one["embedding"] for one in answer.body["data"]], [[0.5, -1.0, 0.25]] * 2)
        self.assertEqual(answer.usage["prompt_tokens"], 2)

    def test_responses(self):
        answer = self.client.ask("words", "hello wide world", api="responses")
        self.assertEqual(answer.outcome, "ok", answer)
        (message,) = (one for one in answer.body["output"] if one["type"] == "message")
        self.assertEqual("".join(part["text"] for part in message["content"]), "hello wide world ")

    def test_each_model_has_its_own_handler(self):
        self.worker.mark()
        self.client.ask("others", "hello")
        self.assertEqual(self.worker.event("request")["model"], "others")

    def test_unknown_model(self):
        answer = self.client.ask("nobody", "hello")
        self.assertEqual((answer.outcome, answer.status), ("http error", 404))

    def test_bad_request_in_one_piece(self):
        answer = self.client.ask("words", slow(3, 0, fail_after=0))
        self.assertEqual((answer.outcome, answer.status), ("http error", 400), answer)
        self.assertEqual(self.client.ask("words", "on").outcome, "ok", "its worker goes on being asked")

    def test_bad_request_in_a_stream(self):
        answer = self.client.ask("words", slow(3, 0, fail_after=1), stream=True)
        self.assertEqual((answer.outcome, answer.status, answer.text), ("stream error", 200, "w0 "))
        self.assertEqual(answer.error["code"], 400)

    def test_client_that_disconnects(self):
        late = []
        for _ in range(5):
            self.worker.mark()
            answer = self.client.ask("words", slow(500, 20), stream=True, cancel_after=2)
            self.assertEqual(answer.outcome, "cancelled")
            stopped = self.worker.event("stopped")
            self.assertEqual(stopped["how"], "kill")
            late.append(stopped["t"] - answer.cancelled_at)
        # Other tests may hold the machine for a moment: the usual case counts.
        self.assertLess(sorted(late)[2], KILL_SEEN_WITHIN, late)


class Realtime(OverTheFrontend):
    @classmethod
    def setUpClass(cls):
        super().setUpClass()
        cls.worker = cls.cluster.worker("--realtime", "talk")

    def setUp(self):
        self.worker.mark()

    def test_session(self):
        session = self.cluster.realtime("talk", "session.update", "response.create")
        self.assertEqual(session.event("closed")["code"], 1000)
        messages = [event["message"] for event in session.events("received")]
        self.assertEqual(messages[0]["type"], "session.created")
        self.assertEqual([one["delta"] for one in messages[1:]], ["session.update", "response.create"])

    def test_client_that_leaves(self):
        session = self.cluster.realtime("talk", "session.update", close_after=2)
        left = session.event("closing")["t"]
        stopped = self.worker.event("stopped")
        self.assertIn(stopped["how"], ("stop", "kill"))
        self.assertLess(stopped["t"] - left, 1)


class SeveralWorkers(OverTheFrontend):
    def test_requests_go_round(self):
        workers = self.workers("round", 2)
        for _ in range(10):
            self.assertEqual(self.client.ask("round", "hello").outcome, "ok")
        # What a worker prints is read by a thread of ours, and may come later than the answer.
        wait_until(lambda: sum(len(worker.events("request")) for worker in workers) >= 10, "all requests")
        self.assertEqual([len(worker.events("request")) for worker in workers], [5, 5])

    def test_late_joiner(self):
        self.workers("late")
        self.assertEqual(self.client.ask("late", "hello").outcome, "ok")
        self.wait_for_all("late", self.workers("late"))

    def test_last_worker_leaves(self):
        (worker,) = self.workers("leaving")
        worker.terminate()
        self.assertEqual(worker.wait(), 0)
        wait_until(lambda: "leaving" not in self.client.models(), "a list without the model")
        self.assertEqual(self.client.ask("leaving", "hello").status, 404)

    def begin_streams(self, model, workers):
        """Running streams at every worker; (how many each has, what becomes of them)."""
        futures = self.cluster.many(STREAMS, model, slow(40, 50))
        wait_until(lambda: sum(len(worker.events("request")) for worker in workers) == STREAMS, "all streams")
        counts = [len(worker.events("request")) for worker in workers]
        self.assertTrue(all(counts), counts)
        return counts, futures

    def test_worker_told_to_end_during_streams(self):
        workers = self.workers("ended", 2)
        _, futures = self.begin_streams("ended", workers)
        workers[0].terminate()
        answers = [future.result() for future in futures]
        seen = collections.Counter((answer.outcome, answer.text == text_of(40)) for answer in answers)
        self.assertEqual(seen, {("ok", True): STREAMS})
        self.assertEqual(workers[0].wait(), 0)

    def test_worker_killed_during_streams(self):
        workers = self.workers("killed", 2)
        counts, futures = self.begin_streams("killed", workers)
        workers[0].kill()
        answers = [future.result() for future in futures]
        lost = [answer for answer in answers if answer.outcome == "stream error"]
        whole = [answer for answer in answers if answer.outcome == "ok"]
        self.assertEqual((len(lost), len(whole)), tuple(counts), "exactly what it had is lost")
        self.assertEqual({answer.error["code"] for answer in lost}, {503})
        self.assertEqual({answer.text for answer in whole}, {text_of(40)})
        self.assertEqual(self.client.ask("killed", "hello").outcome, "ok", "the other one goes on")


if __name__ == "__main__":
    unittest.main()
