"""What a peer saw, as lines of JSON. `t` is the monotonic clock, which all processes of a machine share."""

import json
import sys
import time


def say(event, **more):
    line = json.dumps({"event": event, "t": time.monotonic(), **more})
    sys.stdout.write(line + "\n")
    sys.stdout.flush()
