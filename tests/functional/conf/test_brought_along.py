"""Configurations that come from nginx: what is accepted without effect, and how the check tells what is not there."""

import re

import pytest
from proxylib import answer, backend  # noqa: F401
from weirlib import config


def told(weir, conf):
    """The errors of -t, each as (sentence, line)."""
    result = weir.run("-t", conf=conf)
    assert result.returncode == 1
    return [(m[1], int(m[2])) for m in re.finditer(r"\[emerg\] (.*) in \S+:(\d+)$", result.stderr, re.M)]


# ---- accepted ---------------------------------------------------------------------------------------------

ACCEPTED = {"http": "fastcgi_temp_path {tmp}/f 1 2; uwsgi_temp_path {tmp}/u; scgi_temp_path {tmp}/s 1; proxy_cache_bypass $http_upgrade; proxy_no_cache $http_a $arg_b;"}


def test_without_effect(weir, backend):  # noqa: F811
    """Bypasses of a cache that is not there, and folders of protocols that are not spoken, change nothing."""
    up = backend(answer(b"ok")).address
    weir.start(config(f"location / {{ proxy_cache_bypass $http_upgrade $cookie_a; proxy_no_cache 1; fastcgi_temp_path f; proxy_pass http://{up}; }}",
                      http=ACCEPTED["http"], server="proxy_no_cache $arg_x; uwsgi_temp_path u 1 2 3; scgi_temp_path s;"))
    assert weir.get("/?b=1").text == "ok" and "warn" not in weir.error_log
    assert not any((weir.tmp / name).exists() for name in "fus")


@pytest.mark.parametrize("statement", ["proxy_no_cache;", "proxy_cache_bypass;", "fastcgi_temp_path;", "scgi_temp_path a 1 2 3 4;"])
def test_shapes_are_checked(weir, statement):
    """Their places and arguments are still nginx's."""
    assert "invalid number of arguments" in told(weir, config(f"location / {{ {statement} }}"))[0][0]
    assert "not allowed here" in told(weir, config(main="proxy_no_cache 1;"))[0][0]


def test_what_is_not_there_is_off(weir):
    """To say so is no error; to say anything else, or to say it to a name that nobody knows, is one."""
    off = "proxy_cache off; proxy_store off; mirror off; fastcgi_cache off; brotli off;"
    result = weir.run("-t", conf=config(f"location / {{ {off} }}", server=off))
    assert result.returncode == 0 and "warn" not in result.stderr
    errors = told(weir, config("location / { proxy_cache on; proxy_store off x; gzipp off; }"))
    assert [text.split('"')[1] for text, _ in errors] == ["gzipp", "proxy_cache", "proxy_store"]


# ---- absent -----------------------------------------------------------------------------------------------

def test_a_feature_is_told_once(weir):
    """With the number of its lines, and the place of the first one."""
    weir.write("".join(f"uwsgi_param P{i} v;\n" for i in range(30)), "conf/uwsgi_params")
    php = "".join(f"location ~ ^/{i} {{ uwsgi_pass unix:/run/{i}.sock;\ninclude uwsgi_params; }}\n" for i in range(4))
    errors = told(weir, config("# start\n" + php + "location /m { mirror /x; retrun 200; }", server="ssl_engine pkcs11;\nssl_certificate_compression on;"))
    found = {text.split('"')[1]: (text, line) for text, line in errors}
    assert len(errors) == len(found) == 4, errors
    text, line = found["uwsgi_pass"]
    assert "no uwsgi" in text and "124 lines (uwsgi_*)" in text and "uwsgi_pass" in weir.conf.read_text().splitlines()[line - 1]
    text, line = found["ssl_engine"]
    assert "TLS" in text and "2 lines (ssl_*)" in text and "ssl_engine pkcs11" in weir.conf.read_text().splitlines()[line - 1]
    assert "lines" not in found["mirror"][0] and "did you mean" in found["retrun"][0]


@pytest.mark.directive("listen")
def test_parameters_of_listen(weir):
    """listen ... quic is a feature like others, however many servers have it."""
    servers = "".join(f"server {{ listen 127.0.0.1:1{i} quic; quic_retry o{i}; }}\n" for i in range(5))
    errors = [text for text, _ in told(weir, config(http=servers))]
    assert len(errors) == 1 and "10 lines (quic_*)" in errors[0] and 'parameter "quic" of "listen"' in errors[0]


# ---- of third parties -------------------------------------------------------------------------------------

FOREIGN = {
    "brotli on;": ("ngx_brotli", "gzip"), "more_set_headers 'X: y';": ("headers-more", "add_header"), "more_clear_headers Server;": ("headers-more", "proxy_hide_header"),
    "lua_package_path x;": ("lua", "handler"), "access_by_lua_file x;": ("lua", "handler"), "rewrite_by_lua 'return';": ("lua", "handler"),
    "vhost_traffic_status_zone;": ("vhost_traffic_status", "status"), "upload_progress proxied 1m;": ("upload_progress", ""),
    "echo hello;": ("echo", "return"), "geoip2 x { }": ("geoip2", "geo"), "fancyindex on;": ("fancyindex", "autoindex"), "subs_filter a b;": ("substitutions", "sub_filter"),
}


def test_modules_of_third_parties(weir):
    """Each is named as what it is, with what to use instead."""
    for statement, (module, instead) in FOREIGN.items():
        (text, _), = told(weir, config(f"location / {{ {statement} }}"))
        assert "third party's module" in text and module in text and instead in text, text
    (text, _), = told(weir, config() + "rtmp { server { listen 1935; application live { live on; } } }\n")
    assert "nginx-rtmp" in text and "third party's module" in text


def test_blocks_of_lua(weir):
    """What stands in them is passed over, so that all else is told."""
    lua = '''location / { content_by_lua_block {
                local t = { a = "}", b = '{' } -- a comment with }
                if t.a then ngx.say("x; y") end
             } }
             location /b { proxy_cache z; }
             init_by_lua_block { x = {} }
             '''
    errors = told(weir, config(lua))
    assert sorted(text.split('"')[1] for text, _ in errors) == ["content_by_lua_block", "proxy_cache"]
    assert "2 lines" in next(text for text, _ in errors if "lua" in text)
    line = next(line for text, line in errors if "proxy_cache" in text)
    assert "proxy_cache z" in weir.conf.read_text().splitlines()[line - 1]
    assert any("expecting" in text for text, _ in told(weir, config("location / { content_by_lua_block { x = {")))


# ---- modules ----------------------------------------------------------------------------------------------

@pytest.mark.parametrize("name, said", [
    ("http_lua", "ngx_http_lua (OpenResty)"), ("http_headers_more_filter", "add_header NAME VALUE always"), ("http_brotli_static", "ngx_brotli"), ("http_geoip", "use geo"),
    ("http_geoip2", "ngx_http_geoip2"), ("http_image_filter", "pictures"), ("http_xslt_filter", "XML"), ("http_perl", "handler in Lua or C"), ("http_js", "handler in Lua or C"),
    ("mail", "mail is not proxied"), ("stream", "only HTTP is proxied"), ("stream_geoip", "only HTTP is proxied"), ("rtmp", "nginx-rtmp"),
    ("http_uploadprogress", "upload_progress"), ("http_dav_ext", "files are not written"), ("nchan", "nchan"), ("http_subs_filter", "use sub_filter"),
    ("http_cache_purge", None), ("http_upstream_fair", None)])
def test_modules_of_nginx(weir, name, said):
    """By their names, whether the file is there or not: whose they are, and what is said of their directives."""
    weir.write("no module", f"conf/ngx_{name}_module.so")
    for folder in ("modules", "{tmp}/conf"):
        (text, _), = told(weir, config(main=f"load_module {folder}/ngx_{name}_module.so;"))
        assert "cannot load module" in text and "by its name it is nginx's" in text
        assert said in text if said else text.endswith("remove it")


@pytest.mark.parametrize("name", ["mine.so", "ngx_mine.so", "my_module.so", "_module.so"])
def test_modules_of_nobody_known(weir, name):
    assert "nginx" not in told(weir, config(main=f"load_module modules/{name};"))[0][0]
