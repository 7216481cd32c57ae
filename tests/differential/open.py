"""The table of faults that are still to be mended: weir differs from nginx here, and nobody means it to.

Rows have the form of differences.py; what stands for the reason says what is wrong. docs/from-nginx.md does not have
them, and the suite's last lines name them, so that nobody takes them for deliberate.
"""

OPEN = []
