"""weir_read: a handler that reads its request's body while it comes."""

import modlib
import pytest
import weirlib
from weirlib import Connection, config, take_time, wait_until

SOURCE = """
#include <stdatomic.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

static atomic_int begun, ended, broken;
static atomic_long seen;

/* Counts and sums up what it reads, in pieces of any size; then says how it ended. */
static int run_sum(weir_request *r)
{
    static const size_t sizes[] = {1, 7, 4096, 100000};
    char *buffer = malloc(100000);
    unsigned long bytes = 0, sum = 0;
    const char *pause = weir_arg(r, "pause_us"), *only = weir_arg(r, "only");
    size_t whole = 1;
    ssize_t n;
    weir_body(r, &whole);
    begun++;
    for (int i = 0; (n = weir_read(r, buffer, sizes[i % 4])) > 0; i++) {
        for (ssize_t k = 0; k < n; k++)
            sum = sum * 31 + (unsigned char)buffer[k];
        bytes += (unsigned long)n;
        seen += n;
        if (only && bytes >= strtoul(only, NULL, 10))
            break;
        if (pause)
            usleep((useconds_t)atol(pause));
    }
    free(buffer);
    weir_printf(r, "%lu %lu %d %zu", bytes, sum & 0xffffffff, (int)(n < 0 ? -1 : n == 0 ? 0 : 1), whole);
    ended++;
    return 0;
}
/* Answers before it reads. */
static int run_early(weir_request *r)
{
    char byte;
    weir_puts(r, "early ");
    weir_flush(r);
    while (weir_read(r, &byte, 1) > 0) {
    }
    weir_printf(r, "%d", (int)weir_read(r, &byte, 1));
    return 0;
}
/* What it gets of memory is its own, whatever the loop does meanwhile. */
static int run_memory(weir_request *r)
{
    char *kept[200], byte;
    int wrong = 0;
    begun++;
    weir_read(r, &byte, 1);
    for (int i = 0; i < 200; i++) {
        kept[i] = weir_alloc(r, 100);
        memset(kept[i], i, 100);
        weir_header(r, "Host");
        usleep(20);
    }
    for (int i = 0; i < 200; i++)
        for (int k = 0; k < 100; k++)
            wrong += kept[i][k] != (char)i;
    broken += wrong > 0;
    ended++;
    return wrong ? 500 : 0;
}
static int run_not_asked(weir_request *r)
{
    size_t bytes;
    char byte;
    weir_body(r, &bytes);
    weir_printf(r, "%d %zu", (int)weir_read(r, &byte, 1), bytes);
    return 0;
}
static int run_figures(weir_request *r)
{
    weir_printf(r, "%d %d %ld", broken ? -1 : begun, ended, seen);
    return 0;
}
static const struct weir_handler list[] = {
    {.name = "sum", .run = run_sum, .streams_body = 1}, {.name = "early", .run = run_early, .streams_body = 1},
    {.name = "memory", .run = run_memory, .streams_body = 1}, {.name = "not_asked", .run = run_not_asked}, {.name = "figures", .run = run_figures}, {0}};
WEIR_MODULE(list);
"""
LOCATIONS = """
    client_max_body_size 64m;
    location /sum { handler sum pool=p; }
    location /early { handler early pool=p; }
    location /not_asked { handler not_asked; }
    location /figures { handler figures; }
    location /memory { handler memory pool=p; client_max_body_size 1k; }
    location /waits { handler sum pool=one; }
    location /small { handler sum pool=p; client_max_body_size 1k; }
    location /slow { handler sum pool=p; client_body_timeout 300ms; }
    location /short { handler sum pool=p; handler_timeout 400ms; }
    location /limited { handler sum pool=p; limit_concurrency z; }
"""


@pytest.fixture
def served(weir):
    path = modlib.build(weir.tmp, SOURCE)
    return weir.start(config(LOCATIONS, main=f"load_module {path}; thread_pool p threads=4; thread_pool one threads=1;", http="limit_concurrency_zone z limit=2;"))


def figures(weir):
    return tuple(map(int, weir.get("/figures").text.split()))


def said(body, how=0):
    """What the handler answers to a body that it has read."""
    total = 0
    for byte in body:
        total = (total * 31 + byte) & 0xffffffff
    return f"{len(body)} {total} {how} 0"


BODY = bytes(range(256)) * 1000


@pytest.mark.parametrize("path", ["/sum", "/limited", "/sum?pause_us=2000"])
@pytest.mark.parametrize("body", [b"", b"x", BODY[:5000], BODY], ids=len)
def test_a_body_with_a_length(served, path, body):
    """At once with the head, or while the handler reads: the same bytes, then its end."""
    assert served.get(path, method="POST", body=body).text == said(body)
    assert served.get(path).text == said(b"")


@pytest.mark.http1_only
def test_a_body_in_pieces(served):
    """With a length and in chunks: each piece is read when it is there, long before the last one."""
    for framing in ("Content-Length: 6", "Transfer-Encoding: chunked"):
        with served.connect() as client:
            client.send(f"POST /sum HTTP/1.1\r\nHost: a\r\n{framing}\r\n\r\n")
            for piece in (b"ab", b"cd", b"ef"):
                before = figures(served)[2]
                client.send(piece if framing[0] == "C" else b"2\r\n" + piece + b"\r\n")
                wait_until(lambda: figures(served)[2] == before + 2, 5, "two more bytes")  # noqa: B023
            if framing[0] == "T":
                client.send(b"0\r\n\r\n")
            assert client.response().text == said(b"abcdef")
            client.request("/sum", "POST", body=b"next")
            assert client.response().text == said(b"next")


@pytest.mark.http1_only
def test_a_client_that_waits_is_asked(served):
    with served.connect() as client:
        client.send("POST /sum HTTP/1.1\r\nHost: a\r\nContent-Length: 3\r\nExpect: 100-continue\r\n\r\n")
        assert b"100 Continue" in client.socket.recv(1000)
        client.send(b"abc")
        assert client.response().text == said(b"abc")


def test_a_large_body_takes_little_memory(served):
    """Forty megabytes for a handler that is slower than its client: what is ahead of it is bounded."""
    [worker] = served.worker_pids()
    served.get("/sum", method="POST", body=BODY)
    before = int(weirlib.proc_field(worker, "VmRSS").split()[0])
    body = BODY * 160
    with served.connect(timeout=60) as client:
        client.request("/sum?pause_us=200", "POST", body=body)
        peak = int(weirlib.proc_field(worker, "VmRSS").split()[0])
        assert client.response().text.startswith(f"{len(body)} ")
    peak = max(peak, int(weirlib.proc_field(worker, "VmHWM").split()[0]))
    assert weirlib.SLOW_BUILD or peak - before < 10_000, (before, peak)
    assert not list((served.tmp / "client_body").glob("*")) if (served.tmp / "client_body").exists() else True


def test_a_handler_that_reads_nothing_holds_its_client_back(served):
    """It waits: the worker takes no more than a bound."""
    with served.connect() as client:
        client.request("/sum?pause_us=300000", "POST", body=b"")
        client.response()
        client.socket.settimeout(2)
        client.send(f"POST /sum?pause_us=3000000 HTTP/1.1\r\nHost: a\r\nContent-Length: {50 << 20}\r\n\r\n")
        sent = 0
        try:
            while sent < 50 << 20:
                sent += client.socket.send(bytes(1 << 16))
        except OSError:
            pass
        assert sent < 30 << 20


def test_the_rest_is_dropped(served):
    """A handler that has enough answers; where more was to come, the connection ends."""
    with served.connect() as client:
        client.request("/sum?only=100", "POST", body=BODY)
        count, _, how, _ = client.response().text.split()
        assert 100 <= int(count) < len(BODY) and how == "1"


@pytest.mark.http1_only
def test_an_answer_before_the_body(served):
    """What was not read when the answer begins is dropped, and the connection closed, as in nginx: the handler hears that no more will come."""
    with served.connect() as client:
        client.send(f"POST /early HTTP/1.1\r\nHost: a\r\nContent-Length: {len(BODY)}\r\n\r\nab")
        assert client.begun()
        client.send(BODY[2:])
        assert client.response().text == "early -1"
        assert client.closed_within(5) is not None


def test_memory_is_the_handlers_own(served):
    """While it takes some, the loop refuses the body, and says so in the log."""
    served.expect_log("too large chunked body")
    for _ in range(60):
        with served.connect() as client:
            client.send("POST /memory HTTP/1.1\r\nHost: a\r\nTransfer-Encoding: chunked\r\n\r\n3\r\nabc\r\n")
            take_time(0.002)
            client.send(b"401\r\n" + b"x" * 1025 + b"\r\n0\r\n\r\n")
            assert client.response().status in (200, 413)
    wait_until(lambda: served.pool("p")["threads"]["running"] == 0, 10, "all ends")
    assert figures(served)[0] == figures(served)[1] > 0


@pytest.mark.http1_only
def test_who_waits_for_a_thread_takes_little_memory(served):
    """Of a body whose handler has not begun no more is read than client_body_buffer_size, about."""
    [worker] = served.worker_pids()
    first = served.connect(timeout=30)
    first.request("/waits?pause_us=2000000", "POST", body=b"ab")
    wait_until(lambda: figures(served)[0] == 1, 5, "the first")
    before = int(weirlib.proc_field(worker, "VmRSS").split()[0])
    clients = [served.connect(timeout=30) for _ in range(100)]
    for client in clients:
        client.send(f"POST /waits HTTP/1.1\r\nHost: a\r\nContent-Length: {len(BODY)}\r\n\r\n".encode() + BODY[:200_000])
    wait_until(lambda: served.pool("one")["queue"]["length"] == 100, 10, "all to wait")
    assert weirlib.SLOW_BUILD or int(weirlib.proc_field(worker, "VmRSS").split()[0]) - before < 15_000
    for client in clients:
        client.send(BODY[200_000:])
    assert [client.response().text for client in clients] == [said(BODY)] * 100
    assert first.response().text == said(b"ab")


def test_a_client_that_goes(served):
    """The handler hears of it."""
    client = Connection(served.port)
    client.send("POST /sum HTTP/1.1\r\nHost: a\r\nContent-Length: 1000\r\n\r\nabc")
    wait_until(lambda: figures(served) == (1, 0, 3), 5, "the first bytes")
    client.close()
    wait_until(lambda: figures(served)[1] == 1, 5, "the handler's end")


@pytest.mark.http1_only
def test_a_client_that_stops(served):
    """408 after client_body_timeout, and the handler ends."""
    with served.connect() as client:
        client.send("POST /slow HTTP/1.1\r\nHost: a\r\nContent-Length: 1000\r\n\r\nabc")
        assert client.response().status == 408
    wait_until(lambda: figures(served) == (1, 1, 3), 5, "the handler's end")


@pytest.mark.http1_only
@pytest.mark.parametrize("path, wrong, status", [("/small", b"401\r\n" + b"x" * 1025 + b"\r\n", 413), ("/sum", b"nonsense\r\n", 400)])
def test_a_body_that_goes_wrong(served, path, wrong, status):
    """Too large, or no chunks, when its handler has read some already."""
    served.expect_log("too large chunked body")
    with served.connect() as client:
        client.send(f"POST {path} HTTP/1.1\r\nHost: a\r\nTransfer-Encoding: chunked\r\n\r\n3\r\nabc\r\n")
        wait_until(lambda: figures(served)[2] == 3, 5, "the first bytes")
        client.send(wrong)
        assert client.response().status == status
    wait_until(lambda: figures(served)[1] == 1, 5, "the handler's end")
    assert served.get("/small", method="POST", body=b"x" * 2000).status == 413


def test_the_time_is_over(served):
    """504, and the handler hears that nobody waits."""
    served.expect_log("timed out")
    with served.connect() as client:
        client.send("POST /short HTTP/1.1\r\nHost: a\r\nContent-Length: 1000\r\n\r\nabc")
        assert client.response().status == 504
    wait_until(lambda: figures(served) == (1, 1, 3), 5, "the handler's end")


def test_another_handler_has_it_whole(served):
    assert served.get("/not_asked", method="POST", body=b"abc").text == "-1 3"


def test_many_at_once(served):
    """Bodies of many clients, some of whom leave, over few threads: each handler reads its own."""
    clients = []
    for i in range(40):
        client = Connection(served.port)
        client.send(f"POST /sum HTTP/1.1\r\nHost: a\r\nContent-Length: {len(BODY)}\r\n\r\n".encode() + BODY[:i * 10])
        clients.append(client)
    for i, client in enumerate(clients):
        if i % 4 == 3:
            client.close()
    for i, client in enumerate(clients):
        if i % 4 != 3:
            client.send(BODY[i * 10:])
    for i, client in enumerate(clients):
        if i % 4 != 3:
            assert client.response().text == said(BODY)
            client.close()
    wait_until(lambda: served.pool("p")["threads"]["running"] == 0, 5, "all ends")
