"""Handlers written in Lua: the request's API, mistakes with file and line, files that change, bounds, libraries."""

import concurrent.futures
import re

import pytest
import weirlib
from weirlib import Connection, config, open_files, wait_until

MODULE = weirlib.BINARY.parent / "modules/lua.so"
API = r"""
local pages = {}
function pages.one(r)
    r:set_header("Content-Type", "text/plain")
    r:write(r.method, " ", r.path, " ", r.query, " ", r.client, "|", r:arg("a") or "-", r:arg("none") or "-", "|",
            r:header("X-One") or "-", "|", r:cookie("c") or "-", "|", r:form("f") or "-", "|", #r.body, "|", r:variable("host"))
end
function pages.walks(r)
    for name, value in r:args() do r:write("[", name, "=", value, "]") end
    for name, value in r:headers() do if name:lower():find("^x%-") then r:write("(", name:lower(), ":", value, ")") end end
    for name, value in r:cookies() do r:write("{", name, "=", value, "}") end
    for name, value in r:forms() do r:write("<", name, "=", value, ">") end
    for part in r:parts() do r:write("/", part.name, ",", part.filename or "-", ",", part.type, ",", #part.data, "/") end
end
function pages.answer(r)
    r:status(201)
    r:set_header("X-Answer", "yes")
    return "made"
end
function pages.status() return 404 end
function pages.nothing() end
function pages.table() return {} end
function pages.odd() return 42 end
function pages.deep() error("deep trouble") end
function pages.notext() error({}) end
function pages.stream(r)
    for i = 1, 3 do assert(r:write(("x"):rep(50000)) and r:flush()) end
end
function pages.cut(r)
    r:write("begun") r:flush()
    error("too late")
end
function pages.events(r)
    r:event("one", "tick", "7") r:event("two\nlines") r:event()
end
function pages.clock(r)
    while r:event("now") do end
end
function pages.left(r) return tostring(r:time_left() <= 60000 and r:time_left() > 1000) .. tostring(r:gone()) end
function pages.log(r)
    r:log("a plain error") r:log("warn", "a warning") print("said", 1, nil, true)
end
function pages.dot(r) local a = r.arg("a") return a end
function pages.field(r) return r.nonsense end
function pages.assign(r) r.method = "PUT" end
function pages.header(r) r:set_header("Content-Length", "1") end
function pages.variable(r) return r:variable("uri") end

function pages.meta(r) return tostring(pcall(setmetatable, r, {})) .. getmetatable(r) end
function pages.coroutine(r)
    return coroutine.wrap(function(a) local b = coroutine.yield(r:arg("a") .. a) return b end)("x")
end
return function(r) return pages[r.path:match("%w+$") or ""](r) end
"""


class Scripts:
    """A server whose location /NAME runs the script NAME.lua."""

    def __init__(self, weir):
        self.weir, self.locations = weir, ""

    def write(self, name, text):
        """In one step: a reader finds the old or the new one."""
        path = self.weir.tmp / f"{name}.lua"
        fresh = path.with_suffix(".new")
        fresh.write_text(text)
        fresh.rename(path)
        return path

    def add(self, name, text, settings=""):
        self.locations += f"location /{name} {{ handler lua {self.write(name, text)} pool=p {settings}; }}\n"
        return self

    def conf(self, threads=1):
        return config(self.locations, main=f"load_module {MODULE}; thread_pool p threads={threads};")

    def start(self, threads=1):
        self.weir.start(self.conf(threads))
        return self.weir


@pytest.fixture
def scripts(weir):
    return Scripts(weir)


@pytest.fixture
def api(scripts):
    return scripts.add("api", API).start()


def test_what_came(api):
    """The request line, one of each kind by name, the body."""
    r = api.get("/api/one?a=%41+b", method="POST", body=b"f=form", headers=[
        ("X-One", "1"), ("Cookie", "c=crumb"), ("Content-Type", "application/x-www-form-urlencoded")])
    assert r.header("content-type") == "text/plain"
    assert r.text == "POST /api/one a=%41+b 127.0.0.1|A b-|1|crumb|form|6|localhost"


def test_walks(api):
    """Arguments, headers, cookies, forms and parts, in order."""
    form = ("Content-Type", "application/x-www-form-urlencoded")
    r = api.get("/api/walks?b=2&a=1&b", method="POST", body=b"x=1&y=2", headers=[("X-B", "1"), ("X-A", "2"), ("Cookie", "k=v; l=w"), form])
    assert r.text == "[b=2][a=1][b=](x-b:1)(x-a:2){k=v}{l=w}<x=1><y=2>"
    body = b"--s\r\nContent-Disposition: form-data; name=\"f\"; filename=\"n.bin\"\r\n\r\n\x00\x01\r\n--s--\r\n"
    assert api.get("/api/walks", method="POST", body=body, headers=[("Content-Type", "multipart/form-data; boundary=s")]).text == "/f,n.bin,text/plain,2/"


def test_answers(api):
    """A status and a header, a text as the body, a status for the server's page, nothing, coroutines."""
    r = api.get("/api/answer")
    assert (r.status, r.header("x-answer"), r.text) == (201, "yes", "made")
    assert api.get("/api/status").status == 404
    assert (api.get("/api/nothing").status, api.get("/api/nothing").body) == (200, b"")
    assert api.get("/api/coroutine?a=1").text == "1x"
    assert api.get("/api/left").text == "truefalse"
    assert api.get("/api/meta").text == "falseweir.request"


def test_streams_and_events(api):
    assert api.get("/api/stream").body == b"x" * 150_000
    r = api.get("/api/events")
    assert (r.header("content-type"), r.text) == ("text/event-stream", "event: tick\nid: 7\ndata: one\n\ndata: two\ndata: lines\n\n:\n\n")
    client = Connection(api.port)
    client.request("/api/clock")
    assert client.begun()
    client.close()
    wait_until(lambda: api.pool("p")["threads"]["running"] == 0, 5, "the script's end")


@pytest.mark.parametrize("page, says", [
    ("deep", r"/api\.lua:24: deep trouble"), ("notext", "an error that is no text"), ("table", "the function returned a table"),
    ("odd", "returned 42, which means nothing"), ("dot", r"/api\.lua:\d+: call it with a colon"), ("field", r'/api\.lua:\d+: a request has no "nonsense"'),
    ("assign", r'/api\.lua:\d+: a request\'s "method" cannot be assigned'), ("header", r'/api\.lua:\d+: header "Content-Length" cannot be set'),
    ("variable", r'variable "uri" cannot be read here'), ("unknown", r"/api\.lua:\d+: attempt to call a nil value"),
])
def test_mistakes_while_it_runs(api, page, says):
    """500 for the client, file and line in the log, and the next request is served."""
    api.expect_log(r"handler .lua.")
    assert api.get(f"/api/{page}").status == 500
    api.wait_log(rf'\[error\].*handler "lua".*{says}')
    assert api.get("/api/answer").status == 201


@pytest.mark.http1_only
def test_a_mistake_after_it_has_begun(api):
    """The client sees that the answer is not whole."""
    api.expect_log("too late|begun to answer")
    with pytest.raises(weirlib.Incomplete), api.connect() as client:
        client.get("/api/cut")
    api.wait_log("api.lua:31: too late")


def test_log(api):
    """r:log has a level; print is a notice."""
    api.expect_log("a plain error|a warning")
    api.get("/api/log")
    for level, text in (("error", "a plain error"), ("warn", "a warning"), ("notice", "said 1 nil true")):
        api.wait_log(rf'\[{level}\].*handler "lua": {text}, client')


def test_the_object_is_for_the_time_of_the_call(scripts):
    """What a script keeps of an earlier request is the present one's, never memory that is gone."""
    weir = scripts.add("kept", """
        local first, walk
        return function(r)
            if not first then first, walk = r, r:args() return "kept" end
            return first.query .. tostring(first == r) .. tostring(walk())
        end""").start()
    assert weir.get("/kept?a=1").text == "kept"
    assert weir.get("/kept?b=2").text == "b=2trueb"


def test_syntax_is_checked_by_t(scripts):
    """A mistake is found before anything runs, with file and line; so is a file that is not there, or a wrong setting."""
    scripts.add("bad", "local a = 1\nreturn function(r) r:: end\n")
    assert re.search(r'handler "lua": \S*/bad\.lua:2: ', scripts.weir.mistake(scripts.conf(), "location /bad"))
    for settings, says in (("memory=1k", "memory=SIZE from 1m on"), ("memory=x", "memory=SIZE"), ("instructions=0", "instructions=N"), ("more=1", 'invalid "more=1"')):
        fresh = Scripts(scripts.weir)
        fresh.add("good", "return function() end", settings)
        assert says in scripts.weir.mistake(fresh.conf(), "location /good")
    gone = config(f"location / {{ handler lua {scripts.weir.tmp}/none.lua; }}", main=f"load_module {MODULE};")
    assert "none.lua: No such file or directory" in scripts.weir.mistake(gone, "location / ")
    assert "it needs a script" in scripts.weir.mistake(gone.replace(f" {scripts.weir.tmp}/none.lua", ""), "location / ")


def test_nothing_runs_before_a_request(scripts):
    """-t and the master read the script; what it does at its start happens in workers."""
    marker = scripts.weir.tmp / "ran"
    weir = scripts.add("early", f"io.open('{marker}', 'w'):close() return function() return 'here' end").start()
    assert not marker.exists()
    assert weir.get("/early").text == "here" and marker.exists()


def test_a_script_that_changes(scripts):
    """The next request runs the new text, without a reload; a wrong one changes nothing, and the log says it once."""
    weir = scripts.add("page", "return function() return 'one' end").start()
    weir.expect_log("goes on")
    assert weir.get("/page").text == "one"
    scripts.write("page", "return function() return 'two' end")
    assert weir.get("/page").text == "two"
    scripts.write("page", "return function( return 'three' end")
    assert [weir.get("/page").text for _ in range(3)] == ["two"] * 3
    weir.wait_log(r"page\.lua:1: .*; what was there before goes on")
    assert weir.error_log.count("goes on") == 1
    scripts.write("page", "return 'no function'")
    assert weir.get("/page").text == "two"
    weir.wait_log('page.lua returns no function: write "return function.r. ... end"; what was there before goes on')
    (weir.tmp / "page.lua").unlink()
    assert weir.get("/page").text == "two"
    scripts.write("page", "return function() return 'four' end")
    assert weir.get("/page").text == "four"


def test_a_start_that_fails(scripts):
    """500, and each request tries again."""
    weir = scripts.add("page", f"if not io.open('{scripts.weir.tmp}/go') then error('not yet') end return function() return 'up' end").start()
    weir.expect_log("not yet")
    assert weir.get("/page").status == 500
    (weir.tmp / "go").touch()
    assert weir.get("/page").text == "up"


def test_a_change_that_fails_at_first(scripts):
    """It is tried again: a database that its start needs was away. Until then the old one goes on."""
    weir = scripts.add("page", "return function() return 'old' end").start()
    weir.expect_log("not yet")
    assert weir.get("/page").text == "old"
    scripts.write("page", f"assert(io.open('{weir.tmp}/go'), 'not yet') return function() return 'new' end")
    assert weir.get("/page").text == "old"
    (weir.tmp / "go").touch()
    wait_until(lambda: weir.get("/page").text == "new", 5, "another try")


LAST = {
    "full again and again": "local n = 0 return function(r) n = n + 1 local t = {} if n % 2 == 1 then while true do t[#t + 1] = tostring(#t) end else while true do t = {t} end end end",
    "a finalizer that fails": "keep = {} for i = 1, 36 do keep[i] = ('x'):rep(1000000) .. i end return function(r) local p = newproxy(true) getmetatable(p).__gc = function() r:log('info', 'closed') end error('trouble') end",
    "a number as the error": "local t return function(r) for i = 1, 10 do pcall(function() while true do t = {t} end end) end error(12345.678) end",
    "full as it is loaded": "for i = 1, 7 do debug.getregistry()['k' .. i] = i end t = nil pcall(function() while true do t = {t} end end) return function() return 'x' end",
    "full for good": "local t = {} return function(r) while true do t[#t + 1] = ('x'):rep(1000) .. #t end end",
}


@pytest.mark.parametrize("memory", ["1m", "40m"])
@pytest.mark.parametrize("how", LAST)
def test_nothing_of_a_script_ends_the_worker(scripts, how, memory):
    """Out of memory wherever it is, errors of any kind, in any place: 500 at most, from the same worker; and a script that has filled its memory begins anew."""
    weir = scripts.add("last", LAST[how], f"memory={memory}").add("other", "return function() return 'fine' end").start()
    weir.expect_log("handler .lua.")
    before = weir.worker_pids()
    for _ in range(8):
        assert weir.get("/last", timeout=30).status in (200, 500)
    assert weir.get("/other").text == "fine" and weir.worker_pids() == before


def test_errors_that_have_texts(scripts):
    weir = scripts.add("odd", "return function() error(setmetatable({}, {__tostring = function() return 'in words' end})) end").start()
    weir.expect_log("in words")
    assert weir.get("/odd").status == 500
    weir.wait_log('handler "lua": in words')


def test_zeros(scripts):
    """Arguments have them; what C takes must have none."""
    weir = scripts.add("zero", r"""return function(r)
        local said = {}
        for _, f in ipairs{function() r:set_header("X-A", "a\0b") end, function() r:event("a\0b") end, function() r:event("x", "a\nb") end, function() r:event(nil, "x") end} do
            said[#said + 1] = tostring(select(2, pcall(f)))
        end
        return #r:arg("x") .. table.concat(said, "|")
    end""").start()
    said = weir.get("/zero?x=7%00junk").text
    assert said.startswith("6") and said.count("there is a zero in it") == 2 and "it has to be one line" in said and "a comment has neither" in said


@pytest.mark.parametrize("value", ["0/0", "1e308", "-1", "2^31"])
def test_numbers_that_are_no_status(scripts, value):
    weir = scripts.add("odd", f"return function() return {value} end").start()
    weir.expect_log("means nothing")
    assert weir.get("/odd").status == 500


def test_each_thread_has_its_own(scripts):
    """What a script keeps outside of its function is the thread's: no two requests are in it at once."""
    weir = scripts.add("own", """
        local inside, runs = 0, 0
        return function(r)
            inside, runs = inside + 1, runs + 1
            local until_ = os.clock() + 0.002
            repeat until os.clock() > until_
            local seen = inside
            inside = inside - 1
            return seen .. " " .. runs
        end""").start(threads=4)
    with concurrent.futures.ThreadPoolExecutor(8) as clients:
        seen = list(clients.map(lambda _: weir.get("/own").text.split(), range(80)))
    assert {inside for inside, _ in seen} == {"1"} and max(int(runs) for _, runs in seen) < 80


def test_memory_has_a_bound(scripts):
    """A script that wants more than it may gets an error; the thread and others go on."""
    weir = (scripts.add("large", "return function(r) local t = {} for i = 1, 1e9 do t[i] = ('x'):rep(1000) .. i end end", "memory=8m")
            .add("one", "return function(r) return ('x'):rep(64 * 1024 * 1024) end", "memory=8m").add("other", "return function() return 'fine' end").start())
    weir.expect_log("not enough memory")
    for _ in range(3):
        assert weir.get("/large").status == weir.get("/one").status == 500
    assert weir.get("/other").text == "fine"
    wait_until(lambda: weir.error_log.count("not enough memory") == 6, 5, "six lines")


@pytest.mark.parametrize("text", [
    "return function() while true do end end",
    "return function() while true do pcall(function() while true do end end) end end",
    "return function() local c = coroutine.wrap(function() while true do end end) c() end",
    "while true do end",
])
def test_instructions_have_a_bound(scripts, text):
    """An endless script ends, also one that catches errors, in a coroutine, at its start."""
    weir = scripts.add("endless", text, "instructions=1m").add("other", "return function() return 'fine' end").start()
    weir.expect_log("instructions=")
    assert weir.get("/endless").status == 500
    weir.wait_log(r"endless\.lua:1: more than instructions=1048576")
    assert weir.get("/other").text == "fine"


def test_instructions_are_each_requests_own(scripts):
    weir = scripts.add("some", "return function() local n = 0 for i = 1, 300000 do n = n + i end return n > 0 and 'done' end", "instructions=1m").start()
    assert [weir.get("/some").text for _ in range(10)] == ["done"] * 10


def test_who_counts_hears_that_the_client_has_gone(scripts):
    weir = scripts.add("long", "return function(r) r:write('begun') r:flush() while true do end end", "instructions=2147483647").start()
    client = Connection(weir.port)
    client.request("/long")
    assert client.begun()
    client.close()
    wait_until(lambda: weir.pool("p")["threads"]["running"] == 0, 10, "the script's end")


def test_libraries(scripts):
    """Lua files beside the script, json, and a connection to a database that the thread keeps."""
    (scripts.weir.tmp / "helper.lua").write_text("return { twice = function(text) return text .. text end }")
    weir = scripts.add("shop", f"""
        local json, helper = require "cjson", require "helper"
        local db = assert(require("luasql.sqlite3").sqlite3():connect("{scripts.weir.tmp}/shop.db"))
        db:execute("create table if not exists item (id integer primary key, name text)")
        local opened = 0
        opened = opened + 1
        return function(r)
            if r.method == "POST" then
                db:execute(("insert into item (name) values ('%s')"):format(db:escape(json.decode(r.body).name)))
            end
            local rows, cursor = {{}}, assert(db:execute("select id, name from item order by id"))
            for id, name in function() return cursor:fetch() end do rows[#rows + 1] = {{ id = id, name = helper.twice(name) }} end
            r:set_header("Content-Type", "application/json")
            return json.encode({{ opened = opened, rows = rows }})
        end""").start()
    for name in ("pear", "o'plum"):
        answer = weir.get("/shop", method="POST", body=b'{"name": "%s"}' % name.encode()).json()
    assert answer == {"opened": 1, "rows": [{"id": 1, "name": "pearpear"}, {"id": 2, "name": "o'plumo'plum"}]}
    [worker] = weir.worker_pids()
    assert sum(name.endswith("shop.db") for name in open_files(worker).values()) == 1


def test_a_thread_that_ends_closes_what_it_has(scripts):
    """An interpreter goes with its thread."""
    weir = scripts.add("held", f"local f = io.open('{scripts.weir.tmp}/held.txt', 'w') return function() return 'held' end").start()

    def held():
        [worker] = weir.worker_pids()
        return sum("held.txt" in name for name in open_files(worker).values())
    conf = scripts.conf()
    weir.reload(conf.replace("threads=1;", "threads=0..1 idle_timeout=1s;"))
    assert weir.get("/held").text == "held" and held() == 1
    wait_until(lambda: held() == 0, 10, "the end of the thread")
    assert weir.get("/held").text == "held"
