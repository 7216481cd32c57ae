"""return: what the answer says about itself with a text, an empty text, and none."""

import pytest
from weirlib import config
from wire import ask, head


def get(weir, target):
    return ask(weir.port, head(f"GET {target} HTTP/1.1"))


@pytest.mark.directive("default_type")
def test_type_without_text(weir):
    """A location's default_type is sent with an empty body, too; 204 and error pages have none of it."""
    weir.start(config("default_type text/x; location /200 { return 200; } location /201 { return 201; } location /304 { return 304; }"
                      "location /204 { return 204 text; }"))
    found = {code: (get(weir, f"/{code}").status, get(weir, f"/{code}").header("Content-Type")) for code in (200, 201, 304, 204)}
    assert found == {200: (200, "text/x"), 201: (201, "text/x"), 304: (304, "text/x"), 204: (204, None)}


def test_empty_text(weir):
    """An error whose text is empty shows the usual page; one whose variable is empty shows nothing."""
    weir.start(config("location /page { return 404 ''; } location /none { return 404 $arg_x; } location /ok { return 200 ''; }"))
    page, none = get(weir, "/page"), get(weir, "/none")
    assert page.status == 404 and "404 Not Found" in page.text and page.header("Content-Type") == "text/html"
    assert none.status == 404 and none.text == "" and get(weir, "/ok").status == 200


def test_status_of_an_error_page(weir):
    """$status in an error page, its URI and its headers is the error's, or what error_page makes of it."""
    weir.start(config("location /p { add_header S $status always; return 200 '$status $uri'; } location /a { return 402; } location /b { return 404; }"
                      "location /c { return 403; } error_page 402 /p/$status; error_page 404 =201 /p/$status; error_page 403 @n;"
                      "location @n { return 200 $status; }"))
    assert [(r.status, r.text, r.header("S")) for r in (get(weir, "/a"), get(weir, "/b"), get(weir, "/c"))] == [
        (402, "402 /p/402", "402"), (201, "201 /p/201", "201"), (403, "403", None)]
