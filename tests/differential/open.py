"""The table of faults that are still to be mended: weir differs from nginx here, and nobody means it to.

Rows have the form of differences.py; what stands for the reason says what is wrong. docs/from-nginx.md does not have
them, and the suite's last lines name them, so that nobody takes them for deliberate.
"""

from rows import Row

OPEN = [
    Row("`ssl_crl` and a client of an unknown authority", "400, or the answer with `optional_no_ca`.",
        "The connection is closed in most cases.", "what verifying leaves among the library's errors is taken for the failure of a read",
        "tls", "status|log lines|backend requests", "^verify: .*ssl_crl"),
    Row("495, 496 and 497 with an `error_page`", "The connection is closed.", "It stays, without the certificate or plain.",
        "a client cannot show another certificate on the same connection", "tls", "end|status|header connection|log lines",
        "^(plain|verify errors): error_page"),
]
