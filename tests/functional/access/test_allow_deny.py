"""allow and deny: who may, by the address of the connection or by the real one."""

import pytest
from mistakes import arguments
from weirlib import config


@pytest.mark.directive("allow", "deny")
@pytest.mark.parametrize("rules,status", [
    ("deny all;", 403), ("allow 127.0.0.1; deny all;", 200), ("deny 127.0.0.1; allow all;", 403), ("allow 10.0.0.0/8; deny all;", 403),
    ("deny 10.0.0.0/8;", 200), ("allow 127.0.0.0/8; deny all;", 200), ("deny 127.0.0.0/30;", 403), ("allow ::1; deny all;", 403),
    ("allow unix:; deny all;", 403), ("deny unix:;", 200)])
def test_access(weir, rules, status):
    weir.expect_log("access forbidden by rule")
    weir.write("x", "html/f")
    weir.start(config("root {tmp}/html; location /f { " + rules + " }"))
    assert weir.get("/f").status == status


@pytest.mark.directive("allow")
def test_access_is_inherited_and_by_real_address(weir):
    weir.expect_log("access forbidden by rule")
    weir.write("x", "html/f")
    weir.write("x", "html/g")
    weir.start(config("root {tmp}/html; deny 10.1.1.1; set_real_ip_from 127.0.0.1; location /g { allow all; } location /f { }"
                      "error_page 403 /denied; location = /denied { return 200 sorry; }"))
    bad = [("X-Real-IP", "10.1.1.1")]
    assert weir.get("/f", headers=bad).text == "sorry" and weir.get("/f", headers=bad).status == 403
    assert weir.get("/g", headers=bad).status == 200 and weir.get("/f").status == 200


WRONG = {
    "allow nobody;": 'invalid parameter "nobody" of "allow"',
    "deny 1.2.3.4/40;": 'invalid parameter "1.2.3.4/40" of "deny"',
    "allow;": arguments("allow", "exactly 1"),
}


@pytest.mark.parametrize("wrong", WRONG)
def test_wrong_settings(weir, wrong):
    assert weir.mistake(config(f"location / {{\n{wrong}\n}}"), wrong).startswith(WRONG[wrong])
