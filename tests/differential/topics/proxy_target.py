"""The request line and the body that the backend sees: proxy_pass with and without a URI, rewritten or not, methods."""

from cases import HELLO, Case, Request, answer, ask, each_method, pipeline, table

HTTP = "proxy_http_version 1.1;"
CASES = []
LOC = "location / { %V% proxy_pass http://%BACKEND%; }"
TARGETS = ["/", "/x", "/x/y?a=b", "/x%20y", "/x%2Fy", "/x/../y", "//x", "/x?", "/x?a=%20&b", "/é", "/x%C3%A9", "/x+y", "/x;y", "/x%3Fy",
    "/x%23", "/x%25y", "http://abs.test/x?z", "/\"x\"", "/x|y", "/x%0ay", "/x'y", "/%7Ex", "/x%00y", "*"]

# ---- the request line: proxy_pass with and without a URI ------------------------------------------------------

for url in ("http://%BACKEND%", "http://%BACKEND%/", "http://%BACKEND%/base", "http://%BACKEND%/base/", "http://%BACKEND%/base?q=1",
    "http://%BACKEND%/b%20se/", "http://%BACKEND%$request_uri", "http://%BACKEND%$uri", "http://%BACKEND%$uri$is_args$args",
    "http://%BACKEND%/v$arg_a", "http://${arg_none}%BACKEND%", "http://${arg_none}%BACKEND%/fix", "http://up_%ID%", "http://up_%ID%/u",
    "HTTP://%BACKEND%/x", "http://%BACKEND%/?", "http://%BACKEND%?x=1", "http://%BACKEND%/é", "http://%BACKEND%/a b", "%BACKEND%",
    "http://%BACKEND%#f", "http://u:p@%BACKEND%/", "http:/%BACKEND%", "http://"):
    for location in ("/", "/x", "/x/", "= /x", "~ ^/x", "^~ /x"):
        if location in ("/", "/x", "~ ^/x") or "up_" not in url:
            CASES += [Case(f"target: {url} in {location}", f"location {location} {{ proxy_pass {url}; }}", TARGETS,
                http="upstream up_%ID% { server %BACKEND%; }" if "up_" in url else "", odd=True)]
CASES += [Case(f"target after {word}",
    f"location / {{ {word} proxy_pass http://%BACKEND%; }} location /u {{ {word} proxy_pass http://%BACKEND%/base/; }}",
    TARGETS + ["/u/x%20y?q"], odd=True) for word in ("rewrite ^/x(.*)$ /new$1 break;", "rewrite ^ /fix? break;", "set $args z=1;",
        "rewrite ^/x(.*)$ /n$1?r=1 break;", "if ($arg_a) { set $x 1; }", "rewrite ^/u/(.*)$ /r/$1 break;")]
CASES += [Case("methods", LOC.replace("%V%", ""), [ask("/", method=m, body=b)
    for m in ("GET", "HEAD", "POST", "PUT", "DELETE", "OPTIONS", "PATCH", "PROPFIND", "BREW", "LINK") for b in (None, "", "body")]),
          Case("methods changed",
              "location / { proxy_method POST; proxy_pass http://%BACKEND%; } location /h { proxy_method HEAD; proxy_pass http://%BACKEND%;"
              " } location /g { proxy_method GET; proxy_pass http://%BACKEND%; } location /v { proxy_method $arg_m; proxy_pass "
              "http://%BACKEND%; }", [ask(t, method=m, body=b) for t in ("/", "/h", "/g", "/v?m=PUT", "/v") for m,
                  b in (("GET", None), ("HEAD", None), ("POST", "b"))], odd=True)]
