"""The table of faults that are still to be mended: weir differs from nginx here, and nobody means it to.

Rows have the form of differences.py; what stands for the reason says what is wrong. docs/from-nginx.md does not have
them, and the suite's last lines name them, so that nobody takes them for deliberate.
"""

from rows import Row

OPEN = [
    Row("a body over HTTP/2 that comes while auth_request asks", "It goes to the upstream.", "It is lost: `Content-Length: 0`, or the request hangs.",
        "http/h2/body.c looks at the body of the question that stands in the request's place, which is whole.", "http2",
        "status|backend (header (content-length|transfer-encoding)|body|requests)", "^(a body while auth_request asks|auth_request)"),
    Row("`$bytes_sent` over HTTP/2", "All that was sent.", "Without the heads of DATA frames, and without trailers.",
        "http/h2/response.c counts 9 bytes once for each response.", "http2", "log bytes_sent",
        values=lambda nginx, weir: weir.isdigit()),
    Row("`$http2` of HTTP/1 in logs", "Empty.", "`-`, as what is not known.", "http/request/variables_connection.c has no value for it.", "variables",
        ".log line", "^variable: http2$"),
    Row("blanks around the value of a field of an answer over HTTP/2", "Sent.", "Sent.",
        "RFC 9113, 8.2.1: it must not begin or end with white space; http/h2/fields.c could take it off.", "http2", "header forbidden",
        values=lambda nginx, weir: bool(weir)),
]
