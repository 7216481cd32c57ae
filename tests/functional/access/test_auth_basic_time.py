"""auth_basic tells nobody by its time whether a user exists."""

import base64
import pathlib

import pytest
from weirlib import config

SLOW = "$6$rounds=40000$saltsalt$1vOXvhjORLxiQEHa9mZ9KMiatbkCnYuD83r" \
       "okJ0mW.opnC49Uv4HVyCz/jvaOpq1dZ91Yu5ru/yLRUjqAYnYQ1"  # of "right": tens of milliseconds
TRIES = 7


def serve(weir, *lines):
    weir.write("".join(line + "\n" for line in lines), "conf/users")
    weir.write("secret", "html/index.html")
    return weir.start(config("location / { root {tmp}/html; auth_basic x; auth_basic_user_file {tmp}/conf/users; }"))


def seconds(weir, user, password, status=401):
    """What a request takes of the processor: on a busy machine the clock says little."""
    credentials = base64.b64encode(f"{user}:{password}".encode()).decode()
    [worker] = weir.worker_pids()
    begun = spent_ns(worker)
    assert weir.get("/", headers=[("Authorization", f"Basic {credentials}")]).status == status
    return (spent_ns(worker) - begun) / 1e9


def spent_ns(pid):
    return sum(int((thread / "schedstat").read_text().split()[0]) for thread in pathlib.Path(f"/proc/{pid}/task").iterdir())


def shortest(weir, *users):
    """The shortest time of a refusal for each user, taken in turns: what else runs only makes them longer."""
    seconds(weir, users[0], "first")  # which starts a thread
    times = [[seconds(weir, user, f"wrong{i}") for user in users] for i in range(TRIES)]
    return [min(column) for column in zip(*times)]


@pytest.mark.parametrize("lines", [[f"known:{SLOW}"], ["# people", "", f"known:{SLOW}", f"other:{SLOW}"],
                                   [f"other:{SLOW}", f"known:{SLOW}:comment"]])
def test_unknown_users_take_as_long(weir, lines):
    """A refusal takes as long for a user that does not exist as for one that does."""
    serve(weir, *lines)
    known, unknown, prefix = shortest(weir, "known", "nobody", "know")
    assert 0.2 < unknown / known < 5 and 0.2 < prefix / known < 5, (known, unknown, prefix)  # it was one to a hundred


def test_answers_stay_right(weir):
    """The hash that an unknown user's password is tried against lets nobody in."""
    serve(weir, f"known:{SLOW}", "plain:{PLAIN}right")
    for user, password, status in [("known", "right", 200), ("plain", "right", 200), ("nobody", "right", 401), ("", "right", 401),
                                   ("known", "wrong", 401), ("plain", "wrong", 401)]:
        seconds(weir, user, password, status)


def test_no_users_at_all(weir):
    """A file without users refuses everybody."""
    serve(weir, "# nobody")
    seconds(weir, "known", "right")
