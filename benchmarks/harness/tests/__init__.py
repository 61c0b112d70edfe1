"""Unit tests of the harness: python3 -m unittest discover, see benchmarks/CMakeLists.txt."""
