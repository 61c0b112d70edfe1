"""One text for one value, the same in every language: what a digest is made of.

`canonical.cpp` writes the same text. Integers and floats differ (1 is not 1.0), floats are their 64 bits, strings their
UTF-8 with the length before, maps are in the order of their keys' bytes.
"""

import hashlib
import struct


def canonical(value):
    if value is None:
        return b"n"
    if value is True:
        return b"t"
    if value is False:
        return b"f"
    if isinstance(value, int):
        return b"i%d;" % value
    if isinstance(value, float):
        return b"d" + struct.pack(">d", value).hex().encode()
    if isinstance(value, str):
        text = value.encode()
        return b"s%d:" % len(text) + text
    if isinstance(value, (list, tuple)):
        return b"[" + b"".join(map(canonical, value)) + b"]"
    if isinstance(value, dict):
        pairs = sorted((key.encode(), canonical(one)) for key, one in value.items())
        return b"{" + b"".join(b"s%d:" % len(key) + key + one for key, one in pairs) + b"}"
    raise TypeError(f"{type(value).__name__} is not a value of both codecs")


def digest(value):
    return hashlib.sha256(canonical(value)).hexdigest()


class ItemDigest:
    """Of the items of a stream, in their order."""

    def __init__(self):
        self._hash = hashlib.sha256()

    def add(self, item):
        self._hash.update(canonical(item))

    def hex(self):
        return self._hash.hexdigest()
