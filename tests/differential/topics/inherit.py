"""Inheritance: one value at the level of http, another in a server, another in a location, in an if; none and own."""

from cases import Case, answer, ask

THEN = "Tue, 14 Nov 2023 22:13:20 GMT"
FILES = {**{f"{folder}{name}": text for folder in ("", "own/", "own/in/", "none/") for name,
    text in (("f.txt", "text of f " * 9), ("f.html", "<p>hello world</p>" * 9), ("first", "first index"), ("second", "second index"),
        ("third", "third index"), ("f.css", "p {} " * 20))}, "page1": "page one", "page2": "page two", "page3": "page three"}
# directive -> its values at http, server, location, and in a location inside
VALUES = {
    "add_header": ("X-A http", "X-A server", "X-A location", "X-B inner"),
    "add_header always": ("X-C http always", "X-C server always", "X-C location always", "X-D inner always"),
    "add_trailer": ("T http", "T server", "T location", "T inner"), "expires": ("1h", "epoch", "max", "off"),
    "charset": ("utf-8", "koi8-r", "windows-1251", "off"), "charset_types": ("text/plain", "text/css", "*", "text/html"),
    "default_type": ("text/h", "text/s", "text/l", "text/i"),
    "types": ("{ text/h txt; }", "{ text/s txt; }", "{ text/l txt; text/m css; }", "{ }"),
    "gzip": ("on", "off", "on", "off"), "gzip_types": ("text/plain", "text/css", "*", "text/html"),
    "gzip_min_length": ("50", "5000", "1", "5000"), "gzip_vary": ("on", "off", "on", "off"),
    "gzip_http_version": ("1.0", "1.1", "1.0", "1.1"), "sub_filter": ("hello http", "hello server", "world location", "hello inner"),
    "sub_filter_once": ("off", "on", "off", "on"), "sub_filter_types": ("text/plain", "text/css", "*", "text/html"),
    "etag": ("off", "on", "off", "on"), "if_modified_since": ("off", "exact", "before", "exact"),
    "index": ("first", "second", "third", "none"), "autoindex": ("on", "off", "on", "off"),
    "autoindex_format": ("json", "xml", "html", "json"), "autoindex_exact_size": ("off", "on", "off", "on"),
    "error_page": ("404 /page1", "404 /page2", "404 =200 /page3", "403 /page1"), "root": ("%ROOT%", "%ROOT%/own", "%ROOT%/none", "%ROOT%"),
    "max_ranges": ("0", "2", "1", "0"), "allow_deny": ("X", "X", "X", "X"), "auth_basic": ("r1", "off", "r3", "r4"),
    "satisfy": ("any", "all", "any", "all"), "server_tokens": ("on", "off", "on", "off"), "absolute_redirect": ("off", "on", "off", "on"),
    "port_in_redirect": ("off", "on", "off", "on"), "server_name_in_redirect": ("on", "off", "on", "off"),
    "log_not_found": ("off", "on", "off", "on"), "client_max_body_size": ("2", "4", "0", "1"),
    "keepalive_timeout": ("0", "10s 5s", "20s 7s", "0"), "chunked_transfer_encoding": ("off", "on", "off", "on"),
    "limit_rate": ("1m", "2m", "0", "3m"), "real_ip_header": ("X-Real-IP", "X-Forwarded-For", "X-Custom", "X-Real-IP"),
    "set_real_ip_from": ("127.0.0.0/8", "10.0.0.0/8", "0.0.0.0/0", "192.0.2.0/24"), "real_ip_recursive": ("on", "off", "on", "off"),
    "proxy_set_header": ("X-A http", "X-A server", "X-B location", "X-C inner"),
    "proxy_hide_header": ("X-One", "X-Two", "X-Three", "X-One"), "proxy_pass_header": ("Server", "X-Pad", "Date", "X-Accel-Expires"),
    "proxy_redirect": ("http://up.test/ /h/", "http://up.test/ /s/", "off", "http://up.test/ /i/"),
    "proxy_cookie_path": ("/p /h", "/p /s", "/p /l", "off"), "proxy_cookie_domain": ("up.test h", "up.test s", "up.test l", "off"),
    "proxy_cookie_flags": ("a secure", "a httponly", "a samesite=lax", "off"), "proxy_method": ("POST", "PUT", "GET", "PATCH"),
    "proxy_set_body": ("http", "server", "location", "inner"), "proxy_pass_request_headers": ("off", "on", "off", "on"),
    "proxy_pass_request_body": ("on", "off", "on", "off"), "proxy_http_version": ("1.0", "1.1", "1.0", "1.1"),
    "proxy_intercept_errors": ("on", "off", "on", "off"), "proxy_ignore_headers": ("X-Accel-Redirect", "Cache-Control", "X-Accel-Redirect",
        "Expires"), "proxy_buffering": ("off", "on", "off", "on"), "recursive_error_pages": ("on", "off", "on", "off"),
        "valid_referers": ("", "none", "h.test", "blocked x.test"), "limit_except": ("", "", "GET { deny all; }", "POST { deny all; }"),
        "underscores_in_headers": ("on", "off", "", ""), "ignore_invalid_headers": ("off", "on", "", ""),
        "merge_slashes": ("off", "on", "", ""), "large_client_header_buffers": ("4 8k", "2 1k", "", ""),
        "client_body_in_file_only": ("off", "clean", "off", "clean"), "source_charset": ("", "", "", ""),
        "secure_link": ("", "a", "b", "c"), "uninitialized_variable_warn": ("off", "on", "off", "on"),
        "postpone_output": ("0", "1", "2", "3"), "lingering_close": ("off", "on", "always", "off"),
        "tcp_nodelay": ("off", "on", "off", "on"), "sendfile": ("on", "off", "on", "off"), "auth_request": ("off", "/yes", "/no", "off"),
        "limit_conn_status": ("429", "430", "431", "432"), "server_name_regex": ("", "", "", ""),
}
LOCATIONS = ("location /own/ { %L% %P% location /own/in/ { %I% %P% } } location /none/ { %P% location /none/in/ { %P% } } location /if/ { "
    "if ($arg_x) { %F% } %P% } location = /yes { auth_request off; return 204; } location = /no { auth_request off; return 403; }")
GO = [ask(path + name, *fields, method=method, body="abc" if method == "POST" else None) for path in ("/own/", "/own/in/", "/none/", "/")
    for name, fields, method in (("f.txt", (), "GET"), ("f.html", ("Accept-Encoding: gzip",), "GET"), ("", (), "GET"),
        ("missing", (), "GET"), ("f.txt", ("Range: bytes=0-1,3-4", "X_U: 1"), "GET"),
        ("f.txt", (f"If-Modified-Since: {THEN}", "X-Real-IP: 10.0.0.1", "X-Forwarded-For: 10.0.0.2", "X-Custom: 10.0.0.3"), "GET"),
        ("f.css", (), "HEAD"), ("f.txt", (), "POST"))]
UP = answer("hello up world", "Server: up", "X-One: 1", "X-Two: 2", "X-Three: 3", "X-Pad: p", "Set-Cookie: a=b; Path=/p; Domain=up.test",
    "Location: http://up.test/x", "Content-Type: text/plain", "X-Accel-Expires: 1")
MASKS = ((r"[A-Z][a-z]{2}, \d\d [A-Z][a-z]{2} 20[23]\d \d\d:\d\d:\d\d GMT", "DATE"), (r"\d\d-[A-Z][a-z]{2}-\d{4} \d\d:\d\d", "DATE"),
    (r"\d{4}-\d\d-\d\dT\d\d:\d\d:\d\dZ", "DATE"))
CASES = []
for word, (http, server, location, inner) in VALUES.items():
    name = word.split(" ")[0]

    def line(value):
        return f"{name} {value}{'' if value.endswith('}') else ';'}" if value else ""
    if name in ("allow_deny", "server_name_regex"):
        continue
    server_only = name in ("underscores_in_headers", "ignore_invalid_headers", "merge_slashes", "large_client_header_buffers")
    for proxied in (False, True) if name.startswith(("proxy_", "add_", "expires", "charset", "gzip", "sub_", "error_page", "client_max",
        "auth_", "real_ip", "set_real")) else (False,):
        extra = ("" if name == "gzip" or not name.startswith("gzip") else "gzip on;") + ("sub_filter hello X;"
            if name.startswith("sub_filter_") else "") + ("charset utf-8;" if name == "charset_types" else "") + ("autoindex on;"
                if name.startswith("autoindex_") else "") + ("auth_basic_user_file /dev/null;"
                    if name == "auth_basic" else "") + ("set_real_ip_from 127.0.0.0/8;"
                        if name.startswith("real_ip") else "") + ("real_ip_header X-Real-IP;"
                            if name == "set_real_ip_from" else "") + ("gzip_min_length 20;" if name.startswith(("gzip", "sub_"))
                                and name != "gzip_min_length" else "")
        # nginx announces a body that proxy_pass_request_body keeps back, and the upstream waits for it.
        go = [each for each in GO if name != "proxy_pass_request_body" or each.methods != ("POST",)]
        for own in (False, True):
            text = LOCATIONS.replace("%L%", "" if server_only else line(location)).replace("%I%",
                "" if server_only else line(inner)).replace("%F%", "").replace("%P%", "proxy_pass http://%BACKEND%;" if proxied else "")
            CASES.append(Case(f"{word}: {'own' if own else 'inherited'}{' proxied' if proxied else ''}",
                f"{line(server) if own else ''} {extra} {text}", go, files=FILES, answers=UP, mask=MASKS, odd=True,
                long=proxied and not name.startswith("proxy_"),
                log="'$status $remote_addr $sent_http_content_type $invalid_referer $document_root'"))
# What stands at the level of http, for all of them.
HTTP = "server_names_hash_max_size 1024;" + "".join(f"{word.split(' ')[0]} {values[0]}{'' if values[0].endswith('}') else ';'}\n" for word,
    values in VALUES.items() if values[0] and word not in ("root", "allow_deny", "auth_basic", "add_header always", "satisfy",
        "proxy_method", "proxy_set_body", "proxy_pass_request_headers", "keepalive_timeout", "client_max_body_size", "types",
        "default_type", "max_ranges", "server_tokens", "etag", "if_modified_since"))
