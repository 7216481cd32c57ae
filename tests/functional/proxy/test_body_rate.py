"""client_body_min_rate: a client whose body goes straight to an upstream keeps its permit only while it sends."""

import threading
import time

import pytest
from proxylib import answer, backend, upstream  # noqa: F401
from weirlib import config, limit, take_time, wait_until

ZONE = "limit_concurrency_zone z limit=2;"
LOCATIONS = """
    location /limited { limit_concurrency z; client_body_min_rate 1k after=1s; proxy_request_buffering off; proxy_pass http://up; }
    location /free { client_body_min_rate 1k after=1s; proxy_request_buffering off; proxy_pass http://up; }
    location /off { limit_concurrency z; client_body_min_rate 0; proxy_request_buffering off; proxy_pass http://up; }
"""


@pytest.fixture
def serve(weir, backend):  # noqa: F811
    def start(**how):
        behind = backend(**how)
        weir.start(config(LOCATIONS, http=ZONE + upstream(behind), server="client_max_body_size 100m;"))
        return weir, behind
    return start


def zone(weir):
    return weir.status()["concurrency"]["z"]


class Upload(threading.Thread):
    """A client that sends a body of so many bytes in steps; `status` is what it got, `seconds` when."""

    def __init__(self, weir, target, total, step, pause):
        super().__init__(daemon=True)
        self.connection, self.total, self.step, self.pause, self.status = weir.connect(timeout=20), total, step, pause, None
        self.connection.send(f"POST {target} HTTP/1.1\r\nHost: a\r\nContent-Length: {total}\r\n\r\n")
        self.begun = time.monotonic()
        self.start()

    def run(self):
        reader = threading.Thread(target=self._read, daemon=True)
        reader.start()
        for _ in range(self.total // self.step):
            try:
                self.connection.send(b"x" * self.step)
            except OSError:
                break
            if self.status or not reader.is_alive():
                break
            take_time(self.pause)
        reader.join()

    def _read(self):
        try:
            self.status = self.connection.response().status
        except (OSError, EOFError) as error:
            self.status = repr(error)
        self.seconds = time.monotonic() - self.begun


def test_dripping_uploads_lose_their_permits(serve):
    """Two clients that send a byte now and then are told 408, and others are served."""
    weir, behind = serve()
    uploads = [Upload(weir, "/limited", 100000, 1, 0.1) for _ in range(2)]
    wait_until(lambda: zone(weir)["in_flight"] == 2, 3, "two permits held")
    assert weir.get("/limited").status == 503
    wait_until(lambda: zone(weir)["in_flight"] == 0, 3, "permits given back")
    assert weir.get("/limited").status == 200
    for upload in uploads:
        upload.join(limit(3))
        assert upload.status == 408 and 0.9 < upload.seconds < limit(3), (upload.status, upload.seconds)
    assert all(peer.gone.wait(limit(3)) for peer in behind.peers[:2])


@pytest.mark.directive("client_body_min_rate")
def test_silent_upload_loses_its_permit(serve):
    """So does one that sends nothing more at all."""
    weir, _ = serve()
    with weir.connect() as client:
        client.send("POST /limited HTTP/1.1\r\nHost: a\r\nContent-Length: 9\r\n\r\nx")
        assert client.response().status == 408


def test_steady_upload_goes_on(serve):
    """A client above the rate may take as long as it likes."""
    weir, behind = serve()
    upload = Upload(weir, "/limited", 8000, 400, 0.1)
    upload.join(limit(10))
    assert upload.status == 200 and upload.seconds > 1.8
    assert len(behind.call.body) == 8000


def test_slow_upstream_is_not_the_clients_fault(serve):
    """Time in which the upstream takes nothing does not count."""
    def late(call):
        take_time(2.5)
        call.read_body()
        return answer()
    weir, behind = serve(reply=late, read_body=False, room=4096)
    with weir.connect(timeout=20) as client:
        client.request("/limited", "POST", body=b"x" * 20_000_000)
        assert client.response().status == 200
    assert len(behind.call.body) == 20_000_000


@pytest.mark.parametrize("target", ["/free", "/off"])
def test_who_holds_nothing_may_drip(serve, target):
    """Without a permit, or with a rate of 0, client_body_timeout alone decides."""
    weir, behind = serve()
    upload = Upload(weir, target, 20, 1, 0.1)
    upload.join(limit(10))
    assert upload.status == 200 and len(behind.call.body) == 20
