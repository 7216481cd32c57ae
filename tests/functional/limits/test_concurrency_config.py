"""Configuration of limit_concurrency: what is accepted, and what a mistake's message says."""

import pytest

from keyed import check_mistake
from limits import limited
from weirlib import config

MOST = 64  # zones of one configuration

# (directives of http, of the location, what the message must name besides the place)
WRONG = {
    "unknown zone": ("", "limit_concurrency nowhere;", 'unknown zone "nowhere"; define it in http: limit_concurrency_zone nowhere'),
    "unknown zone beside a known one": ("limit_concurrency_zone a limit=1;", "limit_concurrency nowhere;", 'unknown zone "nowhere"'),
    "no limit": ("limit_concurrency_zone a;", "", 'number of arguments in "limit_concurrency_zone"'),
    "no limit but a queue": ("limit_concurrency_zone a queue=5;", "", '"limit_concurrency_zone" needs limit=N'),
    "limit of 0": ("limit_concurrency_zone a limit=0;", "", "limit=0"),
    "limit below 0": ("limit_concurrency_zone a limit=-1;", "", "limit=-1"),
    "limit without a number": ("limit_concurrency_zone a limit=;", "", 'invalid parameter "limit="'),
    "limit of letters": ("limit_concurrency_zone a limit=many;", "", "limit=many"),
    "limit with a tail": ("limit_concurrency_zone a limit=5x;", "", "limit=5x"),
    "limit beyond any number": ("limit_concurrency_zone a limit=99999999999999999999;", "", "limit=99999999999999999999"),
    "queue of letters": ("limit_concurrency_zone a limit=1 queue=long;", "", "queue=long"),
    "queue below 0": ("limit_concurrency_zone a limit=1 queue=-1;", "", "queue=-1"),
    "queue beyond any number": ("limit_concurrency_zone a limit=1 queue=99999999999999999999;", "", "queue=99999999999999999999"),
    "time of letters": ("limit_concurrency_zone a limit=1 queue=1 queue_timeout=soon;", "", "queue_timeout=soon"),
    "policy": ("limit_concurrency_zone a limit=1 policy=lifo;", "", "policy=lifo.*fixed.*codel.*gradient"),
    "min above max": ("limit_concurrency_zone a limit=3 policy=gradient min=5 max=2;", "", "min=5 is above max=2"),
    "min of 0": ("limit_concurrency_zone a limit=3 policy=gradient min=0 max=5;", "", "min=0"),
    "unknown parameter": ("limit_concurrency_zone a limit=1 speed=9;", "", "speed=9"),
    "no name": ("limit_concurrency_zone limit=1;", "", 'number of arguments in "limit_concurrency_zone"'),
    "zone twice": ("limit_concurrency_zone a limit=1;\nlimit_concurrency_zone a limit=2;", "",
                   'duplicate zone "a"'),
    "zone in a location": ("", "limit_concurrency_zone a limit=1;", "limit_concurrency_zone.*not allowed here"),
    "priority": ("limit_concurrency_zone a limit=1;", "limit_concurrency a priority=urgent;",
                 "priority=urgent.*high.*normal.*low"),
    "priority of an unknown variable": ("limit_concurrency_zone a limit=1;", "limit_concurrency a priority=$nonsense;",
                                        'unknown "nonsense" variable'),
    "unknown use parameter": ("limit_concurrency_zone a limit=1;", "limit_concurrency a weight=3;", "weight=3"),
    "use without a name": ("", "limit_concurrency;", 'number of arguments in "limit_concurrency"'),
    "status below 400": ("", "limit_concurrency_status 399;", '"399".*400 to 599'),
    "status above 599": ("", "limit_concurrency_status 600;", '"600".*400 to 599'),
    "status of letters": ("", "limit_concurrency_status busy;", '"busy"; it takes a whole number'),
    "dry run": ("", "limit_concurrency_dry_run maybe;", '"maybe"; it takes "on" or "off"'),
    "log level": ("", "limit_concurrency_log_level loud;", r"loud.*info \| notice \| warn \| error"),
    "log level that is none of these": ("", "limit_concurrency_log_level emerg;", r"emerg.*info \| notice \| warn \| error"),
}


@pytest.mark.parametrize("name", WRONG)
def test_mistakes(weir, name):
    """A mistake is found by -t: exit code 1, and one line that names what is wrong, the file and the line."""
    check_mistake(weir, *WRONG[name])


@pytest.mark.parametrize("parameters", [
    "limit=1", "limit=1 queue=0", "limit=100 queue=1000 queue_timeout=500ms", "queue=5 limit=2", "limit=2 policy=fixed",
    "limit=2 queue=5 policy=codel", "limit=5 policy=gradient", "limit=5 policy=gradient min=1 max=100", "limit=1000",
])
def test_good_zones(weir, parameters):
    """Every form of a zone is accepted."""
    done = weir.run("-t", conf=limited(parameters))
    assert done.returncode == 0 and "test is successful" in done.stderr, done.stderr


@pytest.mark.parametrize("directive", [
    "limit_concurrency_status 400;", "limit_concurrency_status 599;", "limit_concurrency_dry_run on;",
    "limit_concurrency_dry_run off;",
    *(f"limit_concurrency_log_level {level};" for level in ("info", "notice", "warn", "error")),
    *(f"limit_concurrency z priority={priority};" for priority in ("high", "normal", "low", "$http_x_priority")),
])
@pytest.mark.parametrize("level", ["http", "server", "location"])
def test_good_directives(weir, level, directive):
    """Every directive is accepted at every level."""
    conf = config("location / { root html; " + (directive if level == "location" else "") + " }",
                  http="limit_concurrency_zone z limit=1;" + (directive if level == "http" else ""),
                  server=directive if level == "server" else "")
    done = weir.run("-t", conf=conf)
    assert done.returncode == 0, done.stderr


@pytest.mark.parametrize("word", ["limit=1000000000", "queue=1000000000"])
def test_zones_that_nobody_could_hold(weir, word):
    """A limit or queue of a billion is refused with the word and its bounds."""
    said = weir.mistake(config(http=f"limit_concurrency_zone a {'limit=1 ' if 'queue' in word else ''}{word};"), word)
    assert said.startswith(f'invalid parameter "{word}" in "limit_concurrency_zone"') and "1000000)" in said


def test_more_zones_than_there_is_room_for(weir):
    """As many as there is room for are served; -t says where the first is that is too many."""
    zones = [f"limit_concurrency_zone z{i} limit=3;\n" for i in range(MOST + 1)]
    said = weir.mistake(config(http="".join(zones)), zones[MOST])
    assert said.startswith(f'more than {MOST} "limit_concurrency_zone" directives')
    weir.start(config(http="".join(zones[:MOST])))
    assert len(weir.status()["concurrency"]) == MOST


def test_zones_of_former_files_make_room(weir):
    """Reloads that rename every zone go on for ever."""
    for turn in range(5):
        zones = "".join(f"limit_concurrency_zone z{turn}-{i} limit=3;\n" for i in range(30))
        conf = config(f"location / {{ limit_concurrency z{turn}-0; root html; }}", http=zones)
        if turn == 0:
            weir.start(conf)
        else:
            assert weir.reload(conf)["last_ok"] is True
        weir.wait_workers(1)
        assert weir.get("/none").status == 404
        assert set(weir.status()["concurrency"]) == {f"z{turn}-{i}" for i in range(30)}


def test_many_zones(weir):
    """Sixteen zones work."""
    zones = "".join(f"limit_concurrency_zone z{i} limit=3 queue=2;\n" for i in range(16))
    uses = "".join(f"location /{i} {{ limit_concurrency z{i}; root html; }}" for i in range(16))
    weir.start(config(uses, http=zones))
    for i in range(16):
        (weir.tmp / f"html/{i}").write_text(str(i))
        assert weir.get(f"/{i}").text == str(i)
    admitted = {name: found["admitted"] for name, found in weir.status()["concurrency"].items()}
    assert admitted == {f"z{i}": 1 for i in range(16)}
