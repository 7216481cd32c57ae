#!/usr/bin/env python3
"""How many times slower this machine is than the one that the tests' time limits were set on: 1 or more.

A fixed piece of work is done on two cores at once, for long enough to meet a quota; WEIR_TEST_SLOW is the least that
is said (sanitizer builds set it). Up to one and a half is 1: the limits have that much room.
"""

import concurrent.futures
import os
import time
import zlib

PIECES = 180  # of work for each core
USUAL_SECONDS = 0.2
MOST = 10


def work(_):
    text = b"".join(b"%d %d," % (i, i * i % 977) for i in range(3000))
    for _ in range(PIECES):
        zlib.compress(text, 9)


def measured():
    begun = time.monotonic()
    with concurrent.futures.ThreadPoolExecutor(2) as pool:  # zlib works without the interpreter's lock
        list(pool.map(work, range(2)))
    return (time.monotonic() - begun) / USUAL_SECONDS


def slowness():
    times = measured()
    least = float(os.environ.get("WEIR_TEST_SLOW") or 1)
    return max(least, min(times, MOST) if times > 1.5 else 1)


if __name__ == "__main__":
    print(f"{slowness():.0f}")
