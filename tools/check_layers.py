#!/usr/bin/env python3
"""Checks the import graph against tools/layers.toml: who includes whom, third parties included.

Prints one line per violation, `path:line: what`, and exits 1 if there is any, 2 if the table is wrong.
"""

import argparse
import re
import sys
import tomllib
from dataclasses import dataclass, field
from pathlib import Path

SOURCE_SUFFIXES = {".cpp", ".hpp", ".h", ".cc"}
COUNTED_SUFFIXES = SOURCE_SUFFIXES | {".py", ".sh", ".cmake"}
WORD_FOLDERS = ("include", "src", "tests", "examples", "tools")
COUNTED_FOLDERS = (*WORD_FOLDERS, "benchmarks", "cmake")
INCLUDE = re.compile(r'^\s*#\s*include\s*(<[^>]+>|"[^"]+")')
SYSTEM = re.compile(r"^([a-z0-9_]+|((sys|linux|netinet|arpa|net|bits)/)?[a-z0-9_]+\.h)$")
STATOR_LAYER = re.compile(r"\bstator_layer\(\s*(\w+)([^)]*)\)")
NOT_CODE = re.compile(
    r'//[^\n]*|/\*.*?\*/|R"(?P<mark>[^()\s]*)\(.*?\)(?P=mark)"'
    r'|"(?:\\.|[^"\\\n])*"|(?<![0-9a-fA-F])\'(?:\\.|[^\'\\\n])+\'',
    re.DOTALL,
)


class TableError(Exception):
    """The table contradicts itself."""


@dataclass
class Report:
    lines: list[str] = field(default_factory=list)

    def add(self, path: Path, line: int, what: str) -> None:
        self.lines.append(f"{path.as_posix()}:{line}: {what}")


class Table:
    """The parsed layers.toml, with the closure of every layer."""

    def __init__(self, raw: dict):
        self.layers = raw["layers"]
        self.third_party = raw["third_party"]
        self.words = raw["words"]
        self.max_lines = raw["max_lines"]
        self._check_names()
        self.closure: dict[str, frozenset[str]] = {}
        for layer in self.layers:
            self._close(layer, [])

    def _check_names(self) -> None:
        for layer, row in self.layers.items():
            for other in row["includes"]:
                if other not in self.layers:
                    raise TableError(f"layer '{layer}' includes the unknown layer '{other}'")
            for library in row.get("third_party", []):
                if library not in self.third_party:
                    raise TableError(f"layer '{layer}' uses the unknown third party '{library}'")

    def _close(self, layer: str, path: list[str]) -> frozenset[str]:
        if layer in path:
            raise TableError("cycle of layers: " + " -> ".join([*path, layer]))
        if layer not in self.closure:
            reached = {layer}
            for other in self.layers[layer]["includes"]:
                reached |= self._close(other, [*path, layer])
            self.closure[layer] = frozenset(reached)
        return self.closure[layer]

    def library_of(self, header: str) -> str | None:
        """Who owns the header: the longest matching prefix, or a suffix."""
        best, length = None, 0
        for name, row in self.third_party.items():
            if any(header.endswith(suffix) for suffix in row.get("suffixes", [])):
                return name
            for prefix in row["prefixes"]:
                if header.startswith(prefix) and len(prefix) > length:
                    best, length = name, len(prefix)
        return best

    def may_use(self, layer: str, library: str) -> bool:
        row = self.third_party[library]
        return (
            row.get("everywhere", False)
            or library in self.layers[layer].get("third_party", [])
            or row.get("with_layer") in self.closure[layer]
        )

    def may_publish(self, layer: str, library: str) -> bool:
        public = self.third_party[library].get("public", [])
        return public == "all" or layer in public


def below(path: Path, folder: str) -> bool:
    return path.is_relative_to(folder)


def layer_of(path: Path) -> str | None:
    """include/stator/<layer>/... and src/<layer>/...; a file beside the folders has none."""
    skip = 2 if path.parts[0] == "include" else 1
    return path.parts[skip] if len(path.parts) > skip + 1 else None


class Checker:
    def __init__(self, root: Path, table: Table):
        self.root = root
        self.table = table
        self.report = Report()
        self.graph: dict[str, list[tuple[str, Path, int]]] = {}

    def run(self) -> list[str]:
        for path in self.files(("include", "src"), SOURCE_SUFFIXES):
            self.check_includes(path)
        for path in self.files(("examples",), SOURCE_SUFFIXES):
            self.check_example(path)
        for path in self.files(WORD_FOLDERS, SOURCE_SUFFIXES):
            self.check_words(path)
        for path in self.files(COUNTED_FOLDERS, COUNTED_SUFFIXES):
            self.check_length(path)
        for path in sorted((self.root / "src").glob("*/CMakeLists.txt")):
            self.check_links(path.relative_to(self.root))
        self.check_header_cycles()
        return self.report.lines

    def files(self, folders, suffixes):
        for folder in folders:
            for path in sorted((self.root / folder).rglob("*")):
                if path.suffix in suffixes and path.is_file():
                    yield path.relative_to(self.root)

    def text(self, path: Path) -> str:
        return (self.root / path).read_text(encoding="utf-8", errors="replace")

    def includes(self, path: Path):
        for number, line in enumerate(self.text(path).splitlines(), 1):
            if match := INCLUDE.match(line):
                yield number, match[1][1:-1], match[1][0] == '"'

    def check_includes(self, path: Path) -> None:
        layer = layer_of(path)
        if layer not in self.table.layers:
            self.report.add(path, 1, "belongs to no layer of tools/layers.toml")
            return
        for number, header, quoted in self.includes(path):
            library = self.table.library_of(header)
            if library is not None:
                self.check_third_party(path, number, layer, library)
            elif quoted or header.startswith("stator/"):
                self.check_own(path, number, layer, header)
            elif not SYSTEM.match(header):
                self.report.add(path, number, f"<{header}> is no known third party")

    def check_own(self, path: Path, number: int, layer: str, header: str) -> None:
        parts = header.split("/")
        public = parts[0] == "stator"
        target = parts[1] if public and len(parts) > 2 else parts[0]
        if ".." in parts or target not in self.table.layers:
            what = f'"{header}": write "stator/<layer>/..." or, for a private header, "<layer>/..."'
            self.report.add(path, number, what)
            return
        if target not in self.table.closure[layer]:
            self.report.add(path, number, f"layer '{layer}' may not include '{target}' ({header})")
        elif not public and target != layer:
            self.report.add(path, number, f"{header} is private to layer '{target}'")
        elif not public and below(path, "include"):
            self.report.add(path, number, f"a public header includes the private {header}")
        node = f"include/{header}" if public else f"src/{header}"
        self.graph.setdefault(path.as_posix(), []).append((node, path, number))

    def check_third_party(self, path: Path, number: int, layer: str, library: str) -> None:
        if not self.table.may_use(layer, library):
            self.report.add(path, number, f"layer '{layer}' may not use {library}")
            return
        folders = self.table.third_party[library].get("folders")
        if folders and not any(below(path, folder) for folder in folders):
            self.report.add(path, number, f"{library} is for {', '.join(folders)} only")
        elif below(path, "include") and not self.table.may_publish(layer, library):
            what = f"no public header of '{layer}' may include {library}"
            self.report.add(path, number, what)

    def check_example(self, path: Path) -> None:
        for number, header, quoted in self.includes(path):
            if quoted and header.split("/")[0] in self.table.layers:
                self.report.add(path, number, f"an example includes the private {header}")

    def check_words(self, path: Path) -> None:
        blank = lambda match: re.sub(r"[^\n]", " ", match[0])
        code = NOT_CODE.sub(blank, self.text(path))
        for word, folders in self.table.words.items():
            if any(below(path, folder) for folder in folders):
                continue
            for match in re.finditer(rf"\b{re.escape(word)}\b", code):
                number = code.count("\n", 0, match.start()) + 1
                self.report.add(path, number, f"{word} is for {', '.join(folders)} only")

    def check_length(self, path: Path) -> None:
        lines = self.text(path).count("\n")
        if lines > self.table.max_lines:
            self.report.add(path, lines, f"{lines} lines, more than {self.table.max_lines}")

    def check_links(self, path: Path) -> None:
        """DEPENDS of stator_layer() must follow the table, too: else the link graph tells another story."""
        text = self.text(path)
        for match in STATOR_LAYER.finditer(text):
            layer, words = match[1], match[2].split()
            if layer not in self.table.layers or "DEPENDS" not in words:
                continue
            for word in words[words.index("DEPENDS") + 1 :]:
                if word.isupper():
                    break
                if word not in self.table.closure[layer] - {layer}:
                    number = text.count("\n", 0, match.start()) + 1
                    self.report.add(path, number, f"layer '{layer}' may not depend on '{word}'")

    def check_header_cycles(self) -> None:
        done: set[str] = set()
        for start in sorted(self.graph):
            self._visit(start, [], done)

    def _visit(self, node: str, path: list[str], done: set[str]) -> None:
        path.append(node)
        for target, source, number in self.graph.get(node, []):
            if target in path:
                cycle = " -> ".join([*path[path.index(target) :], target])
                self.report.add(source, number, f"cycle of headers: {cycle}")
            elif target not in done:
                self._visit(target, path, done)
        path.pop()
        done.add(node)


def main() -> int:
    here = Path(__file__).resolve().parent
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--root", type=Path, default=here.parent, help="the source tree")
    parser.add_argument("--table", type=Path, default=here / "layers.toml")
    arguments = parser.parse_args()
    try:
        table = Table(tomllib.loads(arguments.table.read_text(encoding="utf-8")))
    except (TableError, KeyError, OSError, tomllib.TOMLDecodeError) as error:
        print(f"{arguments.table}: {error}", file=sys.stderr)
        return 2
    violations = Checker(arguments.root, table).run()
    for line in violations:
        print(line)
    print(f"check_layers: {len(violations)} violations", file=sys.stderr)
    return 1 if violations else 0


if __name__ == "__main__":
    sys.exit(main())
