"""Each rule of tools/check_layers.py, with a violation planted in an otherwise clean tree."""

import subprocess
import sys
import tempfile
import tomllib
import unittest
from pathlib import Path

ROOT = Path(__file__).resolve().parents[2]
CHECK = ROOT / "tools" / "check_layers.py"
TABLE = ROOT / "tools" / "layers.toml"

CLEAN = {
    "include/stator/base/error.hpp": "#pragma once\n#include <string>\n#include <fmt/format.h>\n",
    "include/stator/runtime/loop.hpp": (
        '#pragma once\n#include <boost/asio/io_context.hpp>\n#include "stator/base/error.hpp"\n'
    ),
    "src/runtime/loop.cpp": (
        '#include "stator/runtime/loop.hpp"\n#include <sys/epoll.h>\n#include <unistd.h>\n'
        '#include "runtime/loop_state.hpp"\n'
        "void f() { boost::asio::co_spawn(x, y, boost::asio::detached); }\n"
    ),
    "src/runtime/loop_state.hpp": '#pragma once\n#include "stator/runtime/loop.hpp"\n',
    "src/net/dial.cpp": "#include <boost/asio/connect.hpp>\n#include <openssl/ssl.h>\n",
    "src/store/etcd/client.cpp": '#include <grpcpp/grpcpp.h>\n#include "rpc.pb.h"\n',
    "src/discovery/record.cpp": "#include <nlohmann/json.hpp>\n",
    "src/transport/mux.cpp": '#include <nlohmann/json.hpp>\n#include "stator/base/error.hpp"\n',
    "src/store/CMakeLists.txt": "stator_layer(store SOURCES a.cpp DEPENDS net nats PRIVATE_LIBS x)\n",
    "examples/hello/main.cpp": '#include "stator/base/error.hpp"\n// co_spawn in a comment\n',
}


class CheckLayersTest(unittest.TestCase):
    def setUp(self):
        self.folder = tempfile.TemporaryDirectory()
        self.addCleanup(self.folder.cleanup)
        self.root = Path(self.folder.name)
        for path, text in CLEAN.items():
            self.plant(path, text)

    def plant(self, path: str, text: str) -> None:
        file = self.root / path
        file.parent.mkdir(parents=True, exist_ok=True)
        file.write_text(text, encoding="utf-8")

    def check(self, table: Path = TABLE) -> tuple[int, list[str]]:
        command = [sys.executable, CHECK, "--root", self.root, "--table", table]
        done = subprocess.run(command, capture_output=True, text=True, check=False)
        return done.returncode, (done.stdout if done.returncode != 2 else done.stderr).splitlines()

    def assert_only(self, expected: str) -> None:
        code, lines = self.check()
        self.assertEqual((code, lines), (1, [expected]))

    def test_clean_tree_passes(self):
        self.assertEqual(self.check(), (0, []))

    def test_upward_include(self):
        self.plant("src/base/up.cpp", '\n#include "stator/runtime/loop.hpp"\n')
        self.assert_only(
            "src/base/up.cpp:2: layer 'base' may not include 'runtime' (stator/runtime/loop.hpp)"
        )

    def test_upward_include_with_angle_brackets(self):
        self.plant("src/base/up.cpp", "#  include <stator/net/dial.hpp>\n")
        self.assert_only(
            "src/base/up.cpp:1: layer 'base' may not include 'net' (stator/net/dial.hpp)"
        )

    def test_sideways_include(self):
        self.plant("src/transport/x.cpp", '#include "stator/store/lease.hpp"\n')
        self.assert_only(
            "src/transport/x.cpp:1: layer 'transport' may not include 'store' (stator/store/lease.hpp)"
        )

    def test_closure_is_transitive(self):
        self.plant("src/llm/x.cpp", '#include "stator/settings/table.hpp"\n')
        self.assertEqual(self.check(), (0, []))

    def test_private_header_of_another_layer(self):
        self.plant("src/net/x.cpp", '#include "runtime/loop_state.hpp"\n')
        self.assert_only("src/net/x.cpp:1: runtime/loop_state.hpp is private to layer 'runtime'")

    def test_private_header_in_a_public_one(self):
        self.plant("include/stator/runtime/x.hpp", '#include "runtime/loop_state.hpp"\n')
        self.assert_only(
            "include/stator/runtime/x.hpp:1: a public header includes the private runtime/loop_state.hpp"
        )

    def test_relative_include(self):
        self.plant("src/base/x.cpp", '#include "../net/dial.hpp"\n#include "sibling.hpp"\n')
        code, lines = self.check()
        self.assertEqual(code, 1)
        self.assertEqual([line.split(": ")[0] for line in lines], ["src/base/x.cpp:1", "src/base/x.cpp:2"])

    def test_third_party_of_another_layer(self):
        self.plant("src/base/x.cpp", "#include <spdlog/spdlog.h>\n")
        self.assert_only("src/base/x.cpp:1: layer 'base' may not use spdlog")

    def test_nlohmann_only_above_codec(self):
        self.plant("src/runtime/x.cpp", "#include <nlohmann/json.hpp>\n")
        self.assert_only("src/runtime/x.cpp:1: layer 'runtime' may not use nlohmann")

    def test_unknown_third_party(self):
        self.plant("src/base/x.cpp", "#include <folly/Future.h>\n#include <boost/any.hpp>\n")
        code, lines = self.check()
        self.assertEqual(code, 1)
        self.assertEqual(len(lines), 2)
        self.assertIn("<folly/Future.h> is no known third party", lines[0])

    def test_asio_outside_its_layers(self):
        self.plant("src/transport/x.cpp", "#include <boost/asio/read.hpp>\n")
        self.assert_only("src/transport/x.cpp:1: layer 'transport' may not use asio")

    def test_asio_in_a_public_header_of_net(self):
        self.plant("include/stator/net/dial.hpp", "#include <boost/asio/ip/tcp.hpp>\n")
        self.assert_only(
            "include/stator/net/dial.hpp:1: no public header of 'net' may include asio"
        )

    def test_tls_is_openssl_not_asio(self):
        self.plant("src/runtime/x.cpp", "#include <boost/asio/ssl/stream.hpp>\n")
        self.assert_only("src/runtime/x.cpp:1: layer 'runtime' may not use openssl")

    def test_grpc_outside_etcd(self):
        self.plant("src/store/lease.cpp", "#include <grpcpp/channel.h>\n")
        self.assert_only("src/store/lease.cpp:1: grpc is for src/store/etcd only")

    def test_detached_and_co_spawn(self):
        self.plant(
            "src/net/x.cpp",
            'const char* s = "co_spawn";\n/* asio::detached\n */\nauto a = R"(co_spawn)";\n'
            "int n = 1'000; asio::detached_t b = boost::asio::detached; char c = 'c';\n",
        )
        self.plant("tests/net/y.cpp", "auto f = [] { co_spawn(a); };\n")
        code, lines = self.check()
        self.assertEqual(code, 1)
        self.assertEqual(
            lines,
            [
                "src/net/x.cpp:5: asio::detached is for src/runtime only",
                "tests/net/y.cpp:1: co_spawn is for src/runtime only",
            ],
        )

    def test_cycle_of_headers(self):
        self.plant("include/stator/base/a.hpp", '#include "stator/base/b.hpp"\n')
        self.plant("include/stator/base/b.hpp", '\n#include "stator/base/a.hpp"\n')
        self.assert_only(
            "include/stator/base/b.hpp:2: cycle of headers: include/stator/base/a.hpp -> "
            "include/stator/base/b.hpp -> include/stator/base/a.hpp"
        )

    def test_file_too_long(self):
        self.plant("tests/base/x_test.cpp", "\n" * 800)
        self.assertEqual(self.check(), (0, []))
        self.plant("tests/base/x_test.cpp", "\n" * 801)
        self.assert_only("tests/base/x_test.cpp:801: 801 lines, more than 800")

    def test_unknown_layer(self):
        self.plant("src/misc/x.cpp", "\n")
        self.assert_only("src/misc/x.cpp:1: belongs to no layer of tools/layers.toml")

    def test_link_against_the_table(self):
        self.plant("src/net/CMakeLists.txt", "stator_layer(net\n  DEPENDS runtime store\n  SOURCES a.cpp)\n")
        self.assert_only("src/net/CMakeLists.txt:1: layer 'net' may not depend on 'store'")

    def test_example_with_a_private_header(self):
        self.plant("examples/hello/main.cpp", '#include "runtime/loop_state.hpp"\n')
        self.assert_only(
            "examples/hello/main.cpp:1: an example includes the private runtime/loop_state.hpp"
        )

    def broken_table(self, before: str, after: str) -> list[str]:
        text = TABLE.read_text(encoding="utf-8")
        self.assertIn(before, text)
        table = self.root / "layers.toml"
        table.write_text(text.replace(before, after), encoding="utf-8")
        code, lines = self.check(table)
        self.assertEqual(code, 2)
        return lines

    def test_cycle_of_layers(self):
        lines = self.broken_table("base = { includes = [] }", 'base = { includes = ["runtime"] }')
        self.assertIn("cycle of layers: base -> runtime -> base", lines[0])

    def test_unknown_name_in_the_table(self):
        lines = self.broken_table("base = { includes = [] }", 'base = { includes = ["bsae"] }')
        self.assertIn("layer 'base' includes the unknown layer 'bsae'", lines[0])

    def test_table_has_the_layers_of_cmake_in_an_order_that_builds(self):
        layers = list(tomllib.loads(TABLE.read_text(encoding="utf-8"))["layers"])
        cmake = (ROOT / "CMakeLists.txt").read_text(encoding="utf-8")
        listed = cmake.split("set(STATOR_LAYERS", 1)[1].split(")", 1)[0].split()
        self.assertEqual(listed, layers)


if __name__ == "__main__":
    unittest.main()
