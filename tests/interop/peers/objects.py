"""Objects by nats-py: does one thing and tells it as JSON.

objects.py URL BUCKET put NAME FILE | get NAME FILE | remove NAME | list
"""

import asyncio
import json
import pathlib
import sys

import nats
from nats.js.errors import BucketNotFoundError, NotFoundError


async def bucket_of(stream, name):
    try:
        return await stream.object_store(name)
    except (BucketNotFoundError, NotFoundError):
        return await stream.create_object_store(name)


def told(info):
    return {"name": info.name, "size": info.size, "chunks": info.chunks, "digest": info.digest}


async def perform(url, bucket, action, name=None, file=None):
    connection = await nats.connect(url)
    try:
        store = await bucket_of(connection.jetstream(), bucket)
        if action == "put":
            return told(await store.put(name, pathlib.Path(file).read_bytes()))
        if action == "get":
            # It looks at the digest itself.
            result = await store.get(name)
            pathlib.Path(file).write_bytes(result.data)
            return told(result.info)
        if action == "remove":
            await store.delete(name)
            return {}
        try:
            return [told(info) for info in await store.list(ignore_deletes=True)]
        except NotFoundError:
            return []
    finally:
        await connection.close()


print(json.dumps(asyncio.run(perform(*sys.argv[1:]))))
