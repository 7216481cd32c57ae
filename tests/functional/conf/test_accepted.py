"""Directives of nginx that are accepted and change nothing: their places and their arguments are still looked at."""

import re

import pytest
from mistakes import arguments
from weirlib import ROOT, config

# Name: where it may stand, what it takes, and how many arguments that is (docs/directives.md says "Accepted" of each).
LEVELS = ("http", "server", "location")
ONE = "exactly 1"
ACCEPTED = {
    "accept_mutex": (("events",), "on", ONE),
    "accept_mutex_delay": (("events",), "500ms", ONE),
    "aio_write": (LEVELS, "on", ONE),
    "client_body_in_single_buffer": (LEVELS, "on", ONE),
    "connection_pool_size": (("http", "server"), "512", ONE),
    "directio_alignment": (LEVELS, "4k", ONE),
    "epoll_events": (("events",), "512", ONE),
    "fastcgi_busy_buffers_size": (LEVELS, "16k", ONE),
    "fastcgi_cache_background_update": (LEVELS, "on", ONE),
    "fastcgi_cache_bypass": (LEVELS, "$http_upgrade $cookie_a", "at least 1"),
    "fastcgi_cache_key": (LEVELS, "$uri", ONE),
    "fastcgi_cache_lock": (LEVELS, "on", ONE),
    "fastcgi_cache_lock_age": (LEVELS, "1s", ONE),
    "fastcgi_cache_lock_timeout": (LEVELS, "1s", ONE),
    "fastcgi_cache_max_range_offset": (LEVELS, "1", ONE),
    "fastcgi_cache_methods": (LEVELS, "GET", "at least 1"),
    "fastcgi_cache_min_uses": (LEVELS, "2", ONE),
    "fastcgi_cache_revalidate": (LEVELS, "on", ONE),
    "fastcgi_cache_use_stale": (LEVELS, "error", "at least 1"),
    "fastcgi_cache_valid": (LEVELS, "200 1m", "at least 1"),
    "fastcgi_no_cache": (LEVELS, "$http_a", "at least 1"),
    "fastcgi_send_lowat": (LEVELS, "0", ONE),
    "fastcgi_temp_file_write_size": (LEVELS, "16k", ONE),
    "gzip_buffers": (LEVELS, "32 4k", "exactly 2"),
    "gzip_hash": (LEVELS, "16k", ONE),
    "gzip_no_buffer": (LEVELS, "on", ONE),
    "gzip_window": (LEVELS, "32k", ONE),
    "http2_pool_size": (("http", "server"), "4k", ONE),
    "http2_recv_buffer_size": (("http",), "256k", ONE),
    "http2_streams_index_size": (("http", "server"), "32", ONE),
    "lock_file": (("main",), "logs/lock", ONE),
    "map_hash_bucket_size": (("http",), "64", ONE),
    "map_hash_max_size": (("http",), "2048", ONE),
    "msie_padding": (LEVELS, "on", ONE),
    "msie_refresh": (LEVELS, "off", ONE),
    "open_file_cache_events": (LEVELS, "on", ONE),
    "output_buffers": (LEVELS, "2 32k", "exactly 2"),
    "pcre_jit": (("main",), "on", ONE),
    "postpone_gzipping": (LEVELS, "0", ONE),
    "postpone_output": (LEVELS, "1460", ONE),
    "proxy_busy_buffers_size": (LEVELS, "16k", ONE),
    "proxy_cache_background_update": (LEVELS, "on", ONE),
    "proxy_cache_bypass": (LEVELS, "$http_upgrade $cookie_a", "at least 1"),
    "proxy_cache_convert_head": (LEVELS, "on", ONE),
    "proxy_cache_key": (LEVELS, "$uri", ONE),
    "proxy_cache_lock": (LEVELS, "on", ONE),
    "proxy_cache_lock_age": (LEVELS, "1s", ONE),
    "proxy_cache_lock_timeout": (LEVELS, "1s", ONE),
    "proxy_cache_max_range_offset": (LEVELS, "1", ONE),
    "proxy_cache_methods": (LEVELS, "GET", "at least 1"),
    "proxy_cache_min_uses": (LEVELS, "2", ONE),
    "proxy_cache_revalidate": (LEVELS, "on", ONE),
    "proxy_cache_use_stale": (LEVELS, "error", "at least 1"),
    "proxy_cache_valid": (LEVELS, "200 1m", "at least 1"),
    "proxy_headers_hash_bucket_size": (LEVELS, "64", ONE),
    "proxy_headers_hash_max_size": (LEVELS, "512", ONE),
    "proxy_no_cache": (LEVELS, "$http_a", "at least 1"),
    "proxy_send_lowat": (LEVELS, "0", ONE),
    "proxy_temp_file_write_size": (LEVELS, "16k", ONE),
    "read_ahead": (LEVELS, "0", ONE),
    "referer_hash_bucket_size": (("server", "location"), "64", ONE),
    "referer_hash_max_size": (("server", "location"), "2048", ONE),
    "request_pool_size": (("http", "server"), "4k", ONE),
    "scgi_temp_path": (LEVELS, "s 1", "1 to 4"),
    "send_lowat": (LEVELS, "0", ONE),
    "server_names_hash_bucket_size": (("http",), "64", ONE),
    "server_names_hash_max_size": (("http",), "512", ONE),
    "tcp_nopush": (LEVELS, "on", ONE),
    "timer_resolution": (("main",), "100ms", ONE),
    "types_hash_bucket_size": (LEVELS, "64", ONE),
    "types_hash_max_size": (LEVELS, "1024", ONE),
    "use": (("events",), "epoll", ONE),
    "uwsgi_temp_path": (LEVELS, "u", "1 to 4"),
    "variables_hash_bucket_size": (("http",), "64", ONE),
    "variables_hash_max_size": (("http",), "1024", ONE),
    "worker_aio_requests": (("events",), "32", ONE),
    "zone": (("upstream",), "up 64k", "1 to 2"),
}
pytestmark = pytest.mark.directive(*ACCEPTED)
PLACES = ("main", "events", "http", "server", "location", "upstream")


def with_lines(lines):
    """A configuration with so many lines at each place."""
    text = {place: "\n" + "".join(f"{line};\n" for at, line in lines if at == place) for place in PLACES}
    return config(f"location / {{\n{text['location']} return 200 ok; }}", main=text["main"], events=text["events"],
                  http=f"{text['http']} upstream up {{ server 127.0.0.1:1;\n{text['upstream']} }}", server=text["server"])


def test_all_of_them(weir):
    """On all of their levels at once."""
    weir.start(with_lines([(place, f"{name} {good}") for name, (places, good, _) in ACCEPTED.items() for place in places]))
    assert weir.get("/").text == "ok" and "[warn]" not in weir.error_log
    assert not any((weir.tmp / name).exists() for name in ("f", "s", "u", "logs/lock"))


def test_wrong_places(weir):
    """Each, one by one, everywhere else."""
    lines = [(place, f"{name} {good}") for name, (places, good, _) in ACCEPTED.items() for place in PLACES if place not in places]
    found = weir.mistakes(with_lines(lines))
    said = {(re.match(r'"(\w+)" directive is not allowed here; its place is: ', message)[1], line) for message, line in found}
    numbered = list(enumerate(weir.conf.read_text().splitlines(), 1))
    wanted = {(line.split()[0], number) for number, text in numbered for _, line in lines if text.strip() == line + ";"}
    assert said == wanted and len(found) == len(lines)


def test_wrong_numbers_of_arguments(weir):
    """None at all, and one more than there may be."""
    lines = [(places[-1], name) for name, (places, _, _) in ACCEPTED.items()]
    lines += [(places[-1], f"{name} {' '.join('1' for _ in range(int(takes.split()[-1]) + 1))}")
              for name, (places, _, takes) in ACCEPTED.items() if "at least" not in takes]
    found = weir.mistakes(with_lines(lines))
    said = sorted(message for message, _ in found)
    wanted = sorted(arguments(line.split()[0], ACCEPTED[line.split()[0]][2]) for _, line in lines)
    assert len(said) == len(wanted) and all(map(str.startswith, said, wanted))


def test_the_list_is_whole():
    """What the documentation calls accepted is what this file calls so."""
    text = (ROOT / "docs/directives.md").read_text()
    assert set(re.findall(r"^### (\w+)\n\n    .*\n\nAccepted\b", text, re.M)) == set(ACCEPTED)
