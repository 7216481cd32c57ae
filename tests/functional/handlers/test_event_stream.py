"""weir_event: a response as a stream of events, as browsers read it."""

import modlib
import pytest
from weirlib import Connection, config, wait_until

SOURCE = modlib.handlers(
    some="""
    const char *last = weir_header(r, "Last-Event-ID");
    weir_event(r, NULL, NULL, "plain");
    weir_event(r, "tick", "7", "one\\ntwo\\r\\nthree\\rfour\\n");
    weir_event(r, NULL, NULL, NULL);
    weir_event(r, NULL, "8", "");
    return weir_event(r, NULL, NULL, last ? last : "-");""",
    wrong="""
    int all = weir_event(r, "a\\nb", NULL, "x") + weir_event(r, NULL, "a\\rb", "x") + weir_event(r, "a", NULL, NULL);
    weir_printf(r, "%d", all);
    return 0;""",
    own="""
    weir_set_status(r, 201);
    weir_set_header(r, "X-Own", "1");
    weir_set_header(r, "Cache-Control", "no-store");
    weir_event(r, NULL, NULL, "x");
    return 0;""",
    clock="""
    while (weir_event(r, "tick", NULL, "now") == 0)
        usleep(1000);
    return 0;""")


@pytest.fixture
def served(weir):
    path = modlib.build(weir.tmp, SOURCE, head="#include <unistd.h>\n")
    return weir.start(config("".join(f"location /{name} {{ handler {name}; }}" for name in ("some", "wrong", "own", "clock")),
                             main=f"load_module {path};"))


def test_fields(served):
    """Names, numbers and data of several lines, a comment, empty data; and where the client was."""
    r = served.get("/some", headers=[("Last-Event-ID", "6")])
    assert r.header("content-type") == "text/event-stream" and r.header("cache-control") == "no-cache"
    assert r.text == ("data: plain\n\nevent: tick\nid: 7\ndata: one\ndata: two\ndata: three\ndata: four\ndata: \n\n"
                      ":\n\nid: 8\ndata: \n\ndata: 6\n\n")


def test_what_is_no_event(served):
    """Ends of lines in a name or number, or a named comment, send nothing."""
    r = served.get("/wrong")
    assert r.text == "-3" and r.header("content-type") != "text/event-stream"


def test_with_other_headers(served):
    r = served.get("/own")
    assert (r.status, r.header("x-own"), r.text) == (201, "1", "data: x\n\n")
    assert [value for name, value in r.headers if name == "cache-control"] == ["no-store"]


def test_each_event_at_once_until_the_client_goes(served):
    """An event is with the client while the handler goes on; once the client has gone, it ends."""
    client = Connection(served.port)
    client.request("/clock")
    assert client.begun()
    assert served.pool("default")["threads"]["running"] == 1
    client.close()
    wait_until(lambda: served.pool("default")["threads"]["running"] == 0, 5, "the handler's end")
