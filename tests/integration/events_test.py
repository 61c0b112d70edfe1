"""`stator events pub` and `stator events sub`, between processes: directly and by NATS."""

import json
import unittest

from harness import TestCase
from nats import Nats


def lines(program):
    return [json.loads(line) for line in program.stdout.text().splitlines()]


def last_on_stderr(program):
    return json.loads(program.stderr.text().splitlines()[-1])


class Events(TestCase):
    def settings(self):
        return {}

    def setUp(self):
        self.members = self.cluster(DYN_DISCOVERY_BACKEND="file", **self.settings())

    def listen(self, *arguments):
        listener = self.members.start("events", "sub", *arguments)
        listener.stderr.wait_for('"subscribed"')
        return listener

    def publish(self, scope, topic, event):
        """Again and again: who has not dialled yet misses some."""
        return self.members.start(
            "events", "pub", scope, topic, event, "--wait", "0", "--interval", "0.002", "--count", "100000"
        )

    def test_every_listener_gets_every_event(self):
        listeners = [self.listen("demo.backend", "load", "--count", "100") for _ in range(2)]
        publisher = self.publish("demo.backend", "load", '{"active":3}')
        publishers = set()
        for listener in listeners:
            self.assertEqual(listener.wait(), 0, listener.stderr_tail())
            heard = lines(listener)
            first = heard[0]["sequence"]
            self.assertEqual([event["sequence"] for event in heard], list(range(first, first + 100)))
            publishers |= {event["publisher"] for event in heard}
            self.assertEqual(heard[0]["payload"], {"active": 3})
            self.assertEqual(heard[0]["topic"], "load")
            self.assertEqual(last_on_stderr(listener)["missed"], 0)
        publisher.terminate()
        publisher.wait()
        said = publisher.stderr.text().splitlines()
        sent = [json.loads(line) for line in said if line.startswith('{"publisher"')]
        self.assertEqual({line["publisher"] for line in sent}, publishers)
        self.assertGreaterEqual(sent[0]["sent"], 100)

    def test_scopes_and_topics_are_apart(self):
        listener = self.listen("demo.backend.generate", "a", "--count", "50")
        others = (("demo", "a"), ("demo.backend", "a"), ("demo.backend.generate", "ab"))
        publishers = [self.publish(scope, topic, '"of others"') for scope, topic in others]
        publishers.append(self.publish("demo.backend.generate", "a", '"own"'))
        self.assertEqual(listener.wait(), 0, listener.stderr_tail())
        self.assertEqual({event["payload"] for event in lines(listener)}, {"own"})
        for publisher in publishers:
            publisher.terminate()
            publisher.wait()

    def test_the_lines_of_stdin_are_events(self):
        listener = self.listen("demo", "lines", "--count", "30")
        events = [{"n": 1}, [2], 3]
        text = "\n\n".join(json.dumps(event) for event in events * 5000) + "\n"
        options = ("--wait", "0", "--interval", "0.002")
        publisher = self.members.start("events", "pub", "demo", "lines", "-", *options, stdin=text.encode())
        self.assertEqual(listener.wait(), 0, listener.stderr_tail())
        for event in lines(listener):
            self.assertEqual(event["payload"], events[event["sequence"] % 3])
        publisher.terminate()
        publisher.wait()

    def test_time_is_an_end(self):
        quiet = self.members.run("events", "sub", "demo", "t", "--timeout", "0.2")
        self.assertEqual(quiet.status, 0, quiet.stderr.text())
        self.assertEqual(last_on_stderr(quiet)["delivered"], 0)
        few = self.members.run("events", "sub", "demo", "t", "--timeout", "0.2", "--count", "1")
        self.assert_ended(few, 4, "deadline_exceeded")
        stopped = self.listen("demo", "t")
        stopped.interrupt()
        self.assertEqual(stopped.wait(), 0, stopped.stderr_tail())

    def test_what_is_wrong_is_refused_by_name(self):
        run = self.members.run
        self.assert_ended(run("events"), 2, "invalid_request")
        self.assert_ended(run("events", "pub", "Demo", "t", "1"), 2, "invalid_request", "name.invalid")
        self.assert_ended(run("events", "pub", "demo", "t", "{"), 2, "invalid_request")
        self.assert_ended(run("events", "pub", "demo", "", "1"), 1, "invalid_request", "events.topic")
        self.assert_ended(run("events", "sub", "demo", "t", "--overflow", "block"), 2, "invalid_request", "--overflow")
        self.assert_ended(run("events", "sub", "demo", "t", "--count", "0"), 2, "invalid_request", "--count")
        self.assert_ended(run("events", "sub", "demo", "t", "--queue", "0"), 2, "invalid_request", "--queue")


class EventsByNats(Events):
    def settings(self):
        nats = Nats()
        self.addCleanup(nats.close)
        return {"DYN_EVENT_PLANE": "nats", "NATS_SERVER": nats.url}

    def test_a_server_that_is_not_there(self):
        members = self.cluster(
            DYN_DISCOVERY_BACKEND="file",
            DYN_EVENT_PLANE="nats",
            NATS_SERVER="nats://127.0.0.1:1",
            NATS_STARTUP_CONNECT_TIMEOUT_SECONDS="1",
        )
        self.assert_ended(members.run("events", "pub", "demo", "t", "1"), 3, "unavailable", "nats.unreachable")
        # Nobody else needs it.
        self.assertEqual(members.run("ls").status, 0)


class InMemory(TestCase):
    def test_nobody_is_there_to_hear(self):
        alone = self.cluster(DYN_DISCOVERY_BACKEND="mem")
        sent = alone.run("events", "pub", "demo", "t", "1", "--wait", "0")
        self.assertEqual(sent.status, 0, sent.stderr.text())
        self.assertEqual(last_on_stderr(sent)["sent"], 1)


if __name__ == "__main__":
    unittest.main()
