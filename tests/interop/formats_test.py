"""What a real worker writes for others, read by public implementations of the formats (from the package index): the
metrics by prometheus-client, the lines of the log by jsonschema."""

import http.server
import json
import os
import pathlib
import socket
import subprocess
import sys
import threading
import unittest
import urllib.request

HERE = pathlib.Path(__file__).parent
sys.path.insert(0, str(HERE.parent / "integration"))

import raw_dynamo  # noqa: E402
from harness import PATIENCE, TestCase  # noqa: E402

PACKAGES = ["prometheus-client==0.22.1", "jsonschema==4.25.1"]
SCHEMAS = HERE.parents[1] / "docs" / "schemas"
SCHEMA = SCHEMAS / "log-line.json"
CACHE = pathlib.Path(os.environ.get("XDG_CACHE_HOME", pathlib.Path.home() / ".cache")) / "stator"
VENV = CACHE / "formats"

PARSE = """
import json, sys
from prometheus_client.parser import text_string_to_metric_families
families = {}
for family in text_string_to_metric_families(sys.stdin.read()):
    families[family.name] = {
        "type": family.type,
        "help": family.documentation,
        "samples": [[sample.name, sample.labels, sample.value] for sample in family.samples],
    }
json.dump(families, sys.stdout)
"""


VALIDATE = """
import json, sys
import jsonschema
schema = json.load(open(sys.argv[1]))
jsonschema.Draft202012Validator.check_schema(schema)
validator = jsonschema.Draft202012Validator(schema)
for line in sys.stdin:
    for error in validator.iter_errors(json.loads(line)):
        print(line.strip(), error.message)
"""


def setUpModule():
    """Installs them once; later runs use them again."""
    python = VENV / "bin" / "python"
    look = [python, "-c", "import prometheus_client, jsonschema"]
    if python.exists() and subprocess.run(look, capture_output=True, check=False).returncode == 0:
        return
    subprocess.run([sys.executable, "-m", "venv", "--clear", VENV], check=True)
    pip = [python, "-m", "pip", "install", "--quiet", "--no-input", "--disable-pip-version-check"]
    subprocess.run([*pip, *PACKAGES], check=True)


class Metrics(TestCase):
    def parsed(self, worker):
        port = worker.stderr.wait_for(r"status server at \S+:\d+").text.rsplit(":", 1)[1]
        with urllib.request.urlopen(f"http://127.0.0.1:{port}/metrics", timeout=20) as answer:
            self.assertEqual(answer.headers["Content-Type"], "text/plain; version=0.0.4; charset=utf-8")
            text = answer.read()
        command = [VENV / "bin" / "python", "-c", PARSE]
        return json.loads(subprocess.run(command, input=text, capture_output=True, check=True).stdout)

    def test_the_public_parser_reads_all_of_it(self):
        cluster = self.cluster()
        worker = cluster.serve(DYN_SYSTEM_PORT="0", DYN_SYSTEM_HOST="127.0.0.1")
        self.assert_ended(cluster.call({"items": 3}, "--count", "5"), 0)
        families = self.parsed(worker)
        labels = {"dynamo_namespace": "demo", "dynamo_component": "backend", "dynamo_endpoint": "generate"}
        requests = families["dynamo_component_requests"]
        self.assertEqual(requests["type"], "counter")
        self.assertEqual(requests["samples"], [["dynamo_component_requests_total", labels, 5.0]])
        self.assertEqual(families["stator_ready"]["samples"], [["stator_ready", {}, 1.0]])
        for name, family in families.items():
            with self.subTest(name):
                self.assertIn(family["type"], ("counter", "gauge", "histogram"), "each has its type")
                self.assertTrue(family["help"])
        duration = families["dynamo_component_request_duration_seconds"]
        buckets = [value for name, _, value in duration["samples"] if name.endswith("_bucket")]
        self.assertEqual(buckets, sorted(buckets))
        self.assertEqual(buckets[-1], 5.0)


def lines_of(program):
    return [line for line in program.stderr.text().splitlines() if not line.startswith("ready ")]


def problems(lines):
    """What the schema says against them."""
    command = [VENV / "bin" / "python", "-c", VALIDATE, SCHEMA]
    return subprocess.run(command, input="\n".join(lines), text=True, capture_output=True, check=True).stdout


class LogLines(TestCase):
    def test_each_line_is_as_the_schema_says(self):
        cluster = self.cluster()
        for settings in ({}, {"DYN_LOG_USE_LOCAL_TZ": "1"}):
            with self.subTest(settings):
                worker = cluster.serve(DYN_LOGGING_JSONL="1", DYN_LOG="trace", **settings)
                self.assert_ended(cluster.call({"items": 2, "text": 'a "quoted"\ttext'}), 0)
                worker.terminate()
                self.assertEqual(worker.wait(), 0)
                lines = lines_of(worker)
                self.assertGreater(len(lines), 5)
                self.assertEqual(problems(lines), "")

    def test_the_lines_of_a_request_say_so(self):
        cluster = self.cluster()
        worker = cluster.serve(DYN_LOGGING_JSONL="1", DYN_LOGGING_SPAN_EVENTS="1", DYN_LOG="info")
        (record,) = (cluster.kv / "v1" / "instances").glob("[!.]*")
        published = json.loads(record.read_text())
        place, path = published["transport"]["tcp"].split("/", 1)
        home = raw_dynamo.Home()
        self.addCleanup(home.close)
        trace, sender = "0af7651916cd43dd8448eb211c80319c", "b7ad6b7169203331"
        headers = {"traceparent": f"00-{trace}-{sender}-01", "tracestate": "vendor=1"}
        host, port = place.rsplit(":", 1)
        with socket.create_connection((host, int(port)), timeout=PATIENCE) as peer:
            asked = raw_dynamo.request(path, home.address, value={"items": 1000, "delay_ms": 20}, headers=headers)
            peer.sendall(asked)
            self.assertEqual(raw_dynamo.read_ack(peer), "")
            with home.accept() as answer:
                for _ in range(3):
                    raw_dynamo.read_message(answer)
                answer.sendall(raw_dynamo.KILL)
                worker.stderr.wait_for("SPAN_CLOSED")
        worker.terminate()
        self.assertEqual(worker.wait(), 0)
        lines = lines_of(worker)
        self.assertEqual(problems(lines), "")
        documents = [json.loads(line) for line in lines]
        mine = [line for line in documents if "request_id" in line]
        messages = [line["message"] for line in mine]
        self.assertEqual((messages[0], messages[-1]), ("SPAN_FIRST_ENTRY", "SPAN_CLOSED"))
        self.assertTrue(any("killed" in message for message in messages[1:-1]), messages)
        for line in mine:
            self.assertEqual((line["trace_id"], line["parent_id"], line["tracestate"]), (trace, sender, "vendor=1"))
            self.assertEqual((line["namespace"], line["component"], line["endpoint"]), ("demo", "backend", "generate"))
            self.assertEqual(int(line["instance_id"]), published["instance_id"])
        self.assertEqual(len({(line["span_id"], line["request_id"], line["span_name"]) for line in mine}), 1)
        self.assertNotEqual(mine[0]["span_id"], sender)
        self.assertGreater(mine[-1]["time.duration_us"], 20_000)
        self.assertEqual({line["file"] for line in mine}, {"src/component/served.cpp", "src/cli/diagnostic_endpoint.cpp"})
        self.assertNotIn("span_name", documents[0])


class Collector(http.server.ThreadingHTTPServer):
    """Takes what it is sent: the bodies of the requests."""

    class Handler(http.server.BaseHTTPRequestHandler):
        def do_POST(self):
            self.server.bodies.append(self.rfile.read(int(self.headers["Content-Length"])).decode())
            self.send_response(200)
            self.send_header("Content-Length", "2")
            self.end_headers()
            self.wfile.write(b"{}")

        def log_message(self, *_):
            pass

    def __init__(self):
        super().__init__(("127.0.0.1", 0), self.Handler)
        self.bodies = []
        threading.Thread(target=self.serve_forever, daemon=True).start()


class ShippedLines(TestCase):
    def test_a_collector_gets_each_line_as_the_schema_says(self):
        collector = Collector()
        self.addCleanup(collector.server_close)
        self.addCleanup(collector.shutdown)
        url = f"http://127.0.0.1:{collector.server_address[1]}/v1/logs"
        cluster = self.cluster()
        worker = cluster.serve(OTEL_EXPORTER_OTLP_LOGS_ENDPOINT=url, OTEL_SERVICE_NAME="formats", DYN_LOG="debug")
        self.assert_ended(cluster.call({"items": 2}, OTEL_EXPORTER_OTLP_LOGS_ENDPOINT=url), 0)
        worker.terminate()
        self.assertEqual(worker.wait(), 0)
        command = [VENV / "bin" / "python", "-c", VALIDATE, SCHEMAS / "otlp-logs.json"]
        checked = subprocess.run(
            command, input="\n".join(collector.bodies), text=True, capture_output=True, check=True
        )
        self.assertEqual(checked.stdout, "")
        resources = [resource for body in collector.bodies for resource in json.loads(body)["resourceLogs"]]
        texts = [
            record["body"]["stringValue"]
            for resource in resources
            for scope in resource["scopeLogs"]
            for record in scope["logRecords"]
        ]
        self.assertTrue(any(text.startswith("serving demo.backend.generate as ") for text in texts), texts)
        self.assertTrue(any("SIGTERM: ending within" in text for text in texts), texts)
        names = {resource["resource"]["attributes"][0]["value"]["stringValue"] for resource in resources}
        self.assertEqual(names, {"formats"}, "the call, which is no worker, sends nothing")


if __name__ == "__main__":
    unittest.main()
