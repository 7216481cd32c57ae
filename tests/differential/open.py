"""The table of faults that are still to be mended: weir differs from nginx here, and nobody means it to.

Rows have the form of differences.py; what stands for the reason says what is wrong. docs/from-nginx.md does not have
them, and the suite's last lines name them, so that nobody takes them for deliberate.
"""

from rows import Row

OPEN = [
    Row("`X-Accel-Charset`", "Takes the place of `charset` for the answer.", "Not obeyed.",
        "A fault that is still to be mended: the header is taken off the answer and has no effect.", "proxy_kinds",
        "header content-type", "^accel: charset", "/charset"),
]
