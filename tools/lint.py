#!/usr/bin/env python3
"""Everything that can be said about the sources without running them; called by ./dev lint.

clang-tidy looks at files changed since the upstream branch (or the last commit), or at all of them.
Exits 1 if any step has something to say.
"""

import argparse
import json
import os
import re
import subprocess
import sys
import time
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

ROOT = Path(__file__).resolve().parent.parent
CODE_FOLDERS = ("include", "src", "tests", "examples", "benchmarks", "tools", "cmake")
TIDY_FOLDERS = ("include", "src", "tests", "examples", "tools")
SUBJECT = re.compile(r"^[a-z][a-z0-9_/.,+ -]*: \S.*[^.\s]$")
SUBJECT_LENGTH = 72
DIAGNOSTIC = re.compile(r"^(/[^:]+):(\d+):(\d+): (?:error|warning): ")
OPTIONAL_ACCESS = "bugprone-unchecked-optional-access"
# An optional inside an expected: the checker loses sight of what was tested about it.
NESTED_ACCESS = re.compile(r"\*\*\w|\(\*\w+\)->")
COROUTINE = re.compile(r"\bco_(await|return|yield)\b|\bTask<|\bruntime->|await_resume")
CAPTURING_LAMBDA = "cppcoreguidelines-avoid-capturing-lambda-coroutines"
# [captures](this auto ...): the closure is a parameter, so the frame holds a copy of it.
EXPLICIT_THIS = re.compile(r"\[[^\]]*\]\s*\(\s*this\b")


def run(command, **options):
    return subprocess.run(
        [str(part) for part in command],
        cwd=ROOT,
        text=True,
        stdout=subprocess.PIPE,
        stderr=subprocess.STDOUT,
        check=False,
        **options,
    )


def git(*arguments) -> list[str] | None:
    """Output lines, or None where there is no repository (an exported tree)."""
    try:
        done = subprocess.run(
            ["git", *arguments],
            cwd=ROOT,
            text=True,
            stdout=subprocess.PIPE,
            stderr=subprocess.DEVNULL,
            check=False,
        )
    except FileNotFoundError:
        return None
    return done.stdout.splitlines() if done.returncode == 0 else None


def code_files(folders, suffixes=(".cpp", ".hpp")) -> list[str]:
    found = []
    for folder in folders:
        for path in sorted((ROOT / folder).rglob("*")):
            if path.suffix in suffixes and path.is_file():
                found.append(path.relative_to(ROOT).as_posix())
    return found


def changed_files() -> set[str] | None:
    """Files that differ from the upstream branch, or from the commit before if there is nothing to push."""
    head = git("rev-parse", "HEAD")
    if head is None:
        return None
    base = git("merge-base", "HEAD", "@{upstream}") or git("merge-base", "HEAD", "origin/main")
    if not base or base == head:
        base = git("rev-parse", "HEAD~1") or git("hash-object", "-t", "tree", "/dev/null")
    changed = git("diff", "--name-only", "--diff-filter=d", base[0]) or []
    return {*changed, *(git("ls-files", "--others", "--exclude-standard") or [])}


def check_format(_) -> list[str]:
    files = code_files(CODE_FOLDERS)
    done = run(["clang-format-19", "--dry-run", "-Werror", *files])
    return [line for line in done.stdout.splitlines() if "error:" in line]


def run_script(name: str) -> list[str]:
    """What a script of ours that prints a line per violation has to say, without its summary."""
    done = run([sys.executable, "-B", name])
    lines = [l for l in done.stdout.splitlines() if not l.startswith(f"{Path(name).stem}: ")]
    return [] if done.returncode == 0 else lines


def check_layers(_) -> list[str]:
    return run_script("tools/check_layers.py")


def check_docs(_) -> list[str]:
    return run_script("tools/check_docs.py")


def check_headers(arguments) -> list[str]:
    targets = run(["ninja", "-C", arguments.build, "-t", "targets", "all"]).stdout
    if "\ncheck_headers:" not in targets:
        return [f"no target check_headers in {arguments.build}"]
    done = run(["ninja", "-C", arguments.build, "-k0", "check_headers"])
    return [] if done.returncode == 0 else [l for l in done.stdout.splitlines() if "error:" in l]


def header_of(unit: str) -> str:
    """The public header that a generated source of target check_headers compiles alone."""
    return Path(unit).read_text("utf-8").split('"')[1]


def tidy_units(arguments) -> list[str]:
    """What to compile to see the wanted files: sources themselves, headers through who includes them."""
    database = json.loads((ROOT / arguments.build / "compile_commands.json").read_text("utf-8"))
    units = {os.path.normpath(os.path.join(row["directory"], row["file"])) for row in database}
    ours = {unit for unit in units if Path(unit).relative_to(ROOT).parts[0] in TIDY_FOLDERS}
    alone = {unit for unit in units if "/check_headers/" in unit}
    changed = None if arguments.all else changed_files()
    if changed is None:
        included = "".join(Path(unit).read_text("utf-8") for unit in ours)
        return sorted(ours | {unit for unit in alone if header_of(unit) not in included})
    wanted = {str(ROOT / path) for path in changed} & ours
    headers = {path.removeprefix("include/") for path in changed}
    wanted |= {unit for unit in alone if header_of(unit) in headers}
    for path in changed:
        if path.startswith("src/") and path.endswith(".hpp"):
            include = f'#include "{path.removeprefix("src/")}"'
            wanted |= {unit for unit in ours if include in Path(unit).read_text("utf-8")}
    return sorted(wanted)


def allowed(diagnostic: re.Match, line: str) -> bool:
    """What clang-tidy 19 gets wrong about coroutines.

    It does not know that an explicit object parameter makes a capturing lambda safe. Its optional-access check does not
    follow a value across a suspension or out of an expected: it counts in plain code only, and there not for what an
    expected holds.
    """
    source = Path(diagnostic[1]).read_text("utf-8")
    text = source.splitlines()
    if OPTIONAL_ACCESS in line:
        accessed = text[int(diagnostic[2]) - 1]
        return bool(COROUTINE.search(source) or NESTED_ACCESS.search(accessed))
    if CAPTURING_LAMBDA not in line:
        return False
    rest = "\n".join(text[int(diagnostic[2]) - 1 :])
    return EXPLICIT_THIS.match(rest[int(diagnostic[3]) - 1 :]) is not None


def tidy(arguments, unit: str) -> list[str]:
    command = ["clang-tidy-19", "-p", arguments.build, "--quiet", unit]
    done = run(command)
    # Its optional-access check dies of some coroutines; what it would say of them does not count anyway.
    if done.returncode not in (0, 1) and COROUTINE.search(Path(unit).read_text("utf-8")):
        done = run([*command, f"--checks=-{OPTIONAL_ACCESS}"])
    found = []
    for line in done.stdout.splitlines():
        if (match := DIAGNOSTIC.match(line)) and not allowed(match, line):
            found.append(line.removeprefix(f"{ROOT}/"))
    if done.returncode not in (0, 1):
        found.append(f"{unit}: clang-tidy ended with {done.returncode}: {done.stdout[-500:]}")
    return found


def check_tidy(arguments) -> list[str]:
    with ThreadPoolExecutor(os.cpu_count()) as pool:
        results = pool.map(lambda unit: tidy(arguments, unit), tidy_units(arguments))
        return sorted({line for result in results for line in result})


def check_scripts(_) -> list[str]:
    scripts = ["dev", ".ci/run", *code_files(("tools", "tests", "benchmarks"), (".sh",))]
    done = run(["shellcheck", "--format=gcc", *[name for name in scripts if (ROOT / name).exists()]])
    return done.stdout.splitlines()


def check_commits(_) -> list[str]:
    found = []
    for line in git("log", "--no-merges", "--format=%h %s") or []:
        commit, subject = line.split(" ", 1)
        if len(subject) > SUBJECT_LENGTH:
            found.append(f"{commit}: subject has {len(subject)} characters: {subject}")
        elif not SUBJECT.match(subject):
            found.append(f"{commit}: not 'area: imperative summary': {subject}")
    return found


STEPS = {
    "format": check_format,
    "layers": check_layers,
    "docs": check_docs,
    "headers": check_headers,
    "scripts": check_scripts,
    "commits": check_commits,
    "tidy": check_tidy,
}


def main() -> int:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--build", default="build/dev", help="a configured build folder")
    parser.add_argument("--all", action="store_true", help="clang-tidy on every file")
    arguments = parser.parse_args()
    failed = []
    for name, check in STEPS.items():
        start = time.monotonic()
        lines = check(arguments)
        for line in lines:
            print(line)
        result = f"{len(lines)} problems" if lines else "ok"
        print(f"lint: {name}: {result} ({time.monotonic() - start:.1f} s)", flush=True)
        if lines:
            failed.append(name)
    return 1 if failed else 0


if __name__ == "__main__":
    sys.exit(main())
