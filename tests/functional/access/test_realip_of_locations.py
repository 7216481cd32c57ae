"""real_ip_header of a location counts from where limits do: what its rewrite module says still sees who has connected, as in nginx."""

import pytest
from proxylib import backend  # noqa: F401 - a fixture
from weirlib import config, wait_until

FORWARDED = [("X-Forwarded-For", "192.0.2.9")]
HERE = "real_ip_header X-Forwarded-For;"
HTTP = "log_format ends '$uri $remote_addr'; geo $zone_key { default \"\"; 192.0.2.9 x; } limit_req_zone $zone_key zone=few:64k rate=1r/m;"
TRUSTED = "set_real_ip_from 127.0.0.1; access_log logs/ends.log ends;"


def served(weir, locations):
    weir.start(config(locations, http=HTTP, server=TRUSTED))
    return weir


@pytest.mark.parametrize("steps", [
    'return 200 "$remote_addr"; ', 'add_header X-Who $remote_addr; return 204;', "set $y $remote_addr; return 200 $y;",
    "rewrite ^ http://h.test/$remote_addr? redirect;", 'if ($arg_none = "") { return 200 $remote_addr; }', "return 404;"])
def test_return_sees_who_has_connected(weir, steps):
    served(weir, f"location / {{ {HERE} {steps} }}")
    answer = weir.get(headers=FORWARDED)
    said = answer.text + answer.header("x-who", "") + answer.header("location", "")
    assert "192.0.2.9" not in said and (answer.status == 404 or "127.0.0.1" in said)
    wait_until(lambda: "/ 127.0.0.1" in (weir.tmp / "logs/ends.log").read_text(), 3, "the line of the log")


def test_too_large_a_body_is_refused_before(weir):
    served(weir, f"location / {{ {HERE} client_max_body_size 1; }}")
    assert weir.get(method="POST", headers=FORWARDED, body=b"12").status == 413
    wait_until(lambda: "/ 127.0.0.1" in (weir.tmp / "logs/ends.log").read_text(), 3, "the line of the log")


@pytest.mark.directive("location")
@pytest.mark.parametrize("target,way", [
    ("/x", ""), ("/status2", "location = /status2 { " + HERE + " stub_status; }"),
    ("/x", "error_page 418 /other; location /x { return 418; } location /other { " + HERE + " }"),
    ("/x", "error_page 418 @named; location /x { return 418; } location @named { " + HERE + " }"),
    ("/x", "location /x { try_files /none /other; } location /other { " + HERE + " }"),
    ("/x", "location /x { try_files /none @named; } location @named { " + HERE + " }"),
    ("/dir/", "location = /dir/ { index /other; } location /other { " + HERE + " }")])
def test_every_location_that_goes_on(weir, target, way):
    """Once it is found it stays; until then each location on the way may find it."""
    weir.write("x", "html/other")
    (weir.tmp / "html/dir").mkdir()
    served(weir, f"{way} location / {{ {HERE} }}")
    weir.get(target, headers=FORWARDED)
    wait_until(lambda: " 192.0.2.9" in (weir.tmp / "logs/ends.log").read_text(), 3, "the line of the log")


@pytest.mark.directive("limit_req")
def test_limits_and_upstreams_know_the_client(weir, backend):
    up = backend()
    served(weir, f"location / {{ {HERE} limit_req zone=few; proxy_pass http://{up.address}; proxy_set_header X-Who $remote_addr; }}")
    assert [weir.get(headers=FORWARDED).status for _ in range(2)] == [200, 503]
    assert up.call.header("X-Who") == "192.0.2.9"
