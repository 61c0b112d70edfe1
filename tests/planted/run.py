#!/usr/bin/env python3
"""Proves that the tests see planted bugs: applies each patch of this folder to a copy of the tree, builds the test
that the patch names, and expects that test to fail, saying what the patch expects.

    run.py [--source TREE] [--work FOLDER] [--cxx COMPILER] [name...]

A patch starts with lines of `Key: value`, then a blank line, then the diff (patch -p1):

    What: the bug, in a sentence
    Test: the test program and its arguments
    Says: a regular expression for what the failing test prints; empty if it dies without words
    Preset: the CMake preset to build with (default release)
"""

import argparse
import os
import re
import resource
import shutil
import subprocess
import sys
import tempfile
import time
from dataclasses import dataclass
from pathlib import Path

HERE = Path(__file__).resolve().parent
RUN_TIMEOUT = 180.0
# STATOR_TEST_PATIENCE is what a test waits for before it calls something stuck: short, since most planted bugs end
# in a stand-still. STATOR_SOAK lifts the bounds on time that long tests have on a loaded machine.
ENVIRONMENT = {"STATOR_TEST_PATIENCE": "10", "STATOR_SOAK": "1", "ASAN_OPTIONS": "detect_stack_use_after_return=1", "GTEST_COLOR": "no"}
NOT_COPIED = {"build", ".git", ".cache", "__pycache__"}


class Failure(Exception):
    pass


@dataclass(frozen=True)
class Plant:
    name: str
    path: Path
    what: str
    test: tuple[str, ...]
    says: str
    preset: str


def read_plant(path: Path) -> Plant:
    fields: dict[str, str] = {}
    for line in path.read_text().splitlines():
        key, colon, value = line.partition(":")
        if not colon:
            break
        fields[key] = value.strip()
    missing = {"What", "Test", "Says"} - fields.keys()
    if missing:
        raise Failure(f"{path.name}: no line '{sorted(missing)[0]}:' at its head")
    test = tuple(fields["Test"].split())
    return Plant(path.stem, path, fields["What"], test, fields["Says"], fields.get("Preset", "release"))


def command(arguments: list[str], folder: Path, what: str) -> None:
    done = subprocess.run(arguments, cwd=folder, text=True, stdout=subprocess.PIPE, stderr=subprocess.STDOUT)
    if done.returncode != 0:
        raise Failure(f"{what} failed:\n{done.stdout[-4000:]}")


def copy_what_differs(source: Path, copy: Path) -> None:
    """Files that are the same keep their times, so that only what differs is built again."""
    copy.mkdir(parents=True, exist_ok=True)
    wanted = {entry.name: entry for entry in source.iterdir() if entry.name not in NOT_COPIED}
    for there in copy.iterdir():
        if there.name not in wanted or there.is_dir() != wanted[there.name].is_dir():
            shutil.rmtree(there) if there.is_dir() else there.unlink()
    for name, entry in wanted.items():
        there = copy / name
        if entry.is_dir():
            copy_what_differs(entry, there)
        elif not there.exists() or entry.read_bytes() != there.read_bytes():
            shutil.copy(entry, there)


class Tree:
    """A copy of the sources, and its build folders."""

    def __init__(self, source: Path, work: Path, compiler: str) -> None:
        self.folder = work / "tree"
        self.compiler = compiler
        self.configured: set[str] = set()
        copy_what_differs(source, self.folder)
        self.builds = work

    def patch(self, plant: Plant, *options: str) -> None:
        command(["patch", "-p1", "--no-backup-if-mismatch", *options, "-i", str(plant.path)], self.folder, "patch")

    def build(self, preset: str, targets: list[str]) -> None:
        folder = self.builds / preset
        if preset not in self.configured:
            off = [f"-DSTATOR_BUILD_{part}=OFF" for part in ("TOOLS", "EXAMPLES", "BENCHMARKS")]
            compiler = [f"-DCMAKE_CXX_COMPILER={self.compiler}", "-DCMAKE_CXX_FLAGS_RELEASE=-O1 -DNDEBUG"]
            command(["cmake", "--preset", preset, "-B", str(folder), *compiler, *off], self.folder, "configuring")
            self.configured.add(preset)
        command(["cmake", "--build", str(folder), "--target", *targets], self.folder, "building")

    def run(self, plant: Plant) -> tuple[int | None, str]:
        """Exit code (none: it hung) and output."""
        program, *arguments = plant.test
        path = self.builds / plant.preset / "bin" / "tests" / program
        try:
            done = subprocess.run(
                [str(path), *arguments],
                env=os.environ | ENVIRONMENT,
                stdout=subprocess.PIPE,
                stderr=subprocess.STDOUT,
                timeout=RUN_TIMEOUT,
                errors="replace",
            )
        except subprocess.TimeoutExpired as expired:
            return None, (expired.stdout or b"").decode(errors="replace")
        return done.returncode, done.stdout


def check_without_plants(tree: Tree, plants: list[Plant]) -> None:
    """The tests pass as long as nothing is planted, or their failures would prove nothing."""
    for preset in sorted({plant.preset for plant in plants}):
        of_preset = {plant.test: plant for plant in plants if plant.preset == preset}
        tree.build(preset, sorted({plant.test[0] for plant in of_preset.values()}))
        for plant in of_preset.values():
            code, output = tree.run(plant)
            if code != 0:
                raise Failure(f"{' '.join(plant.test)} fails without a planted bug:\n{output[-4000:]}")


def check_plant(tree: Tree, plant: Plant) -> None:
    tree.patch(plant)
    try:
        tree.build(plant.preset, [plant.test[0]])
        code, output = tree.run(plant)
    finally:
        tree.patch(plant, "--reverse")
    if code == 0:
        raise Failure(f"NOT CAUGHT by {' '.join(plant.test)}")
    if not re.search(plant.says, output):
        raise Failure(f"{' '.join(plant.test)} ended with {code}, but not with '{plant.says}':\n{output[-2000:]}")


def check_all(tree: Tree, plants: list[Plant]) -> int:
    check_without_plants(tree, plants)
    failures = 0
    for plant in plants:
        started = time.monotonic()
        try:
            check_plant(tree, plant)
            verdict = "caught"
        except Failure as failure:
            failures += 1
            verdict = f"FAILED: {failure}"
        print(f"{plant.name:44} {time.monotonic() - started:5.1f} s  {verdict}", flush=True)
    print(f"planted bugs: {len(plants) - failures} of {len(plants)} caught")
    return 1 if failures else 0


def main() -> int:
    parser = argparse.ArgumentParser(description="Proves that the tests see planted bugs.")
    parser.add_argument("--source", type=Path, default=HERE.parent.parent, help="the tree to copy")
    parser.add_argument("--work", type=Path, help="where to build (default: a temporary folder)")
    parser.add_argument("--cxx", default="clang++-19", help="the compiler")
    parser.add_argument("names", nargs="*", help="patches to prove, without .patch (default: all)")
    options = parser.parse_args()
    resource.setrlimit(resource.RLIMIT_CORE, (0, 0))
    try:
        plants = [read_plant(path) for path in sorted(HERE.glob("*.patch"))]
        unknown = set(options.names) - {plant.name for plant in plants}
        if unknown:
            raise Failure(f"no patch is called '{sorted(unknown)[0]}'")
        if options.names:
            plants = [plant for plant in plants if plant.name in options.names]
        with tempfile.TemporaryDirectory(prefix="stator-planted-") as folder:
            work = options.work or Path(folder)
            work.mkdir(parents=True, exist_ok=True)
            return check_all(Tree(options.source, work.resolve(), options.cxx), plants)
    except Failure as failure:
        print(f"error: {failure}", file=sys.stderr)
        return 1


if __name__ == "__main__":
    sys.exit(main())
