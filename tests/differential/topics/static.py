"""root, alias, index, autoindex, try_files, types, etags, ranges, conditions, methods, locations and odd targets."""

from cases import Case, ask, each_method, table

HTTP = "proxy_http_version 1.1;"
OLD, THEN, NEW = "Mon, 13 Nov 2023 22:13:20 GMT", "Tue, 14 Nov 2023 22:13:20 GMT", "Wed, 15 Nov 2023 22:13:20 GMT"
FILES = {"f.txt": "0123456789" * 10, "index.html": "root index\n", "a.html": "<p>a</p>", "a.HTML": "upper", "noext": "n", "dot.": "d",
    ".hidden": "h", "a.tar.gz": "z", "empty.txt": "", "b.unknown": "?",
         "d/index.html": "d index\n", "d/e/x.txt": "x", "sp ace.txt": "space", "é.txt": "e", "q?.txt": "q", "100%.txt": "p",
         "plus+.txt": "+", "noindex/x.txt": "x", "a&b<c>\"d'.txt": "odd"}
CASES = []

# ---- targets ---------------------------------------------------------------------------------------------

TARGETS = ["/", "/f.txt", "/d", "/d/", "/d/index.html", "/d/e", "/d/e/", "/noindex/", "/noindex", "/none", "/none/", "/f.txt/", "/f.txt/x",
    "/a.html", "/a.HTML", "/noext", "/dot.", "/.hidden", "/a.tar.gz", "/empty.txt", "/b.unknown",
           "/sp%20ace.txt", "/%C3%A9.txt", "/q%3F.txt", "/100%25.txt", "/plus+.txt", "/plus%2B.txt", "/%66.txt", "/./f.txt", "/d/../f.txt",
           "/../f.txt", "/d/../../f.txt", "/d/%2e%2e/f.txt", "/d/%2E./f.txt", "/%2e%2e/f.txt", "//f.txt", "/d//index.html", "/d/.", "/d/..",
           "/.", "/..", "/d/./", "/...", "/d/...",
           "/d/.../x", "/d/e/../index.html", "/f.txt?", "/f.txt?x=/../y", "/f.txt#frag", "/f.txt%23", "/f.txt%00", "/%00", "/f.txt%0a",
           "/f.txt%", "/f.txt%2", "/%zz", "/%2", "/f%2etxt", "/d%2findex.html", "/d%2F", "/d%5C..%5Cf.txt", "/d\\..\\f.txt",
           "/a%26b%3Cc%3E%22d'.txt",
           "*", "f.txt", "?x", "", "http://h.test/f.txt", "http://h.test", "http://h.test?x", "HTTP://H.TEST/f.txt",
           "http://other.test/f.txt", "http:///f.txt", "http://h.test:80/f.txt", "http://h.test:x/f.txt", "https://h.test/f.txt",
           "ftp://h.test/f.txt", "h.test:80", "http://u@h.test/f.txt", "http:/f.txt", "/" + "x" * 300, "/" + "a/" * 200,
           "/f.txt?" + "q" * 2000,
           "/\x01", "/\x7f", "/\xe9.txt", "/f.txt;x", "/a b", "/{}|^`", "/\"<>"]
for word in ("", "merge_slashes off;"):
    CASES += [Case(f"targets: {word}", word, [ask(target, method=method) for target in TARGETS for method in ("GET", "HEAD")], files=FILES)]
CASES += [Case("targets echoed", r'location / { return 200 "$uri|$request_uri|$args|$document_uri|$request_filename|$document_root\n"; }',
    TARGETS)]
CASES += [Case("targets in a log", "location / { return 204; }", TARGETS, log=r"'$request|$uri|$request_uri|$args'")]
CASES += [Case("methods on files", "", [ask(target, method=method, body=body) for target in ("/f.txt", "/d/", "/d", "/none", "/noindex/")
    for method in ("GET", "HEAD", "POST", "PUT", "DELETE", "OPTIONS", "PATCH", "PROPFIND", "TRACE", "CONNECT", "BREW", "get")
                                         for body in ((None, "x") if method in ("POST", "GET", "DELETE") else (None,))], files=FILES)]
CASES += [Case("methods elsewhere",
    "location /r { return 200 $request_method; } location /p { proxy_pass http://%BACKEND%; } location /s { stub_status; } location /a { "
    "autoindex on; }",
               [ask(target, method=method) for target in ("/r", "/p", "/a/")
                   for method in ("GET", "HEAD", "POST", "PUT", "DELETE", "OPTIONS", "PATCH", "PROPFIND", "TRACE", "CONNECT", "BREW",
                       "MKCOL", "LOCK", "A_B", "A-B", "M-SEARCH")], files={"a/x": "x"})]

# ---- ranges and conditions --------------------------------------------------------------------------------

RANGES = ["bytes=0-9", "bytes=-10", "bytes=90-", "bytes=0-", "bytes=100-", "bytes=99-", "bytes=99-200", "bytes=5-4", "bytes=-0",
    "bytes=-200", "bytes=0-0", "bytes=0-1,3-4", "bytes=0-1, 3-4", "bytes= 0-1", "bytes=0-1 , 3-4", "bytes=0-50,40-60", "bytes=0-1,200-300",
    "bytes=200-300,0-1", "bytes=3-4,0-1", "bytes=0-0,1-1,2-2,-1",
          "bytes=0-99", "bytes=0-99,0-99", "bytes=-1,-2", "bytes=", "bytes", "byte=0-1", "Bytes=0-1", "bytes=a-b", "bytes=1", "bytes=1-2-3",
          "bytes=0-1;", "bytes=0-1,", "bytes=,0-1", "bytes=--1", "bytes=18446744073709551616-", "bytes=0-18446744073709551616",
          "bytes=9223372036854775807-", "items=0-1", "", "bytes=1-1,bytes=2-2", "bytes=0-9,20-29,40-49,60-69,80-89", "bytes=100-200,300-"]
CASES += [Case("ranges", "", [ask("/f.txt", f"Range: {each}", method=method) for each in RANGES for method in ("GET", "HEAD")]
    + [ask("/empty.txt", f"Range: {each}") for each in RANGES[:8]]
               + [ask("/none", "Range: bytes=0-1"), ask("/d", "Range: bytes=0-1"), ask("/", "Range: bytes=0-3"),
                   ask("/f.txt", "Range: bytes=0-1", version="1.0"), ask("/f.txt", "Range: bytes=0-1", "Range: bytes=5-6"),
                   ask("/f.txt", "Range: bytes=0-1", method="POST", body="")], files=FILES)]
CASES += table("max_ranges", "max_ranges %V%;", ["0", "1", "2", "3"],
    [ask("/f.txt", f"Range: {each}") for each in ("bytes=0-1", "bytes=0-1,3-4", "bytes=0-1,3-4,6-7", "bytes=200-,0-1")], files=FILES)
IF_RANGES = [THEN, OLD, NEW, '"%TAG%-64"', 'W/"%TAG%-64"', '"x"', "", "%TAG%-64", '"6553f100-64']
CASES += [Case("if-range", "", [ask("/f.txt", "Range: bytes=0-1", f"If-Range: {each}", "X-Pad: %PAD%") for each in IF_RANGES], files=FILES)]
CASES += [Case("if-range with weak", "etag off;", [ask("/f.txt", "Range: bytes=0-1", f"If-Range: {each}", "X-Pad: %PAD%")
    for each in IF_RANGES], files=FILES)]
DATES = [OLD, THEN, NEW, "Tuesday, 14-Nov-23 22:13:20 GMT", "Tue Nov 14 22:13:20 2023", "Tue, 14 Nov 2023 22:13:20",
    "14 Nov 2023 22:13:20 GMT", "Tue, 14 Nov 2023 22:13:20 +0000", "x", "", "Tue, 14 Nov 2023 22:13:21 GMT",
    "Tue, 14 Nov 2023 22:13:19 GMT", "Thu, 01 Jan 1970 00:00:00 GMT", "Tue, 99 Nov 2023 22:13:20 GMT"]
for mode in ("", "if_modified_since off;", "if_modified_since exact;", "if_modified_since before;", "etag off;"):
    CASES += [Case(f"conditions: {mode}", mode, [ask("/f.txt", f"If-Modified-Since: {each}", method=method) for each in DATES
        for method in ("GET", "HEAD")]
                   + [ask("/f.txt", f"If-Unmodified-Since: {each}") for each in DATES]
                   + [ask("/f.txt", f"{name}: {tag}") for name in ("If-Match", "If-None-Match")
                       for tag in ('"x"', "*", "", '"x", *', "x", 'W/"x"', '"x","y"', '"a, b"', '"x", "', "**")]
                   + [ask("/f.txt", f"If-Modified-Since: {THEN}", 'If-None-Match: "x"'),
                       ask("/f.txt", f"If-Unmodified-Since: {OLD}", 'If-Match: *'),
                       ask("/f.txt", f"If-Modified-Since: {OLD}", 'If-None-Match: *'),
                       ask("/f.txt", 'If-None-Match: "x"', 'If-None-Match: *'),
                      ask("/f.txt", f"If-Modified-Since: {THEN}", method="POST", body=""), ask("/none", f"If-Modified-Since: {THEN}"),
                      ask("/none", "If-Match: *"), ask("/d/", f"If-Modified-Since: {THEN}"), ask("/d", "If-None-Match: *"),
                      ask("/f.txt", f"If-Modified-Since: {THEN}", "Range: bytes=0-1"),
                      ask("/f.txt", f"If-Unmodified-Since: {OLD}", "Range: bytes=0-1"),
                      ask("/f.txt", 'If-Match: "x"', "Range: bytes=200-")], files=FILES)]
CASES += [Case("conditions on others",
    "location /r { return 200 x; } location /p { proxy_pass http://%BACKEND%; } location /e { return 404; }",
    [ask(target, each) for target in ("/r", "/p", "/e") for each in (f"If-Modified-Since: {THEN}", "If-None-Match: *", 'If-Match: "x"',
        f"If-Unmodified-Since: {OLD}", "Range: bytes=0-1")],
               answers=b"HTTP/1.1 200 OK\r\nContent-Length: 5\r\nLast-Modified: " + THEN.encode() + b"\r\nETag: \"x\"\r\n\r\nhello")]
CASES += [Case("ranges of proxied", "location / { proxy_pass http://%BACKEND%; }",
    [ask("/", f"Range: {each}") for each in RANGES[:12]] + [ask("/", "Range: bytes=0-1", f"If-Range: {each}", "X-Pad: %PAD%")
        for each in IF_RANGES if "TAG" not in each],
               answers=b"HTTP/1.1 200 OK\r\nContent-Length: 10\r\nLast-Modified: " + THEN.encode()
               + b"\r\nETag: \"x\"\r\nAccept-Ranges: bytes\r\n\r\n0123456789")]

# ---- types -------------------------------------------------------------------------------------------------

CASES += table("types", "%V%", ["", "types { }", "types { text/x-a txt; }", "default_type text/x-d;", 'default_type "";',
    "default_type '$arg_t';", "types { } default_type text/x-d;", "types { text/x-a HTML; text/x-b gz; }",
    "types { text/html html; } charset utf-8;", "location ~ gz$ { types { application/gzip gz; } }",
    "types { text/x-a txt html; } location /d { }"],
               ["/f.txt", "/a.html", "/a.HTML", "/noext", "/dot.", "/.hidden", "/a.tar.gz", "/b.unknown", "/d/", "/none", "/f.txt?t=text/y",
                   "/d/e/x.txt"], files=FILES)
CASES += [Case("type by alias",
    "location /x.html { alias %ROOT%/f.txt; } location /y { alias %ROOT%/a.html; } location /z/ { alias %ROOT%/; }",
    ["/x.html", "/y", "/z/f.txt", "/z/a.html"], files=FILES)]

# ---- root and alias -----------------------------------------------------------------------------------------

SAY = r'add_header X-F "$request_filename|$document_root|$realpath_root";'
for word in ("root %ROOT%/d;", "root %ROOT%/d/;", "alias %ROOT%/d;", "alias %ROOT%/d/;", "root %ROOT%/$arg_w;", "alias %ROOT%/$arg_w;",
    "alias %ROOT%/$arg_w/;", "alias %ROOT%/d/index.html;", "root $document_root/d;", "alias %ROOT%//d/;", "root d;", "alias d;",
    "root %ROOT%/./d;", "root /nonexistent;"):
    for location in ("/", "/l", "/l/", "= /l", "^~ /l", "~ ^/l", "~ ^/l/(.*)$", "~* ^/L/?"):
        CASES += [Case(f"place: {word} in {location}", f"location {location} {{ {word} {SAY} }}",
            ["/l", "/l/", "/l/index.html", "/lindex.html", "/l/e/x.txt", "/l/e", "/l/../f.txt", "/l../f.txt", "/l/l", "/l?w=d", "/l/?w=d",
                "/l/x?w=", "/e/x.txt?w=d", "/L/"], files={**FILES, "d/l/index.html": "d l index", "d/l/e/x.txt": "dlex",
                    "l/index.html": "l index"}, odd=True, errors="error")]
CASES += [Case(f"alias by capture: {word}", f"location ~ {word} {SAY} }}",
    ["/s/", "/s/d", "/s/d/", "/s/d/index.html", "/s/f.txt", "/s/none", "/s/d/e/x.txt", "/s", "/s/sp%20ace.txt", "/s/..f.txt", "/s../f.txt",
        "/sd/index.html"], files=FILES, errors="error")
          for word in ("^/s/(.*)$ { alias %ROOT%/$1;", "^/s(.*)$ { alias %ROOT%/$1;", "^/s(.*)$ { alias %ROOT%$1;",
              "^/(s)/([a-z]+)/(.*) { alias %ROOT%/$2/$3;", "^/s/(?<rest%ID%>.*)$ { alias %ROOT%/$rest%ID%;", "^/s/(.*)$ { alias %ROOT%/d;",
              "^/s/(.*)$ { alias %ROOT%/$1; try_files $uri =404;", "^/s/(.*)$ { alias %ROOT%/; try_files $1 /f.txt;",
                       "^/s/(.*)$ { alias %ROOT%/$1; index f.txt index.html;", "^/s/(.*)$ { alias %ROOT%/$1; autoindex on;",
                       "^/s/(.*)$ { root %ROOT%/$1;")]
CASES += [Case("root inherits",
    "root %ROOT%/d; location /a { root %ROOT%; location /a/b { } } location /e { } location ~ x { root %ROOT%/noindex; }",
    ["/", "/a.html", "/a/b", "/e/", "/e/x.txt", "/x.txt"], files=FILES)]

# ---- index -------------------------------------------------------------------------------------------------

for word in ("index f.txt;", "index none f.txt;", "index none;", "index /f.txt;", "index none /f.txt;",
    "index index.html /f.txt$is_args$args;", "index $arg_i index.html;", "index $arg_i;", "index d/index.html;", "index d;", "index d/;",
    "index ../f.txt;", "index none /none;", "index none /p/x;", "index a.html f.txt; index f.txt;", "index .hidden;",
    "index index.html /f.txt none;", "index /index.php$request_uri;", "index none.$arg_i;"):
    CASES += [Case(f"index: {word}",
        f"{word} location /p {{ return 200 'p $uri $args'; }} location ~ \\.php {{ return 200 'php $uri $args'; }} location = /f.txt "
        f"{{ add_header X $uri; }}",
                   ["/", "/d/", "/noindex/", "/d/e/", "/?i=f.txt", "/noindex/?i=x.txt", "/d/?i=index.html", "/d/?i=", "/noindex/?i=/f.txt",
                       ask("/", method="HEAD"), ask("/", method="POST", body="")], files=FILES, errors="error")]
CASES += [Case("index to a location",
    "location /d/ { index index.html; } location = /d/index.html { return 200 'exact $uri'; } location ~ noindex/x { return 200 'regex "
    "$uri'; } location /noindex/ { index x.txt; }", ["/d/", "/noindex/", "/d/?x=1"], files=FILES),
          Case("index with autoindex", "location / { autoindex on; }", ["/d/", "/noindex/"], files={"d/index.html": "i"}, mask=[]),
          Case("index denied", "location / { } location = /d/index.html { deny all; } location = /index.html { internal; }",
              ["/d/", "/", "/index.html"], files=FILES),
          Case("index as folder", "index d;", ["/"], files={"d/x": "x"}, errors="error"),
          Case("index inherits", "index f.txt; location /d/ { index index.html; } location /noindex/ { }", ["/", "/d/", "/noindex/"],
              files=FILES)]

# ---- autoindex ----------------------------------------------------------------------------------------------

AUTO = {"l/" + "n" * 60: "x", "l/é.txt": "x", "l/a b": "x", "l/a&b<c>\"d'": "x", "l/sub/x": "x", "l/Sub2/x": "x", "l/.hid": "x",
    "l/100%": "x", "l/q?": "x", "l/#h": "x", "l/c:d": "x", "l/+": "x", "l/big": b"x" * 3000, "l/" + "é" * 40: "x", "l/10": "", "l/9": "",
    "empty": None, "l/x;y": "", "l/~t": "", "l/a\\b": "", "l/ctl\x01": ""}
MASK = [(r"\d\d-[A-Z][a-z]{2}-\d{4} \d\d:\d\d", "DATE"), (r"\d{4}-\d\d-\d\dT\d\d:\d\d:\d\dZ", "DATE"),
    (r"[A-Z][a-z]{2}, \d\d [A-Z][a-z]{2} \d{4} \d\d:\d\d:\d\d GMT", "DATE")]
for word in ("", "autoindex_exact_size off;", "autoindex_localtime on;", "autoindex_format html;", "autoindex_format json;",
    "autoindex_format xml;", "autoindex_format jsonp;", "autoindex_format json; autoindex_localtime on; autoindex_exact_size off;",
    "charset utf-8;", "charset koi8-r;", "autoindex_format xml; charset utf-8;", "gzip on; gzip_min_length 1;"):
    CASES += [Case(f"autoindex: {word}", f"autoindex on; {word}",
        ["/l/", "/l", "/l/sub/", "/empty/", "/l/?callback=cb", "/l/?callback=a.b(c", "/l/?callback=", "/none/", "/l/?x=1",
            ask("/l/", method="HEAD"), ask("/l/", method="POST", body=""), ask("/l/", f"If-Modified-Since: {NEW}"),
            ask("/l/", "Range: bytes=0-5"), ask("/l/", version="1.0"), ask("/l/", "Accept-Encoding: gzip")], files=AUTO, mask=MASK)]
CASES += [Case("autoindex off", "autoindex off; location /l/sub/ { autoindex on; }", ["/l/", "/l/sub/"], files=AUTO, mask=MASK,
    errors="error"),
    Case("autoindex of alias", "location /x/ { alias %ROOT%/l/; autoindex on; } location /y { alias %ROOT%/l/; autoindex on; }",
        ["/x/", "/x", "/y", "/y/", "/ysub/"], files=AUTO, mask=MASK)]

# ---- try_files -----------------------------------------------------------------------------------------------

for word in ("$uri =404", "$uri $uri/ =404", "$uri $uri/ /index.html", "$uri @n", "$uri/ @n", "$uri $uri.html @n", "$uri /none",
    "$uri none", "$uri f.txt", "/f.txt =404", "$uri =200", "$uri =301", "$uri =444", "$uri =500", "$uri =999", "$uri /p?x=1",
    "$uri /p?$args", "$uri /p$is_args$args", "$uri $uri/index.html =404", "/none$uri /d$uri =404", "$arg_f =404", "$uri @none", "'' =404",
    "$uri ''", "$uri/ =404", "d/ =404", "/d/ =404", "$uri /d/", "$uri /", "=404", "$uri =abc", "$uri =0", "/a\\ b =404",
    "'/sp ace.txt' =404", "$uri /p/../f.txt", "$uri /p/%20", "$uri $request_uri", "$uri http://o.test/", "$request_uri =404"):
    CASES += [Case(f"try_files: {word}",
        f"location / {{ try_files {word}; add_header X-U $uri; }} location @n {{ return 200 'named $uri $args'; }} location /p "
        f"{{ return 200 'p $uri $args'; }}",
                   ["/", "/f.txt", "/d", "/d/", "/d/e", "/d/e/", "/a", "/none", "/none?x=1", "/noindex/", "/sp%20ace.txt", "/x?f=/f.txt",
                       "/x?f=f.txt", "/x?f=", ask("/none", method="POST", body="a"), ask("/f.txt", method="POST", body="a"),
                       ask("/none", method="HEAD")], files=FILES, odd=True, errors="error")]
CASES += [Case(f"try_files with alias:  {location} then {last}",
    f"location {location} {{ alias %ROOT%/d/; try_files $uri $uri/ {last}; }} location @n {{ return 200 'named $uri'; }}",
    ["/x/", "/x/index.html", "/x/e/x.txt", "/x/none", "/x", "/x/e", "/x/e/"], files=FILES, errors="error")
          for location in ("/x/", "/x", "~ ^/x/") for last in ("=404", "@n", "/x/index.html", "/index.html", "e/x.txt", "/x/none.html")]
CASES += [Case(f"try_files with alias: names under {location}: {names}",
    f"location {location} {{ alias %ROOT%/d/; add_header X-U $uri; try_files {names}; }} location @n {{ return 200 'named $uri'; }}",
    ["/x/", "/x/index.html", "/x/e/x.txt", "/x/none", "/x/none?f=index", "/x/e", "/x/e/"], files=FILES, errors="error")
          for location in ("/x/", "/x") for names in (
              "$uri /x/index.html =404", "$uri /x/e/ =404", "$uri /index.html =404", "$uri index.html =404", "$uri e/ =404",
              "$uri /x/$arg_f.html =404", "$uri /$arg_f.html @n", "$uri /x/e/x.txt @n", "/none $uri/x.txt", "/none /x/$arg_f.html",
              "/none /x//$arg_f.html", "/none /x//x/$arg_f.html", "/none /$arg_f.html", "/none @n")]
CASES += [Case("try_files in server", "try_files /maint.html $uri $uri/ =404; location /l { } location /o { try_files $uri /f.txt; }",
    ["/", "/f.txt", "/l/x", "/l", "/o/x", "/none"], files={**FILES, "l/x": "lx"}),
          Case("try_files and proxy",
              "location / { try_files $uri @b; } location @b { proxy_pass http://%BACKEND%; } location /q { try_files /none @c; } location "
              "@c { proxy_pass http://%BACKEND%$uri?z=$args; }",
              ["/f.txt", "/none?x=1", "/a%20b", ask("/n", method="POST", body="a=b"), "/q/%3F?y=1"], files=FILES),
          Case("try_files and error_page", "error_page 404 /nf; location /nf { return 200 nf; } location / { try_files $uri =404; }",
              ["/none", "/f.txt"], files=FILES),
          Case("try_files and index", "location / { index x.txt; try_files $uri $uri/ =404; }", ["/d/e/", "/d/e", "/d/", "/noindex/"],
              files=FILES),
          Case("try_files loop", "location / { try_files $uri /none$uri; }", ["/x"], errors="error")]

# ---- locations -----------------------------------------------------------------------------------------------

LOCATIONS = "".join(f"location {each} {{ return 200 '[{each}] $uri\\n'; }}"
    for each in ("/", "= /", "/a", "= /a", "^~ /a/s", "~ ^/a/s", "~ \\.php$", "~* \\.PhP5$", "/a/b/", "= /a/b", "/A", "~ '^/x{2}$'",
        "/sp\\ ace", "/%20", "~ ^/é", "/é", "/p+", "~ ^/(?<w>..)/q$", "/e/", "^~ /f.php", "/a/b/c"))
CASES += [Case("locations", LOCATIONS, ["/", "/a", "/a/", "/a/s", "/a/sx.php", "/a/x.php", "/x.PHP", "/x.php5", "/X.PHP5", "/a/b", "/a/b/",
    "/a/b/c", "/A", "/Ab", "/xx", "/xxxx", "/sp%20ace", "/%2520", "/%20", "/%C3%A9", "/p+", "/p%2B", "/ab/q", "/e", "/e/", "/f.php",
    "/f.phpx", "/a%2Fb", "/a/./b", "/a/../a", "/?x=.php", "/a.php?x"])]
CASES += [Case("nested locations",
    "location /a { add_header X a; return 200 a; location /a/b { add_header Y b; location ~ c$ { return 200 abc; } } location ~ d$ { "
    "return 200 ad; } location = /a/e { return 200 e; } } location ~ ^/r { location ~ x { return 200 rx; } location /r/y { return 200 ry;"
    " } return 200 r; } location ~ d$ { return 200 d; }", ["/a", "/a/b", "/a/b/c", "/a/d", "/a/e", "/r", "/r/x", "/r/y", "/d"], odd=True)]
CASES += [Case("named and internal",
    "location @n { return 200 n; } location /i { internal; return 200 i; } location /e { error_page 404 /i; return 404; } location /t { "
    "try_files /none /i; } location /r { rewrite ^ /i last; } location /x { error_page 403 @n; deny all; } location /a/ { internal; }",
    ["/@n", "@n", "/i", "/e", "/t", "/r", "/x", "/a/", "/a/../i"])]
CASES += [Case(f"slash redirect: {word}",
    f"location /p/ {{ {word} }} location /q/ {{ {word} }} location = /q {{ return 200 exact; }} location ~ ^/re/ {{ }}",
    ["/p", "/p?a=b", "/q", "/p%2F", ask("/p", method="POST", body="a"), ask("/p", method="HEAD"), ask("/p", version="1.0", host=None),
        "/re", "/%70"])
          for word in ("", "proxy_pass http://%BACKEND%;", "proxy_pass http://%BACKEND%/x;", "return 200;", "alias /tmp;",
              "proxy_pass http://%BACKEND%$uri;")]
CASES += [Case("directory redirect", f"location /alias {{ alias %ROOT%/; }} location /s/ {{ root %ROOT%/d; }} {w}",
    ["/d", "/d?x=1", "/alias/d", "/d/e", "/sp", "/sp%20dir", "/%C3%A9d", "/q%3Fd", ask("/d", host=None, version="1.0"),
        ask("/d", host="H.TEST"), ask("/d", host="h.test:99"), ask("/d", host="[::1]"), ask("/d", host="x_y.test")],
        files={**FILES, "sp dir/x": "", "éd/x": "", "q?d/x": ""}) for w in ("",)]

# ---- symlinks, open files -------------------------------------------------------------------------------------

for word in ("", "open_file_cache max=100;", "open_file_cache max=100; open_file_cache_errors on;", "sendfile on;",
    "sendfile on; tcp_nopush on; aio threads;", "directio 1;", "output_buffers 1 1k;", "sendfile on; sendfile_max_chunk 1k;",
    "log_not_found off;"):
    CASES += [Case(f"files: {word}", word, ["/f.txt", "/none", "/d", "/big.bin", "/f.txt", "/none",
        ask("/big.bin", "Range: bytes=50000-50100,99990-"), ask("/big.bin", method="HEAD")],
        files={**FILES, "big.bin": bytes(range(250)) * 400}, errors="error", odd=True)]
CASES += [Case("error log of files", "", ["/none", "/noindex/", "/f.txt/x", "/%00x", "/" + "y" * 300, "/d/none.html"], files=FILES,
    errors="info")]
CASES += [Case("etag", "location / { etag off; } location /d { etag on; } location /l { add_header ETag x; } ", ["/f.txt", "/d/", "/l/x"],
    files={**FILES, "l/x": "x"})]
CASES += [Case("random_index", "location /one/ { random_index on; } location /no/ { random_index on; } location /hid/ { random_index on; }",
    ["/one/", "/no/", "/hid/", "/one/x"], files={"one/x": "x", "no": None, "hid/.x": "x"})]
CASES += [Case("gzip_static", "gzip_static on; location /a/ { gzip_static always; }",
    [ask(target, *fields) for target in ("/f.txt", "/a/f.txt", "/g.txt", "/a/g.txt", "/only.txt", "/a/only.txt", "/d/")
        for fields in ((), ("Accept-Encoding: gzip",), ("Accept-Encoding: gzip;q=0",), ("Accept-Encoding: gzip", "Range: bytes=0-1"))],
               files={"f.txt": "f", "f.txt.gz": "GZ", "a/f.txt": "f", "a/f.txt.gz": "GZ", "g.txt": "g", "a/g.txt": "g", "only.txt.gz": "GZ",
                   "a/only.txt.gz": "GZ", "d/index.html": "d", "d/index.html.gz": "GZ"}, mask=[("bad gzip: ", "")])]
CASES += [Case(f"disable_symlinks: {words}",
    f"location / {{ disable_symlinks {words}; if (-f $document_root$uri) {{ set $is file; }} if (-d $document_root$uri) {{ set $is dir; }} "
    f"if (-e $document_root$uri) {{ set $e there; }} add_header X-Is \"$is $e\" always; }} location /t {{ disable_symlinks {words}; "
    f"try_files $uri /t/none =404; }}", ["/f.txt", "/d/e/x.txt", "/d/", "/none"], files=FILES, odd=True)
    for words in ("on", "off", "if_not_owner", "on from=$document_root", "on from=%ROOT%/d", "if_not_owner from=/", "maybe")]
