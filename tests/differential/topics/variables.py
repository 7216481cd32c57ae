"""Every variable, by return, add_header and log_format; map, geo, split_clients; log_format escapes; access_log."""

from cases import HELLO, Case, answer, ask, pipeline, table

HTTP = "proxy_http_version 1.1;"
CASES = []

STEADY = ["args", "binary_remote_addr", "body_bytes_sent", "bytes_sent", "content_length", "content_type", "document_root", "document_uri",
    "host", "hostname", "http_host", "http_user_agent", "http_referer", "http_via", "http_x_forwarded_for", "http_cookie", "http_x_a",
    "https", "is_args", "limit_rate", "proxy_protocol_addr", "proxy_protocol_port", "proxy_protocol_server_addr",
    "proxy_protocol_server_port", "query_string", "realip_remote_addr", "realpath_root", "remote_addr",
          "remote_user", "request", "request_body", "request_body_file", "request_completion", "request_filename", "request_length",
          "request_method", "request_uri", "scheme", "sent_http_content_type", "sent_http_content_length", "sent_http_location",
          "sent_http_last_modified", "sent_http_connection", "sent_http_keep_alive", "sent_http_transfer_encoding",
          "sent_http_cache_control", "sent_http_link", "sent_http_etag", "sent_http_server", "sent_http_date", "sent_http_x", "server_addr",
          "server_name", "server_port",
          "server_protocol", "status", "uri", "arg_x", "arg_y", "arg_X", "cookie_a", "cookie_b", "cookie_c_d", "cookie_A", "proxy_host",
          "proxy_port", "proxy_add_x_forwarded_for", "upstream_addr", "upstream_status", "upstream_response_length", "upstream_http_server",
          "upstream_http_content_type", "upstream_http_set_cookie", "upstream_cookie_u", "upstream_cache_status", "upstream_bytes_sent",
          "upstream_trailer_t", "sent_trailer_t", "gzip_ratio", "invalid_referer", "secure_link", "secure_link_expires", "http_",
          "http_content_length", "http_content_type", "http_authorization", "http_connection",
          "connection_requests", "pipe", "auth_none", "limit_conn_status", "limit_req_status", "ssl_protocol", "ssl_cipher", "tcpinfo_rtt",
          "date_gmt", "date_local", "time_iso8601", "time_local", "msec", "pid", "nginx_version", "request_id", "request_time",
          "connection", "connection_time", "remote_port", "upstream_connect_time", "upstream_header_time", "upstream_response_time",
          "realip_remote_port", "upstream_bytes_received", "http2", "geoip_country_code", "uid_got", "memcached_key", "fastcgi_script_name",
          "slice_range", "modern_browser", "spdy", "session_time", "protocol", "bytes_received", "upstream_queue_time",
          "proxy_internal_body_length", "request_port", "is_request_port"]
LOOSE = [(r"\d\d/[A-Z][a-z]{2}/\d{4}:\d\d:\d\d:\d\d [+-]\d{4}", "TIME"), (r"\d{4}-\d\d-\d\dT\d\d:\d\d:\d\d[+-]\d\d:\d\d", "ISO"),
    (r"[A-Z][a-z]+day, \d\d-[A-Z][a-z]{2}-\d{4} \d\d:\d\d:\d\d [A-Z]+", "DATE"),
    (r"[A-Z][a-z]{2}, \d\d [A-Z][a-z]{2} 202[5-9] \d\d:\d\d:\d\d GMT", "NOW"), (r"\b\d{10}\.\d{3}\b", "MSEC"), (r"\b[0-9a-f]{32}\b", "ID")]
VOLATILE = {"pid", "connection", "remote_port", "request_time", "connection_time", "upstream_connect_time", "upstream_header_time",
    "upstream_response_time", "nginx_version", "tcpinfo_rtt", "realip_remote_port"}
MORE = LOOSE + [(r"=\d+$", "=NUMBER"), (r"=\d+\.\d+$", "=NUMBER"), (r"=(1\.22\.1|\d\.\d\.\d)$", "=VERSION")]
PARTS = ("/v?x=1&y=%20z&X=2", "/v", "/v?")
FIELDS = ("X-A: one", "X-A: two", "Cookie: a=1; b=2; c_d=3", "Cookie: a=9", "User-Agent: U/1", "Referer: http://r.test/",
    "X-Forwarded-For: 1.2.3.4", "X-Forwarded-For: 5.6.7.8", "Via: 1.0 v", "Authorization: Basic dTpw")
ASKED = [ask("/v"), ask("/v?x=1&y=%20z&X=2", *FIELDS), ask("/v/a%20b?", "Content-Type: text/q", method="POST", body="body=1"),
    ask("/v", version="1.0", host=None), ask("/v", host="Other.Test:99"), ask("/v", method="HEAD"), ask("http://abs.test:8/v?x=2"),
    ask("/v?x=&y"), ask("/v?x=1&x=2&&y=3;x=4"), ask("/v", "Cookie: a=1,b=2;c_d=3"), ask("/v", "Cookie:  a = 1 ; A=2;b=\"q; r\""),
    ask("/v", "X_A: under", "x-a: lower")]
UP = answer("upstream", "Content-Type: text/up", "Server: up/1", "Set-Cookie: u=1; Path=/", "Set-Cookie: v=2", "X: y")
for each in STEADY:
    mask = MORE if each in VOLATILE else LOOSE
    # The answer to HEAD has a length that tells how long the number was.
    asked = [request for request in ASKED if each not in VOLATILE - {"nginx_version"} or request.methods != ("HEAD",)]
    CASES += [Case(f"variable: {each}",
        f'location /v {{ add_header X-V "=${each}" always; return 200 "=${each}"; }} location /f {{ }} location /p '
        f'{{ add_header X-V "=${each}"; proxy_pass http://%BACKEND%; }} location /n {{ return 404; }} location /r {{ return 302 /x; }} '
        f'location /e {{ error_page 404 /v; return 404; }}',
                   [*asked, "/f/x", "/f/none", "/p?x=1", "/n", "/r", "/e", ask("/p", method="POST", body="in the body"),
                       ask("/f/x", "If-None-Match: *"), pipeline(ask("/v", close=False), ask("/v"))], files={"f/x": "file"}, http="",
                       log=f"'=${each}'", mask=mask, odd=True, answers=UP)]

# ---- names and arguments --------------------------------------------------------------------------------------

CASES += [Case("prefixed names",
    r'return 200 "$arg_a|$arg_A|$arg_a_b|$arg_ab|$arg_1|$cookie_a|$cookie_a_b|$cookie_1|$http_x_y|$http_X_Y|$http_1\n";',
               ["/", "/?a=1&A=2", "/?A=2&a=1", "/?a_b=1&a-b=2", "/?ab=1&a=2", "/?1=x", "/?a=1;b=2", "/?a=%31+%32", "/?a=1#f", "/?ba=1&a=2",
                   "/?a", "/?a&a=2", "/?=1&a=3", "/?a==", "/?a=1&a", "/?a.b=1",
                ask("/", "Cookie: a=1"), ask("/", "Cookie: A=1"), ask("/", "Cookie: a=1; a=2"), ask("/", "Cookie: xa=1; a=2"),
                ask("/", "Cookie: a"), ask("/", "Cookie: a="), ask("/", "Cookie: a =1"), ask("/", "Cookie: b=1;a=2"),
                ask("/", "Cookie: b=1,a=2"), ask("/", "Cookie: b=\"x;a=3\";a=2"), ask("/", "Cookie: a=1 ;b"), ask("/", "Cookie: a=1\t;b"),
                ask("/", "Cookie: b=1", "Cookie: a=2"), ask("/", "Cookie: a_b=1; a-b=2"), ask("/", "Cookie: 1=1"),
                ask("/", "X-Y: 1"), ask("/", "x-y: 1", "X-Y: 2"), ask("/", "X-Y:"), ask("/", "X-Y:   padded   "), ask("/", "1: x"),
                ask("/", "X-Y: a", "X-Y:", "X-Y: b")])]
CASES += [Case("host and names",
    'server_name Main.Test *.wild.test ~^re(\\d+)\\.test$ .dot.test mail.*; return 200 "$host|$http_host|$server_name|$1\\n";',
    [ask("/", host=each) for each in ("main.test", "MAIN.TEST", "a.wild.test", "re12.test", "RE12.test", "x.dot.test", "dot.test", "mail.x",
        "other", "main.test:80", "main.test.", "[::1]", "[::1]:80", "127.0.0.1", "a..b", ".", "a/b", "a b", "", "x:y", "x:", ":80", "a_b",
        "é", "a\\b", "-", "h.test,other", "h.test:80:80", "[::1", "[v1.x]", "h%2etest", "h.test\tx", "x" * 300)]
        + [ask("/", host=None), ask("/", host=None, version="1.0"), ask("/", "Host: b", host="a"), ask("http://abs.test/", host="a"),
            ask("http://abs.test/", host=None), ask("http://A.Test:9/", host=None, version="1.0")])]
CASES += [Case("servers", 'server_name a.test; return 200 "first $server_name\\n";',
    [ask("/", host=each) for each in ("a.test", "b.test", "x.b.test", "www.b.test", "c.x", "www.c.x", "re1.d", "re2.d", "", "none",
        "B.TEST", "long.www.b.test", "b.test.", "z.re3.d")] + [ask("/", host=None, version="1.0")],
               http="".join(f'server {{ listen %ADDR%:%PORT%; server_name {name}; return 200 "{number} $server_name\\n"; }}' for number,
                   name in enumerate(("b.test", "*.b.test", "www.b.test", "c.*", "www.c.*", "~^re1", "~re", "~^.*$", '""'))))]
CASES += [Case("server_name capital", 'server_name H.Test; return 200 "$server_name $host\\n";',
    [ask("/", host=h) for h in ("h.test", "H.TEST")]), Case("server_name empty",
        'server_name ""; location / { return 301 /x; } location /n { return 200 "[$server_name]"; }',
        ["/", "/n", ask("/n", host=None, version="1.0")]), Case("server_name default",
            "server_name _; server_name_in_redirect on; return 301 /x;", ["/"]),
            Case("server_name hostname", 'server_name $hostname; return 200 "$server_name";', ["/"]),
            Case("server_name dot",
                'server_name .dot.test; server_name_in_redirect on; location / { return 200 "$server_name"; } location /r { return 301 /x; '
                '}', [ask("/", host="dot.test"), ask("/r", host="a.dot.test")])]

# ---- map ------------------------------------------------------------------------------------------------------

for source, keys in {"$arg_x": "a 1; b '2 3'; default d;", "$arg_x ": "a 1;", "$arg_x  ": "'' empty; A upper; a lower; default $arg_y;",
    "$arg_x   ": "~^a(.)(.)?$ 're $1 $2'; ~*^B ci; ~^(?<named%ID%>c+) $named%ID%; x exact; ~x never; default d;",
    "$arg_x    ": "hostnames; default d; a.test 1; *.a.test 2; .b.test 3; www.* 4; ~^re 5; c.test 6;",
    "$arg_x$arg_y": "ab both; default '$arg_x-$arg_y';", "$arg_x-$arg_y": "a-b dash; - none; default d;",
                     "$uri": "/a 1; ~^/(?<rest%ID%>.*)$ $rest%ID%;", "$arg_x     ": "volatile; a 1; default $request_method;",
                     '"$arg_x"': "\\default x; '\\~a' tilde; 'a b' space; ~*é 'utf'; default d;",
                     "$http_user_agent": "~MSIE old; ~*(?<b%ID%>chrome|firefox)/(?<v%ID%>\\d+) '$b%ID%-$v%ID%'; '' none; default other;",
                     "$arg_x      ": "a ''; default '';", "$arg_x       ": "a $unknown_%ID%x;", "$arg_x        ": "~[ bad;",
                     "$arg_x         ": "a 1; a 2;", "$arg_x          ": "default 1; default 2;", "$m_none": "a 1;",
                     "$arg_x           ": "include %TMP%/none; a 1;"}.items():
    CASES += [Case(f"map: {source} {keys}",
        f'location / {{ return 200 "[$map_%ID%] [$1]\\n"; }} location ~ /cap(.)(.) {{ return 200 "[$map_%ID%] [$1]\\n"; }}',
        ["/", *(f"/?x={x}" for x in ("a", "A", "b", "ab", "abc", "B", "Bx", "ccc", "x", "xx", "c", "", "a.test", "x.a.test", "b.test",
            "x.b.test", "www.q", "WWW.Q", "A.TEST", "re1", "c.test", "c.test.", "default", "~a", "a%20b", "%C3%A9", "\\default")),
            "/?x=a&y=b", "/?y=b", "/a", "/capab?x=abc", ask("/", "User-Agent: MSIE"), ask("/", "User-Agent: X Chrome/12 "),
            ask("/?x=q", method="POST", body="")], http=f"map {source} $map_%ID% {{ {keys} }}", odd=True)]
CASES += [Case("map of maps", 'return 200 "$mm_%ID% $m_%ID%";', ["/?x=a", "/?x=b", "/"],
    http="map $m_%ID% $mm_%ID% { 1 one; default none; } map $arg_x $m_%ID% { a 1; default 0; }"),
    Case("map used in places",
        "root %ROOT%/$d_%ID%; location /h { add_header X $d_%ID%; return 200 x; } location /p { proxy_pass http://$b_%ID%/q; } location /i "
        "{ if ($d_%ID% = two) { return 402; } return 200 no; }", ["/f", "/f?x=2", "/h?x=2", "/p", "/i", "/i?x=2"],
        files={"one/f": "1", "two/f": "2"}, http="map $arg_x $d_%ID% { 2 two; default one; } map $arg_x $b_%ID% { default %BACKEND%; }"),
          Case("map set", "set $m_%ID% x; return 200 $m_%ID%;", ["/?x=a"], http="map $arg_x $m_%ID% { a 1; }", odd=True)]

# ---- geo ------------------------------------------------------------------------------------------------------

CLIENTS = ["127.0.0.1", "127.0.0.9", "127.1.2.3", "127.9.0.1"]
ADDRESSES = ["10.0.0.1", "10.1.2.3", "10.1.2.4", "192.0.2.1", "::1", "2001:db8::1", "::ffff:10.0.0.1", "x", "", "255.255.255.255",
    "0.0.0.0", "10.0.0.1:80", "unix:", "10.0.0", "10.0.0.256"]
for head, lines in {"$geo_%ID%": "default d; 127.0.0.1 one; 127.0.0.0/24 net; 127.0.0.0/8 all; 0.0.0.0/0 zero;",
    "$arg_a $geo_%ID%": "default d; 10.0.0.0/8 ten; 10.1.2.0/24 deep; 10.1.2.3 host; 2001:db8::/32 six; ::1 loop;",
    "$arg_a $geo_%ID% ": "10.0.0.0/8 ten; delete 10.0.0.0/8;",
    "$geo_%ID% ": "proxy 127.0.0.0/8; default d; 10.0.0.0/8 ten; 192.0.2.0/24 doc;",
    "$geo_%ID%  ": "proxy 127.0.0.0/8; proxy 192.0.2.0/24; proxy_recursive; default d; 10.0.0.0/8 ten; 192.0.2.0/24 doc;",
    "$arg_a $geo_%ID%  ": "ranges; default d; 10.0.0.0-10.1.2.3 r1; 10.1.2.4-10.255.255.255 r2;",
    "$arg_a $geo_%ID%   ": "default ''; 10.0.0.0/8 'a b'; 10.1.0.0/16 $arg_b;", "$arg_a $geo_%ID%    ": "10.0.0.1/8 odd;",
    "$arg_a $geo_%ID%     ": "ranges; 10.0.0.9-10.0.0.1 bad;", "$arg_a $geo_%ID%      ": "10.0.0.0/33 bad;",
    "$arg_a $geo_%ID%       ": "default a; default b; 10.0.0.0/8 x; 10.0.0.0/8 y;"}.items():
    CASES += [Case(f"geo: {head} {lines}", 'return 200 "[$geo_%ID%]";',
        [ask("/", client=each) for each in CLIENTS] + [ask(f"/?a={each}&b=q") for each in ADDRESSES]
        + [ask("/", f"X-Forwarded-For: {each}") for each in ("10.0.0.1", "10.0.0.1, 192.0.2.1", "192.0.2.1, 10.0.0.1", "x", "10.0.0.1, x",
            "10.0.0.1,192.0.2.1", "")] + [ask("/", "X-Forwarded-For: 10.0.0.1", "X-Forwarded-For: 192.0.2.1")],
            http=f"geo {head} {{ {lines} }}", odd=True)]

# ---- split_clients ----------------------------------------------------------------------------------------------

for shares in ("50% a; * b;", "0.5% a; 20.25% b; * c;", "10% a; 20% b;", "100% a;", "99.99% a; * b;", "60% a; 60% b;", "0% a; * b;",
    "33.333% a; * b;", "50% $arg_y; * '';", "* only;"):
    CASES += [Case(f"split_clients: {shares}", 'return 200 "[$split_%ID%]";', [f"/?x={each}&y=z" for each in range(24)] + ["/"],
        http=f'split_clients "$arg_x{{}}salt" $split_%ID% {{ {shares} }}'.replace("{}", ""), odd=True)]

# ---- logs -----------------------------------------------------------------------------------------------------

ODD = [ask("/?x=%22"), ask('/"q"'), ask("/\\b"), ask("/", 'User-Agent: a"b\\c\td'), ask("/", "User-Agent: \xe9\x80\x7f"),
    ask("/", "User-Agent: \x01"), ask("/", "Referer: </script>"), ask("/%0a%00"),
    ask("/", "User-Agent: é→ and \u0080".encode().decode("latin-1")), ask("/", "User-Agent: "), ask("/"), ask("/", "User-Agent: 'single'"),
    ask("/", "User-Agent: a/b&c")]
for escape in ("", "escape=default ", "escape=json ", "escape=none ", "escape=x "):
    CASES += [Case(f"log escape: {escape}", "location / { return 200 x; }", ODD,
        log=f"{escape}'$request|$http_user_agent|$http_referer|$uri|$args|$http_none|$arg_x'", odd=True)]
CASES += [Case(f"access_log: {words}",
    f"location / {{ access_log {words}; return 200 x; }} location /e {{ access_log {words}; return 404; }}",
    ["/", "/?x=1", "/e", "/?x=0", ask("/", "User-Agent: \"u\"", "Referer: r")], http="log_format g_%ID% '$status $arg_x $http_none';",
    odd=True, mask=[LOOSE[0]])
          for words in ("%LOGS%/%ID%a.log", "%LOGS%/%ID%b.log combined", "%LOGS%/%ID%c.log g_%ID%", "%LOGS%/%ID%d.log g_%ID% if=$arg_x",
              "off", "%LOGS%/%ID%$arg_x.log g_%ID%", "%LOGS%/%ID%e.log g_%ID% buffer=4k flush=10ms", "%LOGS%/%ID%f.log none",
              "%LOGS%/%ID%g.log g_%ID% x=y", "%LOGS%/%ID%h.log g_%ID% buffer=1", "%LOGS%/%ID%i.log g_%ID% if=$http_none",
              "%LOGS%/%ID%j.log g_%ID%; access_log %LOGS%/%ID%k.log g_%ID%", "%LOGS%/%ID%l.log g_%ID%; access_log off",
              "off; access_log %LOGS%/%ID%m.log")]
CASES += [Case("access_log inherits",
    "access_log %LOGS%/%ID%a.log g_%ID%; location /a { return 200 a; } location /b { access_log off; return 200 b; location /b/c { return "
    "200 c; } location /b/d { access_log %LOGS%/%ID%d.log g_%ID%; return 200 d; } } location /r { rewrite ^ /b last; } location /i { if "
    "($arg_x) { access_log off; } return 200 i; } location /e { error_page 404 /b; return 404; } log_subrequest on;",
    ["/a", "/b", "/b/c", "/b/d", "/r", "/i", "/i?x=1", "/e"], http="log_format g_%ID% '$status $uri $request_uri';"),
          Case("log_format bad", "", ["/"], http="log_format g_%ID% '$uri';\nlog_format g_%ID% 'again';", odd=True)]
