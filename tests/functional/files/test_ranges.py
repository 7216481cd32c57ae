"""Ranges and tags of files where nginx has rules of its own: of compressed ones beside them, of nothing, without tags."""

import pytest
from weirlib import config


@pytest.mark.parametrize("mode", ["on", "always"])
def test_compressed(weir, mode):
    """The compressed file is sent whole: a range is of what was asked for. The file itself has ranges still."""
    weir.write("0123456789", "html/file")
    weir.write("compressed", "html/file.gz")
    weir.write("0123456789", "html/plain")
    weir.start(config(f"location / {{ root {{tmp}}/html; gzip_static {mode}; }}"))
    fields = [("Accept-Encoding", "gzip"), ("Range", "bytes=0-1")]
    reply = weir.get("/file", headers=fields)
    assert (reply.status, reply.text, reply.header("Accept-Ranges")) == (200, "compressed", None)
    reply = weir.get("/plain", headers=fields)
    assert (reply.status, reply.text) == (206, "01")


@pytest.mark.parametrize("name, value", [("empty", "bytes=0-"), ("empty", "bytes=-5"), ("file", "bytes=")])
def test_whole(weir, name, value):
    """An empty file is there all the same, and no range at all asks for none."""
    weir.write("", "html/empty")
    weir.write("text", "html/file")
    weir.start(config("location / { root {tmp}/html; }"))
    assert weir.get("/" + name, headers=[("Range", value)]).status == 200


@pytest.mark.directive("etag")
def test_without_tags(weir):
    """With etag off no tag is the file's, though "*" still is."""
    weir.write("0123456789", "html/file")
    weir.start(config("location / { root {tmp}/html; } location /off/ { alias {tmp}/html/; etag off; }"))
    tag = weir.get("/file").header("ETag")

    def status(target, *fields):
        return weir.get(target, headers=list(fields)).status
    part = ("Range", "bytes=0-1")
    assert [status(target, part, ("If-Range", tag)) for target in ("/file", "/off/file")] == [206, 200]
    assert [status(target, ("If-None-Match", tag)) for target in ("/file", "/off/file")] == [304, 200]
    assert [status(target, ("If-Match", tag)) for target in ("/file", "/off/file")] == [200, 412]
    assert [status("/off/file", (name, "*")) for name in ("If-Match", "If-None-Match")] == [200, 304]
