"""Names of variables: which a configuration may use and define, and what is said of one without a value."""

import pytest
from weirlib import config
from wire import ask, head


@pytest.mark.parametrize("location, said", [
    ("location / { return 200 'a$'; }", "invalid variable name"), ("location / { return 200 '$-b'; }", "invalid variable name"),
    ("location / { return 200 '${}'; }", "invalid variable name"), ("location / { return 200 'x${uri-'; }", 'the closing bracket in "uri" variable is missing'),
    ("location / { return 200 $ssl_foo; }", 'unknown "ssl_foo" variable'), ("location / { return 200 $proxy_protocol_foo; }", 'unknown "proxy_protocol_foo" variable'),
    ("location / { rewrite ^/a ''; }", "empty replacement"), ("location / { return $arg_to; }", "invalid return code"),
    ("location / { set $document_root x; }", 'the duplicate "document_root" variable'), ("location / { set $uri x; }", 'the duplicate "uri" variable'),
    ("location ~ ^/(?<uri>.) { }", 'the duplicate "uri" variable'), ("location / { rewrite ^/(?<request_filename>.) /x; }", 'the duplicate "request_filename" variable')])
def test_refused(weir, location, said):
    """A name that is none, or that is taken, is an error that says so."""
    checked = weir.run("-t", conf=config(location))
    assert checked.returncode == 1 and said in checked.stderr


IDLE = ["proxy_set_header X $nope;", "proxy_redirect http://a/ $nope;", "proxy_redirect $nope /;", "proxy_cookie_path /a $nope;", "proxy_cookie_domain a $nope;",
        "proxy_cookie_flags $nope secure;", "proxy_method $nope;", "proxy_set_body $nope;", "proxy_bind $nope;", "source_charset $nope;",
        "auth_basic_user_file /x/$nope;", "auth_request_set $a $nope;", "proxy_cache_bypass $arg_a $nope;", "proxy_no_cache $nope;"]


@pytest.mark.parametrize("statement", IDLE)
@pytest.mark.parametrize("server", [False, True])
def test_names_in_what_nothing_uses_here(weir, statement, server):
    """Also where no proxy_pass, charset or auth_basic is there to use the text; said once."""
    location = "location / { return 200; } location /a { return 200; }"
    checked = weir.run("-t", conf=config(location, server=statement) if server else config(f"location / {{ {statement} return 200; }}"))
    assert checked.returncode == 1 and checked.stderr.count('unknown "nope" variable') == 1, checked.stderr
    assert weir.run("-t", conf=config(location, server=statement.replace("$nope", "$arg_nope"))).returncode == 0


def test_other_mistakes_in_what_nothing_uses_here(weir):
    for statement, said in {"proxy_redirect ~( /;": 'in "("', "proxy_cookie_path /a;": "FROM TO", "proxy_cookie_domain off; proxy_cookie_domain a b;": "stands alone"}.items():
        checked = weir.run("-t", conf=config(f"location / {{ {statement} return 200; }}"))
        assert checked.returncode == 1 and said in checked.stderr, checked.stderr
    groups = r"proxy_redirect ~^/(?<rest>.*)$ /$rest; proxy_redirect default;"
    assert weir.run("-t", conf=config(f"location / {{ {groups} return 200; }}")).returncode == 0


@pytest.mark.directive("set")
def test_prefixes_may_be_set(weir):
    """A variable whose name begins as those of fields and arguments do is the field or argument till it is set."""
    weir.start(config("location / { return 200 $http_x$arg_b; } location /s { set $http_x $arg_a; set $arg_b 2; return 200 '$http_x$arg_b$http_y$ssl_cipher'; }"))
    said = [ask(weir.port, head(f"GET {path}?a=1&b=3 HTTP/1.1", "X: x", "Y: y")).text for path in ("/", "/s")]
    assert said == ["x3", "12y"]


@pytest.mark.directive("uninitialized_variable_warn")
def test_warning_of_what_is_not_set(weir):
    """A variable of set that is used before is empty, and a warning once for each request; not where the warning is off."""
    weir.start(config("location /a { set $v 1; return 200 $v; } location /b { return 200 '[$v$v]'; }"
                      "location /c { uninitialized_variable_warn off; return 200 [$v]; }", log="warn"))
    assert [ask(weir.port, head(f"GET /{name} HTTP/1.1")).text for name in "abc"] == ["1", "[]", "[]"]
    weir.wait_log('using uninitialized "v" variable')
    assert weir.error_log.count("using uninitialized") == 1
