#!/usr/bin/env python3
"""Checks the documents: links and anchors resolve, docs/features.md is true to the tree, nothing private is named.

Prints one line per violation, `path:line: what`, and exits 1 if there is any.
"""

import argparse
import os
import re
import sys
from collections import Counter
from pathlib import Path

INDEX = Path("docs/index.md")
FEATURES = Path("docs/features.md")
HEADER = ["ID", "feature", "state", "where", "test"]
STATES = ("done", "partly", "not yet", "refused")
SKIPPED = {"build"}

FENCE = re.compile(r"^ {0,3}(`{3,}|~{3,})")
CODE_SPAN = re.compile(r"(`+)(?!`).+?(?<!`)\1(?!`)", re.DOTALL)
COMMENT = re.compile(r"<!--.*?-->", re.DOTALL)
LINK = re.compile(r"\[(?:[^\[\]]|\[[^\[\]]*\])*\]\(\s*<?([^)\s>]+)>?(?:\s+\"[^\"]*\")?\s*\)")
DEFINITION = re.compile(r"^ {0,3}\[[^\]^]+\]:\s*<?([^\s>]+)", re.MULTILINE)
SCHEME = re.compile(r"^[a-z][a-z0-9+.-]*:", re.IGNORECASE)
HEADING = re.compile(r"^ {0,3}#{1,6}\s+(.*?)\s*#*\s*$", re.MULTILINE)
CELL_END = re.compile(r"(?<!\\)\|")
FEATURE_ID = re.compile(r"[A-Z][0-9]+$")
# What is true on one machine only. No pattern matches its own text, so that this file stays clean, too.
PRIVATE = [
    (re.compile(r"\.\./share[d]\b"), "a folder outside of the tree"),
    (re.compile(r"(?<![\w.-])/wor[k]/"), "a path of one machine"),
    (re.compile(r"\bhelper\s+sessio[n]", re.IGNORECASE), "how a text was made"),
]


def blank(match: re.Match) -> str:
    return re.sub(r"[^\n]", " ", match[0])


def without_fences(text: str) -> str:
    """The text with fenced code blanked; lines keep their numbers."""
    lines, fence = [], ""
    for line in text.split("\n"):
        match = FENCE.match(line)
        if fence:
            closes = match and match[1].startswith(fence) and not line.strip(" `~")
            fence = "" if closes else fence
            lines.append("")
        elif match:
            fence = match[1]
            lines.append("")
        else:
            lines.append(line)
    return "\n".join(lines)


def prose(text: str) -> str:
    """Without code and comments: what may hold links."""
    return CODE_SPAN.sub(blank, COMMENT.sub(blank, without_fences(text)))


def anchors(text: str) -> set[str]:
    """The anchors of the headings, as the usual renderers name them."""
    found: set[str] = set()
    seen: Counter[str] = Counter()
    for match in HEADING.finditer(without_fences(text)):
        title = LINK.sub(lambda link: link[0][1 : link[0].index("](")], match[1])
        slug = re.sub(r"[^\w\- ]", "", title.lower()).replace(" ", "-")
        found.add(f"{slug}-{seen[slug]}" if seen[slug] else slug)
        seen[slug] += 1
    return found


def cells_of(line: str) -> list[str]:
    """The cells of a table's row; none if the line is no row."""
    line = line.strip()
    if not line.startswith("|") or not line.endswith("|"):
        return []
    return [cell.strip() for cell in CELL_END.split(line[1:-1])]


class Checker:
    def __init__(self, root: Path):
        self.root = root
        self.lines: list[str] = []
        self.states: Counter[str] = Counter()
        self.documents = self.find_documents()

    def run(self) -> list[str]:
        for path in self.documents:
            text = self.text(path)
            self.check_links(path, text)
            self.check_private(path, text)
        if FEATURES in self.documents:
            self.check_features(self.text(FEATURES))
        if INDEX in self.documents:
            self.check_index(self.text(INDEX))
        return self.lines

    def add(self, path: Path, line: int, what: str) -> None:
        self.lines.append(f"{path.as_posix()}:{line}: {what}")

    def text(self, path: Path) -> str:
        return (self.root / path).read_text(encoding="utf-8", errors="replace")

    def find_documents(self) -> list[Path]:
        found = []
        for folder, below, files in os.walk(self.root):
            here = Path(folder).relative_to(self.root)
            below[:] = [b for b in below if not b.startswith(".") and str(here / b) not in SKIPPED]
            found += [here / name for name in files if name.endswith(".md")]
        return sorted(found)

    def targets(self, text: str):
        """(line, target) of every link that is not to another site, in order."""
        text = prose(text)
        matches = [*LINK.finditer(text), *DEFINITION.finditer(text)]
        for match in sorted(matches, key=re.Match.start):
            if not SCHEME.match(match[1]):
                yield text.count("\n", 0, match.start()) + 1, match[1]

    def resolve(self, path: Path, target: str) -> Path | None:
        """The target's path below the root; None if it is not below it."""
        name = target.partition("#")[0]
        if name.startswith("/"):
            return None
        full = os.path.normpath(path.parent / name) if name else path.as_posix()
        return None if full == ".." or full.startswith("../") else Path(full)

    def check_links(self, path: Path, text: str) -> None:
        for line, target in self.targets(text):
            full = self.resolve(path, target)
            if full is None:
                self.add(path, line, f"the link {target} leaves the tree")
            elif not (self.root / full).exists():
                self.add(path, line, f"the link {target} leads nowhere")
            elif "#" in target:
                anchor = target.partition("#")[2]
                if full.suffix != ".md" or anchor not in anchors(self.text(full)):
                    self.add(path, line, f"the link {target} names no heading of {full.as_posix()}")

    def check_private(self, path: Path, text: str) -> None:
        for pattern, what in PRIVATE:
            for match in pattern.finditer(text):
                line = text.count("\n", 0, match.start()) + 1
                self.add(path, line, f'"{" ".join(match[0].split())}" is {what}')

    def check_index(self, text: str) -> None:
        """Every document below docs/ is linked, by itself or by a folder that holds it."""
        linked = {self.resolve(INDEX, target) for _, target in self.targets(text)}
        for path in self.documents:
            if path.parts[0] == "docs" and path != INDEX and not linked & {path, *path.parents[:-2]}:
                self.add(INDEX, 1, f"does not link {path.as_posix()}")

    def check_features(self, text: str) -> None:
        first: dict[str, int] = {}
        in_table = False
        for number, line in enumerate(without_fences(text).split("\n"), 1):
            cells = cells_of(line)
            if cells[:1] == ["ID"]:
                in_table = True
                if cells != HEADER:
                    self.add(FEATURES, number, "the columns are " + ", ".join(HEADER))
            elif not cells:
                in_table = False
            elif in_table and not set(cells[0]) <= set(":- "):
                self.check_row(number, cells, first)
        if not first:
            self.add(FEATURES, 1, "has no features")

    def check_row(self, number: int, cells: list[str], first: dict[str, int]) -> None:
        name = cells[0]
        if not FEATURE_ID.match(name):
            self.add(FEATURES, number, f'"{name}" is no ID: a capital letter and a number')
        if first.setdefault(name, number) != number:
            self.add(FEATURES, number, f"{name} is in line {first[name]} already")
        if len(cells) != len(HEADER):
            self.add(FEATURES, number, f"{name} has {len(cells)} columns, not {len(HEADER)}")
            return
        _, feature, state, where, test = cells
        if not feature:
            self.add(FEATURES, number, f"{name} does not say what it is")
        if state not in STATES:
            self.add(FEATURES, number, f'{name}: "{state}" is none of: ' + ", ".join(STATES))
            return
        self.states[state] += 1
        places = self.check_paths(number, name, where)
        tests = self.check_paths(number, name, test)
        for path in tests:
            self.check_test(number, name, path)
        if state in ("done", "partly") and not places:
            self.add(FEATURES, number, f"{name} is {state} and names no file")
        if state == "done" and not tests:
            self.add(FEATURES, number, f"{name} is done and names no test")
        if state in ("not yet", "refused") and not where.strip(" -"):
            self.add(FEATURES, number, f"{name} is {state} and does not say what for")

    def check_paths(self, number: int, name: str, cell: str) -> list[Path]:
        found = []
        for match in CODE_SPAN.finditer(cell):
            path = match[0].strip("`")
            if (self.root / path).exists():
                found.append(Path(path))
            else:
                self.add(FEATURES, number, f"{name}: there is no {path}")
        return found

    def check_test(self, number: int, name: str, path: Path) -> None:
        """A test counts if some CMakeLists.txt at or above it names it or, for Python, its folder."""
        if path.suffix not in (".cpp", ".py"):
            return
        for folder in path.parents:
            cmake = self.root / folder / "CMakeLists.txt"
            if not cmake.is_file():
                continue
            text = cmake.read_text(encoding="utf-8")
            names = [path.stem]
            if path.suffix == ".py":
                names.append(path.parent.relative_to(folder).as_posix())
            if path.suffix == ".py" and "}_test.py" in text:  # a loop over the names' first parts
                names.append(path.stem.removesuffix("_test"))
            if any(n != "." and re.search(rf"(?<![\w/]){re.escape(n)}\b", text) for n in names):
                return
        self.add(FEATURES, number, f"{name}: no CMakeLists.txt runs {path.as_posix()}")


def main() -> int:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--root", type=Path, default=Path(__file__).resolve().parent.parent)
    checker = Checker(parser.parse_args().root)
    violations = checker.run()
    for line in violations:
        print(line)
    counts = ", ".join(f"{checker.states[state]} {state}" for state in STATES)
    print(f"check_docs: {len(violations)} violations; features: {counts}", file=sys.stderr)
    return 1 if violations else 0


if __name__ == "__main__":
    sys.exit(main())
