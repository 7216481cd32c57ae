"""What a handler's run returns: 0 and 400 to 599 mean something, anything else is a mistake that is shown."""

import modlib
import pytest
import weirlib
from weirlib import config, wait_until

SOURCE = "#include <stdlib.h>\n" + modlib.handlers(
    give='weir_puts(r, "secret"); return atoi(weir_arg(r, "n"));',
    stream='weir_puts(r, "begun"); weir_flush(r); return atoi(weir_arg(r, "n"));')
LOCATIONS = """
    location /give { handler give; }
    location /stream { handler stream; }
    location /asked { auth_request /give?n=$arg_n; root html; try_files /x @in; }
    location @in { return 200 inside; }
"""
MISTAKES = [-1, 1, 99, 200, 204, 302, 399, 600, 777, -2147483648]


@pytest.fixture
def served(weir):
    path = modlib.build(weir.tmp, SOURCE)
    return weir.start(config(LOCATIONS, main=f"load_module {path};"))


def test_a_mistake_is_500(served):
    """A result that means nothing is 500 without what was written, and the log says what it may be."""
    answers = {number: served.get(f"/give?n={number}") for number in MISTAKES}
    assert {number: (a.status, "secret" in a.text) for number, a in answers.items()} == {n: (500, False) for n in MISTAKES}
    for number in MISTAKES:
        served.wait_log(rf'\[error\].* handler "give" returned {number}\b.*\b400 to 599\b.*client: 127.0.0.1')


def test_an_error_has_its_page(served):
    """A result of 400 to 599 is the answer's status, without what was written, and no mistake of the handler."""
    for number in (400, 404, 418, 503, 599):
        answer = served.get(f"/give?n={number}")
        assert answer.status == number and "secret" not in answer.text
    assert "returned" not in served.error_log


def test_zero_is_the_answer(served):
    """0 sends what was written, with 200."""
    answer = served.get("/give?n=0")
    assert (answer.status, answer.text) == (200, "secret")


def test_a_mistake_of_a_guard_lets_nobody_in(served):
    """A handler that auth_request asks lets in by 0 alone, not by a result that means nothing."""
    answers = {number: served.get(f"/asked?n={number}") for number in (0, *MISTAKES, 401, 403)}
    assert (answers[0].status, answers[0].text) == (200, "inside")
    assert {number: answers[number].status for number in answers} == {n: 500 for n in MISTAKES} | {0: 200, 401: 401, 403: 403}
    served.wait_log(r'handler "give" returned -1\b')


def test_a_mistake_of_a_stream_cuts_it(served):
    """A stream whose handler returns anything but 0 is cut off, and the log says what was returned."""
    for number in (-1, 200, 404):
        with served.connect() as client:
            client.request(f"/stream?n={number}")
            came = client.until_close()
            assert b"200 OK" in came and b"begun" in came and not came.endswith(b"0\r\n\r\n")
        wait_until(lambda: f'handler "stream" returned {number}' in served.error_log, 3, "the line of the log")


@pytest.mark.parametrize("table, message", [
    ('static const struct weir_handler list[] = {{.name = "empty"}, {0}}; WEIR_MODULE(list);', 'handler "empty" has no run'),
    ("WEIR_MODULE(NULL);", "has no handlers")])
def test_a_module_without_a_function(weir, table, message):
    """A module whose handler has no function, or that has no handlers, is refused when it is loaded."""
    path = modlib.build(weir.tmp, table)
    result = weir.run("-t", conf=config(main=f"load_module {path};"))
    assert result.returncode == 1 and message in result.stderr, result.stderr


@pytest.mark.parametrize("settings", ["", "client_body_buffer_size 1k;"], ids=["in memory", "in a file"])
def test_a_named_page_has_the_request_s_body(weir, settings):
    """What a handler had written before it failed is gone; where a named location answers instead, it has the client's body."""
    path = modlib.build(weir.tmp, SOURCE)
    weir.start(
        config(
            settings
            + """
            location /give { error_page 404 = @other; handler give; }
            location @other { handler echo; }
            """,
            main=f"load_module {path};",
        )
    )
    body = b"client's " * 400
    answer = weirlib.fetch(weir.port, "/give?n=404", method="POST", body=body)
    assert (answer.status, answer.body) == (200, body)
