"""TLS: the server and certificate that a name gets, clients' certificates, what is negotiated, upstreams that speak it."""

from cases import Case, Request, Secure, Tls, answer, ask, pipeline, table
from certificates import Authority, openssl

HTTP = "proxy_http_version 1.1; proxy_ssl_protocols TLSv1.2 TLSv1.3;"  # the defaults of today's nginx
CASES = []
KEYS = "ssl_certificate %CERTS%/h.pem; ssl_certificate_key %CERTS%/h.key; "
CERT = "ssl_protocols TLSv1.2 TLSv1.3; " + KEYS

# Of clients: the subject, the serial number.
SUBJECTS = {"good": ("/C=DE/O=Tests/CN=good", "0x0102"), "comma": ('/O=Tests, Ltd. "T"/OU=a+b;c<d>/CN= lead #', "0x80"),
            "utf8": ("/O=Prüfung/CN=Ω/emailAddress=a@b.test", "0x7f00000000000000000000000000000000000001"),
            "slash": ("/CN=a\\/b", "0x0a"), "many": ("/DC=test/DC=h/OU=one/OU=two/CN=x/UID=7", "0")}


def certify(authority):
    for name, names in {"h": ["h.test", "www.h.test"], "b": ["b.test"], "wild": ["*.wild.test"]}.items():
        authority.certificate(name, names)
    authority.certificate("rsa", ["h.test"], "rsa")
    authority.certificate("locked", ["h.test"], password="secret")
    for name, (subject, serial) in SUBJECTS.items():
        authority.certificate(name, subject=subject, serial=serial)
    authority.certificate("expired", days=-1)
    authority.certificate("between", extension="basicConstraints=critical,CA:TRUE\nkeyUsage=keyCertSign,cRLSign")
    authority.certificate("deep", issuer="between")
    deep = authority.path("deep.pem")
    deep.write_text(deep.read_text() + authority.path("between.pem").read_text())
    authority.path("other").mkdir()
    Authority(authority.path("other")).certificate("stranger")
    for name, text in {"phrases": "secret\n", "wrong": "other\n", "garbage": "garbage\n"}.items():
        authority.path(name).write_text(text)
    authority.path("both.pem").write_text("".join(authority.path(f"h.{each}").read_text() for each in ("pem", "key")))
    authority.path("twoca.pem").write_text("".join(authority.path(each).read_text() for each in ("ca.pem", "other/ca.pem")))
    revoke(authority, "slash")
    openssl("genpkey", "-genparam", "-algorithm", "DH", "-pkeyopt", "group:ffdhe2048", "-out", authority.path("dh.pem"))
    authority.path("ticket48").write_bytes(bytes(range(48)))
    authority.path("ticket80").write_bytes(bytes(range(80)))
    authority.path("ticket79").write_bytes(bytes(range(79)))


def revoke(authority, name):
    """crl.pem, with this certificate in it."""
    index, settings = authority.path("index"), authority.path("ca.conf")
    index.write_text("")
    settings.write_text(f"[ca]\ndefault_ca=d\n[d]\ndatabase={index}\ndefault_md=sha256\ndefault_crl_days=30\n"
                        f"certificate={authority.path('ca.pem')}\nprivate_key={authority.path('ca.key')}\n")
    openssl("ca", "-config", settings, "-revoke", authority.path(f"{name}.pem"))
    openssl("ca", "-config", settings, "-gencrl", "-out", authority.path("crl.pem"))


def talk(target="/", *fields, tls=Tls(), **more):
    """A request over TLS."""
    return ask(target, *fields, tls=tls, **more)


def secure(name, server, requests, listen="ssl", **more):
    return Case(name, server, requests, listen=listen, **more)


# ---- names ----------------------------------------------------------------------------------------------------

NAMES = ("h.test", "H.TEST", "www.h.test", "b.test", "a.wild.test", "A.Wild.Test", "wild.test", "x.y.wild.test", "re7.test", "none.test",
         "no.test", "bare.test", "h.test.", None, "127.0.0.1", "a_b.test")
SAYS = 'return 200 "%S% $server_name $host $ssl_server_name $https $scheme\\n";'
OTHERS = "".join(f"server {{ listen %ADDR%:%PORT% ssl; server_name {names}; {SAYS.replace('%S%', said)} {words} }}\n" 
    for said, names, words in (
    ("b", "b.test", "ssl_protocols TLSv1.2 TLSv1.3; ssl_certificate %CERTS%/b.pem; ssl_certificate_key %CERTS%/b.key;"),
    ("wild", "*.wild.test", "ssl_protocols TLSv1.2 TLSv1.3; ssl_certificate %CERTS%/wild.pem; ssl_certificate_key %CERTS%/wild.key;"),
    ("re", r"~^re(\d)\.test$", "ssl_protocols TLSv1.2 TLSv1.3; ssl_certificate %CERTS%/wild.pem; ssl_certificate_key %CERTS%/wild.key;"),
    ("no", "no.test", "ssl_protocols TLSv1.2 TLSv1.3; ssl_reject_handshake on;"),
    ("bare", "bare.test", "ssl_protocols TLSv1.2 TLSv1.3;")))
LINES = f"{CERT} server_name h.test www.h.test; {SAYS.replace('%S%', 'h')}"
for version in ("1.2", "1.3"):
    CASES += [secure(f"names: {words or 'default'}, {version}", LINES.replace(CERT, CERT + words),
        [talk(tls=Tls(name, version=version), host=host) for name in NAMES
         for host in dict.fromkeys([name or "h.test", "b.test", "none.test"])],
        "ssl default_server", http=OTHERS) for words in ("", "ssl_reject_handshake on;")]
CASES += [secure("names: a default that refuses",
    f"ssl_protocols TLSv1.2 TLSv1.3; ssl_reject_handshake on; server_name h.test; {SAYS.replace('%S%', 'h')}",
    [talk(tls=Tls(name), host=name or "h.test") for name in NAMES], "ssl default_server",
    http=OTHERS.replace("server_name bare.test;", f"server_name bare.test; {KEYS}")),
          secure("names: without SNI by Host", LINES, [talk(tls=Tls(None), host=name) for name in NAMES if name]
              + [talk(tls=Tls(None), host=None, version="1.0")],
              "ssl default_server", http=OTHERS),
          secure("names: absolute targets", LINES, [talk(target, tls=Tls("h.test"), host=host) for target in
              ("https://b.test/", "http://b.test/", "https://h.test:443/x", "https://none.test/") 
              for host in ("h.test", "b.test", "h.test:8443")],
              "ssl default_server", http=OTHERS),
          secure("names: a server that is plain and one that is not", LINES, 
              [talk(tls=Tls("h.test")), talk(tls=Tls("p.test"), host="p.test"), ask("/"), ask("/", host="p.test")],
              "ssl default_server", http=f"server {{ listen %ADDR%:%PORT%; server_name p.test; {SAYS.replace('%S%', 'p')} }}", odd=True)]

# ---- plain text on a port of TLS --------------------------------------------------------------------------------

PLAIN = [ask("/"), ask("/x", method="HEAD"), ask("/x", method="POST", body="abc"), ask("/", version="1.0"), ask("/", close=False),
    Request(b"garbage\r\n\r\n"),
         ask("/", host=None), Request(b"\r\n\r\nGET / HTTP/1.1\r\nHost: h.test\r\n\r\n"), pipeline(ask("/", close=False), ask("/")),
             talk("/")]
for words in ("", "error_page 497 https://$host:%PORT%$request_uri;", "error_page 497 =301 https://$host$request_uri;",
    "error_page 497 /plain.html;",
    "error_page 497 =200 /plain.html;", "error_page 400 /plain.html;", "error_page 497 @plain;", "error_page 497 = @plain;",
        "error_page 497 =444 /plain.html;"):
    CASES += [secure(f"plain: {words}", f"{CERT} {words} location / {{ return 200 \"$https $scheme\\n\"; }} location = /plain.html {{ }} "
        "location @plain { return 302 https://$host/plain?$scheme-$status-$https; }", PLAIN, errors="info" if not words else "",
            files={"plain.html": "plain text"}, patience=1)]
CASES += [secure("plain: in a location of its own",
    f"{CERT} location / {{ error_page 497 =301 /moved; return 200 x; }} location /a {{ error_page 497 /moved; return 403; }}",
    [ask("/"), ask("/a"), talk("/a")]),
          secure("plain: with certificates of clients",
              f"{CERT} ssl_client_certificate %CERTS%/ca.pem; ssl_verify_client on; return 200 x;", [ask("/"), talk("/")])]

# ---- what variables say -----------------------------------------------------------------------------------------

OF_CLIENT = ("verify", "s_dn", "i_dn", "s_dn_legacy", "i_dn_legacy", "serial", "fingerprint", "v_start", "v_end", "v_remain", "cert",
    "raw_cert", "escaped_cert")
OF_CONNECTION = ("protocol", "cipher", "ciphers", "curve", "curves", "session_reused", "server_name", "alpn_protocol", "early_data",
    "session_id")
VARIABLES = ("https", "scheme", "server_port", *(f"ssl_{each}" for each in OF_CONNECTION), *(f"ssl_client_{each}" for each in OF_CLIENT))
SHOWS = ["", *SUBJECTS, "expired", "deep", "other/stranger"]
IDS = [(r"\b[0-9a-f]{64}\b", "ID")]
CASES += [secure("variables",
    f"{CERT} ssl_client_certificate %CERTS%/ca.pem; ssl_verify_client optional_no_ca; ssl_verify_depth 3; location / {{ return 200 \""
    + "\\n".join(f"{each}=[${each}]" for each in VARIABLES) + '"; } '
    + "location /h { " + "".join(f"add_header X-{each} ${each};" for each in VARIABLES if "raw" not in each) + " return 204; }",
    [talk(target, tls=Tls(shows=shows, version=version)) for shows in SHOWS for version in ("1.2", "1.3") for target in ("/", "/h")]
    + [talk(tls=Tls(None)), talk(tls=Tls(protocols=("http/1.1",))), talk(tls=Tls(protocols=("h2", "http/1.1"))),
        talk(tls=Tls(protocols=("http/1.0",))),
       talk(tls=Tls(protocols=("http/0.9", "http/1.0", "http/1.1"))), talk(tls=Tls(protocols=("h2",))),
           talk(tls=Tls(protocols=("bogus",))), talk(tls=Tls(resumes=True)), talk(tls=Tls(resumes=True, version="1.2"))],
    mask=IDS, log="'$https $scheme $ssl_protocol $ssl_cipher $ssl_client_verify $ssl_client_s_dn'"),
          Case("variables of plain connections", 'return 200 "' + "\\n".join(f"{each}=[${each}]" for each in VARIABLES) + '";', ["/"]),
          secure("variables to upstreams",
              f"{CERT} ssl_client_certificate %CERTS%/ca.pem; ssl_verify_client optional; location / {{ proxy_pass http://%BACKEND%; "
              + "".join(f"proxy_set_header X-{each.replace('_', '-')} ${each};" for each in VARIABLES if "raw" not in each) + " }",
              [talk(tls=Tls(shows=shows)) for shows in ("", "good", "utf8")], mask=IDS, closes=True),
          secure("variables in tests and maps",
              f"{CERT} if ($https) {{ set $s yes; }} if ($ssl_protocol = TLSv1.2) {{ return 403; }} return 200 \"$s $m_%ID%\";",
              [talk(tls=Tls(version=each)) for each in ("1.2", "1.3")] + ["/"],
                  http="map $ssl_server_name $m_%ID% { h.test h; default none; }", odd=True),
          secure("redirects", f"{CERT} location /a {{ return 301 /b; }} location /c {{ rewrite ^ /d redirect; }} "
              "location /p/ { proxy_pass http://%BACKEND%; } "
              "location /n { port_in_redirect off; return 301 /b; } location /r { absolute_redirect off; return 301 /b; } "
              "location /s { server_name_in_redirect on; return 302 /b; }",
              [talk(each) for each in ("/a", "/c", "/p", "/n", "/r", "/s", "/folder")], files={"folder/index.html": "x"})]

# ---- certificates of clients -------------------------------------------------------------------------------------

VERIFIED = (CERT + 'location / { return 200 "$ssl_client_verify|$ssl_client_s_dn\\n"; } '
            "location /p { proxy_pass http://%BACKEND%; } %V%")
AUTHORITY = "ssl_client_certificate %CERTS%/ca.pem;"
CLIENTS = [talk(target, tls=Tls(shows=shows, version=version)) for shows in SHOWS for version in ("1.2", "1.3") for target in ("/", "/p")]
CASES += table("verify", VERIFIED, (f"{AUTHORITY} ssl_verify_client on;", f"{AUTHORITY} ssl_verify_client optional;",
    f"{AUTHORITY} ssl_verify_client optional_no_ca;",
    f"{AUTHORITY} ssl_verify_client off;", "ssl_verify_client optional_no_ca;",
        "ssl_client_certificate %CERTS%/twoca.pem; ssl_verify_client on;",
    f"{AUTHORITY} ssl_verify_client on; ssl_verify_depth 0;", f"{AUTHORITY} ssl_verify_client on; ssl_verify_depth 2;",
        f"{AUTHORITY} ssl_verify_client optional_no_ca; ssl_verify_depth 0;",
    f"{AUTHORITY} ssl_trusted_certificate %CERTS%/other/ca.pem; ssl_verify_client on;",
        "ssl_client_certificate %CERTS%/between.pem; ssl_verify_client on;",
    f"{AUTHORITY} ssl_verify_client on; ssl_crl %CERTS%/crl.pem;",
        f"{AUTHORITY} ssl_verify_client optional_no_ca; ssl_crl %CERTS%/crl.pem;"), CLIENTS, listen="ssl", closes=True)
CASES += [secure(f"verify errors: {words}", f"{CERT} {AUTHORITY} ssl_verify_client on; {words} location / {{ return 200 x; }} "
    'location = /e.html { return 200 "$ssl_client_verify $status\\n"; } location @e { return 403 "$ssl_client_verify"; }',
    [talk(tls=Tls(shows=shows), method=method, body="abc" if method == "POST" else None) for shows in ("", "expired", "other/stranger",
        "good") for method in ("GET", "HEAD", "POST")]
    + [pipeline(ask("/", close=False), ask("/"), tls=Tls())],
    errors="info" if not words else "")
    for words in ("", "error_page 495 496 /e.html;", "error_page 495 =401 /e.html; error_page 496 =402 /e.html;",
        "error_page 400 /e.html;", "error_page 496 @e;",
        "error_page 495 496 =200 @e;", "error_page 495 496 https://o.test/;")]

# ---- what is negotiated --------------------------------------------------------------------------------------------

SPOKEN = [talk(tls=Tls(version=each)) for each in ("", "1.2", "1.3")] + [talk(tls=Tls(version=each,
    ciphers="ALL:@SECLEVEL=0")) for each in ("1", "1.1", "1.2")] + [
    talk(tls=Tls(version="1.2", ciphers=each)) for each in ("ECDHE-ECDSA-AES128-GCM-SHA256:ECDHE-ECDSA-AES256-GCM-SHA384",
        "ECDHE-ECDSA-CHACHA20-POLY1305", "ECDHE-ECDSA-AES256-SHA",
        "ECDHE-ECDSA-AES256-GCM-SHA384:ECDHE-ECDSA-AES128-GCM-SHA256", "ECDHE-RSA-AES128-GCM-SHA256", "DHE-RSA-AES256-GCM-SHA384",
            "AES128-SHA", "AES256-GCM-SHA384")]
NEGOTIATED = f'{KEYS} ssl_protocols %P%; ssl_ciphers %C%; %V% return 200 "$ssl_protocol $ssl_cipher $ssl_curve\\n";'
BOTH = NEGOTIATED.replace("%P%", "TLSv1.2 TLSv1.3").replace("%C%", "HIGH:!aNULL:!MD5")
CASES += table("negotiated by protocols", NEGOTIATED.replace("%P%", "%V%", 1).replace("%C%; %V%", "ALL:@SECLEVEL=0;"),
    ("TLSv1.2", "TLSv1.3", "TLSv1.2 TLSv1.3", "TLSv1.1 TLSv1.2", "TLSv1 TLSv1.3", "TLSv1 TLSv1.1 TLSv1.2 TLSv1.3"), SPOKEN, listen="ssl")
CASES += table("negotiated by ciphers", NEGOTIATED.replace("%P%", "TLSv1.2 TLSv1.3").replace("%C%; %V%", "%V%"),
    ("HIGH:!aNULL:!MD5;", "ECDHE-ECDSA-CHACHA20-POLY1305:ECDHE-ECDSA-AES128-GCM-SHA256;", "kRSA;",
     *(f"ECDHE-ECDSA-AES256-GCM-SHA384:ECDHE-ECDSA-AES128-GCM-SHA256; ssl_prefer_server_ciphers {each};" for each in ("on", "off"))),
    SPOKEN, listen="ssl")
CASES += table("negotiated", BOTH, ("ssl_ecdh_curve secp384r1;", "ssl_ecdh_curve X448:prime256v1;", "ssl_ecdh_curve auto;",
    *(f"ssl_conf_command {each};" for each in ("Ciphersuites TLS_CHACHA20_POLY1305_SHA256", "Options PrioritizeChaCha,ServerPreference",
        "MaxProtocol TLSv1.2", "MinProtocol TLSv1.3", "Curves P-521", "Options -SessionTicket",
            "CipherString ECDHE-ECDSA-AES128-GCM-SHA256"))),
    SPOKEN, listen="ssl")
CASES += table("negotiated by default", f'{KEYS} %V% return 200 "$ssl_protocol $ssl_cipher\\n";', ("", "ssl_protocols TLSv1.2 TLSv1.3;"),
    SPOKEN,
    listen="ssl")
RSA = KEYS.replace("/h.", "/rsa.")
for words in ("", "ssl_dhparam %CERTS%/dh.pem;", "ssl_prefer_server_ciphers on;"):
    CASES += [secure(f"negotiated with {name}: {words}",
        f'{keys} ssl_protocols TLSv1.2 TLSv1.3; {words} ssl_ciphers ECDHE-RSA-AES128-GCM-SHA256:'
        'ECDHE-ECDSA-AES128-GCM-SHA256:DHE-RSA-AES256-GCM-SHA384:AES128-SHA:AES256-GCM-SHA384; return 200 "$ssl_cipher\\n";', SPOKEN)
        for name, keys in (("RSA", RSA), ("both", RSA + KEYS))]
CASES += [secure("negotiated by the server that is asked for",
    f'{KEYS} ssl_protocols TLSv1.3; return 200 "$ssl_protocol $ssl_cipher\\n";',
    [talk(tls=Tls(name, version=version), host=name) for name in ("h.test", "b.test") for version in ("1.2", "1.3")],
        "ssl default_server",
    http="server { listen %ADDR%:%PORT% ssl; server_name b.test; ssl_protocols TLSv1.2; return 200 b; "
        "ssl_certificate %CERTS%/b.pem; ssl_certificate_key %CERTS%/b.key; }")]

# ---- sessions ------------------------------------------------------------------------------------------------------

AGAIN = 'location / { return 200 "$ssl_session_reused $ssl_client_verify\\n"; }'
TWICE = [talk(tls=Tls(version=version, resumes=resumes)) for version in ("1.2", "1.3") for resumes in (False, True, True)]
CASES += table("sessions", f"{CERT} %V% {AGAIN}", ("", "ssl_session_cache off;", "ssl_session_cache none;",
    "ssl_session_cache builtin:100;", "ssl_session_cache shared:s_%ID%:1m;",
    "ssl_session_cache builtin shared:s_%ID%:1m;", "ssl_session_tickets off;",
        "ssl_session_tickets off; ssl_session_cache shared:s_%ID%:1m;", "ssl_session_tickets off; ssl_session_cache builtin;",
    "ssl_session_cache off; ssl_session_tickets off;", "ssl_session_ticket_key %CERTS%/ticket80;",
        "ssl_session_ticket_key %CERTS%/ticket48; ssl_session_ticket_key %CERTS%/ticket80;",
    "ssl_session_timeout 1h;", f"{AUTHORITY} ssl_verify_client optional;"), TWICE, listen="ssl")
POLICY = ("server { listen %ADDR%:%PORT% ssl; server_name b.test; ssl_protocols TLSv1.2 TLSv1.3; "
          "ssl_certificate %CERTS%/b.pem; ssl_certificate_key %CERTS%/b.key; %V% " + AGAIN + " }\n"
          "server { listen %ADDR%:%PORT% ssl; server_name c.test; ssl_protocols TLSv1.2 TLSv1.3; " + AGAIN + " }")


def each_way(shows, version):
    """A session of one server's, taken up at another, and another's Host on either's connection."""
    for name, host, resumes in (("h.test", "h.test", False), ("b.test", "b.test", True), ("b.test", "b.test", False), ("h.test", "h.test",
        True), ("b.test", "h.test", False),
                                ("h.test", "b.test", False), ("c.test", "c.test", True), ("c.test", "b.test", False), (None, "b.test",
                                    False), (None, "h.test", True), ("b.test", "c.test", False)):
        yield talk(tls=Tls(name, shows, version, resumes=resumes), host=host)


CASES += [secure(f"policy: {mine or 'none'}, {theirs or 'none'}", f"{CERT} {mine} {AGAIN}", [*each_way("", "1.2"), *each_way("", "1.3"),
    *each_way("good", "1.2"), *each_way("good", "1.3"), *each_way("other/stranger", "1.3")],
    "ssl default_server", http=POLICY.replace("%V%", theirs)) for mine in ("", f"{AUTHORITY} ssl_verify_client on;",
        f"{AUTHORITY} ssl_verify_client optional;", "ssl_verify_client optional_no_ca;")
    for theirs in ("", f"{AUTHORITY} ssl_verify_client on;", "ssl_client_certificate %CERTS%/other/ca.pem; ssl_verify_client optional;")]

# ---- bodies and the end of connections ------------------------------------------------------------------------------

BIG = "x" * 200000
CASES += [secure(f"bodies: {words}",
    f"{CERT} {words} client_max_body_size 1m; location /p {{ proxy_pass http://%BACKEND%; }} location /r {{ return 200 x; }} "
    f"location /l {{ client_max_body_size 10; proxy_pass http://%BACKEND%; }}",
    [talk("/big.txt"), talk("/big.txt", "Range: bytes=100-199999"), talk("/big.txt", method="HEAD"), talk("/p", method="POST", body=BIG),
        talk("/r", method="POST", body=BIG),
     talk("/l", method="POST", body="x" * 11), talk("/big.txt", close=False, keeps=True), pipeline(ask("/big.txt", close=False), ask("/r",
         close=False), ask("/none"), tls=Tls()), talk("/none"),
     talk("/big.txt", "Accept-Encoding: gzip"), talk("/big.txt", "Range: bytes=0-1,5-9"), talk("/", version="1.0"), talk("/",
         "X: " + "v" * 9000), Request(b"garbage\r\n\r\n", tls=Tls()),
     Request(b"GET / HTTP/1.1\r\n\r\n", tls=Tls()), Request(b"", tls=Tls(), patience=0.5), Request(b"GET / HT", tls=Tls(), patience=0.5),
         Request(b"TRACE / HTTP/1.1\r\nHost: h.test\r\n\r\n", ("TRACE",), tls=Tls())],
    files={"big.txt": BIG, "index.html": "<p>x"}, closes=True) for words in ("", "ssl_buffer_size 1400;",
        "ssl_buffer_size 4k; gzip on; sendfile on;", "keepalive_timeout 0;", "lingering_close off;", "aio threads; output_buffers 1 4k;")]

# ---- configurations ---------------------------------------------------------------------------------------------------

REST = f"{KEYS} return 200 x;"
for words in ("ssl_certificate %CERTS%/none.pem; ssl_certificate_key %CERTS%/h.key;",
    "ssl_certificate %CERTS%/h.pem; ssl_certificate_key %CERTS%/none.key;",
    "ssl_certificate %CERTS%/h.pem;", "ssl_certificate_key %CERTS%/h.key;", "",
        "ssl_certificate %CERTS%/h.pem; ssl_certificate_key %CERTS%/b.key;",
        "ssl_certificate %CERTS%/h.pem; ssl_certificate_key %CERTS%/rsa.key;",
    "ssl_certificate %CERTS%/garbage; ssl_certificate_key %CERTS%/h.key;",
        "ssl_certificate %CERTS%/h.pem; ssl_certificate_key %CERTS%/garbage;",
        "ssl_certificate %CERTS%/h.key; ssl_certificate_key %CERTS%/h.key;",
    "ssl_certificate %CERTS%/h.pem; ssl_certificate_key %CERTS%/h.pem;",
        "ssl_certificate %CERTS%/both.pem; ssl_certificate_key %CERTS%/both.pem;",
    "ssl_certificate %CERTS%/locked.pem; ssl_certificate_key %CERTS%/locked.key; ssl_password_file %CERTS%/phrases;",
        "ssl_certificate %CERTS%/locked.pem; ssl_certificate_key %CERTS%/locked.key; ssl_password_file %CERTS%/wrong;",
    "ssl_certificate %CERTS%/h.pem; ssl_certificate_key %CERTS%/h.key; ssl_password_file %CERTS%/none;",
        "ssl_certificate %CERTS%/h.pem; ssl_certificate_key %CERTS%/h.key; ssl_password_file %CERTS%/wrong;",
    "ssl_certificate %CERTS%/h.pem; ssl_certificate %CERTS%/rsa.pem; ssl_certificate_key %CERTS%/rsa.key; ssl_certificate_key %CERTS%/h.key;",
    "ssl_certificate %CERTS%/h.pem; ssl_certificate %CERTS%/rsa.pem; ssl_certificate_key %CERTS%/h.key;",
        "ssl_certificate %CERTS%/h.pem; ssl_certificate_key %CERTS%/h.key; ssl_certificate_key %CERTS%/rsa.key;",
    "ssl_certificate %CERTS%/h.pem; ssl_certificate %CERTS%/b.pem; ssl_certificate_key %CERTS%/h.key; ssl_certificate_key %CERTS%/b.key;",
        "ssl_certificate; ssl_certificate_key %CERTS%/h.key;",
    "ssl_certificate %CERTS%/expired.pem; ssl_certificate_key %CERTS%/expired.key;",
        "ssl_certificate %CERTS%/h.pem %CERTS%/b.pem; ssl_certificate_key %CERTS%/h.key;", "ssl_reject_handshake on;",
        "ssl_reject_handshake off;"):
    CASES += [secure(f"certificates: {words}",
        f"{words} {'' if 'ssl_protocols' in words else 'ssl_protocols TLSv1.2 TLSv1.3;'} return 200 x;", [talk(),
        talk(tls=Tls(version="1.2", ciphers="aRSA"))], odd=True)]
CASES += [secure(f"certificates without ssl: {words}", f"{words} return 200 x;", ["/"], "", odd=True) for words in (
    "ssl_certificate %CERTS%/none.pem; ssl_certificate_key %CERTS%/none.key;", "ssl_certificate %CERTS%/h.pem;",
        "ssl_certificate_key %CERTS%/h.key;", "ssl_protocols TLSv1.2;", "ssl_verify_client on;", REST)]
for words in ("ssl_protocols;", "ssl_protocols TLSv1.4;", "ssl_protocols SSLv3;", "ssl_protocols SSLv2 TLSv1.2;",
    "ssl_protocols TLSv1.2 TLSv1.2;", "ssl_protocols TLSv1.2; ssl_protocols TLSv1.3;", "ssl_protocols tlsv1.2;", "ssl_ciphers bogus;",
    "ssl_ciphers '';", "ssl_ciphers HIGH bogus;",
    "ssl_ciphers HIGH:bogus;", "ssl_ciphers HIGH; ssl_ciphers HIGH;", "ssl_prefer_server_ciphers maybe;", "ssl_ecdh_curve bogus;",
        "ssl_ecdh_curve auto;", "ssl_ecdh_curve prime256v1:bogus;", "ssl_ecdh_curve '';", "ssl_dhparam %CERTS%/none;",
    "ssl_dhparam %CERTS%/garbage;", "ssl_dhparam %CERTS%/h.pem;", "ssl_dhparam %CERTS%/dh.pem;", "ssl_conf_command Bogus x;",
        "ssl_conf_command Ciphersuites bogus;", "ssl_conf_command Options;", "ssl_conf_command Options Bogus;",
    "ssl_conf_command Certificate %CERTS%/none;", "ssl_conf_command '' x;", "ssl_buffer_size 0;", "ssl_buffer_size 1;",
        "ssl_buffer_size 32k;", "ssl_buffer_size x;", "ssl_buffer_size 16k;", "ssl_session_cache;", "ssl_session_cache bogus;",
        "ssl_session_cache shared;", "ssl_session_cache shared:x;",
    "ssl_session_cache shared:x_%ID%:1;", "ssl_session_cache shared::1m;", "ssl_session_cache builtin:x;", "ssl_session_cache builtin:0;",
        "ssl_session_cache off builtin;", "ssl_session_cache builtin off;", "ssl_session_cache shared:y_%ID%:1m shared:z_%ID%:1m;",
        "ssl_session_cache none;",
    "ssl_session_tickets x;", "ssl_session_ticket_key %CERTS%/none;", "ssl_session_ticket_key %CERTS%/ticket79;",
        "ssl_session_ticket_key %CERTS%/ticket80;", "ssl_session_timeout x;", "ssl_session_timeout 0;", "ssl_session_timeout 1d;",
        "ssl_reject_handshake x;",
    "ssl_early_data x;", "ssl_early_data on;", "ssl_verify_client x;", "ssl_verify_client on;", "ssl_verify_client optional;",
        "ssl_verify_client optional_no_ca;", "ssl_verify_client on; ssl_trusted_certificate %CERTS%/ca.pem;", "ssl_verify_depth x;",
        "ssl_verify_depth 0;", "ssl_verify_depth -1;", "ssl_verify_depth 1000;",
    "ssl_client_certificate %CERTS%/none;", "ssl_client_certificate %CERTS%/garbage;", "ssl_client_certificate %CERTS%/h.key;",
        "ssl_trusted_certificate %CERTS%/none;", "ssl_trusted_certificate %CERTS%/garbage;", "ssl_crl %CERTS%/none;",
        "ssl_crl %CERTS%/garbage;",
    "ssl_crl %CERTS%/crl.pem;", "ssl_crl %CERTS%/ca.pem;", "ssl_stapling_file %CERTS%/none;", "ssl_stapling_file %CERTS%/garbage;",
        "ssl_stapling off;", "ssl_ocsp off;", "ssl_stapling_verify off;", "location / { ssl_protocols TLSv1.2; }",
        "location / { ssl_certificate %CERTS%/h.pem; }",
    "if ($uri) { ssl_verify_client on; }", "ssl off;", "ssl on;", "ssl_bogus x;", "ssl_handshake_timeout x;",
        "ssl_password_file %CERTS%/none;"):
    CASES += [secure(f"words: {words}", f"{words} {REST}", ["/"], verdict=True)]
CASES += [Case(f"listens: {words}", f"{more} server_name l.test; {CERT}", listen=words, verdict=True) for words, more in (("ssl ssl", ""),
    ("ssl http2", ""), ("ssl proxy_protocol", ""), ("ssl bogus", ""),
    ("ssl", "listen %ADDR%:%PORT%;"), ("", "listen %ADDR%:%BPORT% ssl;"), ("ssl=on", ""), ("ssl deferred", ""))]

# ---- upstreams ----------------------------------------------------------------------------------------------------------

TRUST = "proxy_ssl_trusted_certificate %CERTS%/ca.pem; proxy_ssl_verify on;"
ASKED = ["/", "/", ask("/x", method="POST", body="abc"), ask("/", method="HEAD")]
TO = "location / { %V% proxy_pass https://%BACKEND%; }"


LAST = answer(b"hello\n", "Content-Type: text/plain", "Connection: close")


def backends(name, values, requests=ASKED, template=TO, **more):
    return table(name, template, values, requests, answers=LAST, errors="error",
        log="'$upstream_status|$upstream_addr|$status|$proxy_host|$proxy_port'", **more)


CASES += backends("upstream", ("", "proxy_ssl_session_reuse off;", "proxy_ssl_session_reuse on;", "proxy_ssl_server_name on;",
    "proxy_ssl_server_name on; proxy_ssl_name h.test;", "proxy_ssl_name h.test;", f"{TRUST}",
    f"{TRUST} proxy_ssl_name h.test;", f"{TRUST} proxy_ssl_name www.h.test; proxy_ssl_server_name on;",
        f"{TRUST} proxy_ssl_name b.test; proxy_ssl_server_name on;", f"{TRUST} proxy_ssl_name H.TEST;",
        f"{TRUST} proxy_ssl_name h.test:443;",
    f"{TRUST} proxy_ssl_name $host;", f"{TRUST} proxy_ssl_name '$arg_none';", "proxy_ssl_name $host:80; proxy_ssl_server_name on;",
        "proxy_ssl_name 127.0.0.1; proxy_ssl_server_name on;", "proxy_ssl_name ''; proxy_ssl_server_name on;",
    "proxy_ssl_name x.test.; proxy_ssl_server_name on;",
        "proxy_ssl_trusted_certificate %CERTS%/other/ca.pem; proxy_ssl_verify on; proxy_ssl_name h.test;",
        f"{TRUST} proxy_ssl_name h.test; proxy_ssl_verify_depth 0;",
    f"{TRUST} proxy_ssl_name h.test; proxy_ssl_crl %CERTS%/crl.pem;", "proxy_ssl_protocols TLSv1.2;", "proxy_ssl_protocols TLSv1.3;",
        "proxy_ssl_protocols TLSv1.2; proxy_ssl_ciphers ECDHE-ECDSA-AES128-GCM-SHA256;",
    "proxy_ssl_conf_command Ciphersuites TLS_CHACHA20_POLY1305_SHA256;", "proxy_ssl_conf_command MaxProtocol TLSv1.2;",
        "proxy_ssl_certificate %CERTS%/good.pem; proxy_ssl_certificate_key %CERTS%/good.key;",
    "proxy_set_header Host other.test; proxy_ssl_server_name on;",
        "proxy_intercept_errors on; error_page 502 =200 /e; proxy_ssl_verify on; proxy_ssl_trusted_certificate %CERTS%/other/ca.pem;"),
        secure=Secure())
CASES += backends("upstream of TLS 1.2", ("", "proxy_ssl_protocols TLSv1.3;", "proxy_ssl_protocols TLSv1.2 TLSv1.3;",
    "proxy_ssl_session_reuse off;"), secure=Secure(version="1.2"))
CASES += backends("upstream of TLS 1.3", ("", "proxy_ssl_protocols TLSv1.2;", "proxy_ssl_protocols TLSv1.3;"),
    secure=Secure(version="1.3"))
CASES += backends("upstream with one cipher", ("proxy_ssl_ciphers ECDHE-ECDSA-AES128-GCM-SHA256;",
    "proxy_ssl_ciphers ECDHE-ECDSA-AES256-GCM-SHA384;", ""), secure=Secure(version="1.2", ciphers="ECDHE-ECDSA-AES256-GCM-SHA384"))
CASES += backends("upstream that asks", ("", "proxy_ssl_certificate %CERTS%/good.pem; proxy_ssl_certificate_key %CERTS%/good.key;",
    "proxy_ssl_certificate %CERTS%/other/stranger.pem; proxy_ssl_certificate_key %CERTS%/other/stranger.key;",
    "proxy_ssl_certificate %CERTS%/locked.pem; proxy_ssl_certificate_key %CERTS%/locked.key; proxy_ssl_password_file %CERTS%/phrases;"),
        secure=Secure(version="1.2", asks=True))
CASES += backends("upstream that has expired", ("", f"{TRUST} proxy_ssl_name expired;"), secure=Secure("expired"))
CASES += backends("upstream with a wild name", (f"{TRUST} proxy_ssl_name a.wild.test;", f"{TRUST} proxy_ssl_name wild.test;",
    f"{TRUST} proxy_ssl_name a.b.wild.test;"), secure=Secure("wild"))
CASES += backends("upstream by its name", (f"{TRUST} proxy_ssl_name localhost;", f"{TRUST} proxy_ssl_name cn.test;"),
    secure=Secure("localhost"))
CASES += backends("plain upstream", ("", "proxy_next_upstream off;"))
CASES += backends("upstream to which nobody speaks TLS", ("",), template="location / { %V% proxy_pass http://%BACKEND%; }",
    secure=Secure())
CASES += backends("group", ("", "proxy_ssl_server_name on;", f"{TRUST} proxy_ssl_name h.test;", f"{TRUST}",
    f"{TRUST} proxy_next_upstream off;"),
    template="location / { %V% proxy_pass https://up_%ID%; } location /u/ { %V% proxy_pass https://up_%ID%/base/; }",
    requests=[*ASKED, "/u/x"], http="upstream up_%ID% { server %BACKEND% max_fails=0; %NOKEEP% }", secure=Secure())
CASES += backends("by variables", ("", "proxy_ssl_server_name on;"),
    template="location / { %V% set $b %BACKEND%; proxy_pass https://$b$request_uri; } "
    "location /s { set $s https; proxy_pass $s://%BACKEND%; }", requests=[*ASKED, "/s"], secure=Secure())
for words in ("proxy_ssl_verify on;", "proxy_ssl_verify on; proxy_ssl_trusted_certificate %CERTS%/none;",
    "proxy_ssl_trusted_certificate %CERTS%/garbage; proxy_ssl_verify on;", "proxy_ssl_certificate %CERTS%/good.pem;",
    "proxy_ssl_certificate %CERTS%/good.pem; proxy_ssl_certificate_key %CERTS%/b.key;",
    "proxy_ssl_certificate %CERTS%/none; proxy_ssl_certificate_key %CERTS%/b.key;", "proxy_ssl_certificate_key %CERTS%/good.key;",
        "proxy_ssl_certificate %CERTS%/locked.pem; proxy_ssl_certificate_key %CERTS%/locked.key; proxy_ssl_password_file %CERTS%/wrong;",
        "proxy_ssl_crl %CERTS%/none;",
    "proxy_ssl_ciphers bogus;", "proxy_ssl_protocols bogus;", "proxy_ssl_protocols;", "proxy_ssl_name;", "proxy_ssl_name a b;",
        "proxy_ssl_verify_depth x;", "proxy_ssl_verify maybe;", "proxy_ssl_conf_command Bogus x;", "proxy_ssl_session_reuse x;",
        "proxy_ssl_server_name x;", "proxy_ssl_certificate '';"):
    CASES += [Case(f"proxy words: {words}", TO.replace("%V%", words), verdict=True)]
