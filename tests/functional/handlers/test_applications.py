"""Applications as people write them, in their languages and frameworks, as processes of the server."""

import os
import shutil
import subprocess

import pytest
from weirlib import ROOT, config


def serve(weir, name, text, command, settings="processes=1"):
    weir.write(text, f"app/{name}")
    (weir.tmp / "app").chmod(0o755)
    weir.tmp.chmod(0o755)
    weir.start(config(f"location / {{ handler process {command} dir={{tmp}}/app {settings}; }}"))


def cookies(answer):
    return [value for name, value in answer.headers if name == "set-cookie"]


FLASK = """
import flask
application = flask.Flask(__name__)
@application.route("/hello/<name>", methods=["GET", "POST"])
def hello(name):
    flask.session
    return flask.jsonify(name=name, args=flask.request.args, form=flask.request.form, url=flask.url_for("hello", name="b"), address=flask.request.remote_addr)
@application.route("/stream")
def stream():
    return flask.Response((f"line {i}\\n" for i in range(1000)), mimetype="text/plain")
@application.route("/login")
def login():
    answer = flask.redirect("/hello/x")
    answer.set_cookie("a", "1")
    answer.set_cookie("b", "2")
    return answer
"""


def test_flask(weir):
    """An application as people write them."""
    pytest.importorskip("flask")
    serve(weir, "site_of_flask.py", FLASK, f"python3 {ROOT / 'etc/wsgi.py'} site_of_flask:application", "processes=2")
    answer = weir.get("/hello/you?a=1", method="POST", body=b"b=2&c=%20", headers=[("Content-Type", "application/x-www-form-urlencoded")])
    assert answer.json() == {"name": "you", "args": {"a": "1"}, "form": {"b": "2", "c": " "}, "url": "/hello/b", "address": "127.0.0.1"}
    assert weir.get("/stream").text == "".join(f"line {i}\n" for i in range(1000))
    login = weir.get("/login")
    assert (login.status, login.header("Location")) == (302, "/hello/x") and cookies(login) == ["a=1; Path=/", "b=2; Path=/"]
    assert weir.get("/none").status == 404


def test_chunked_forms(weir):
    pytest.importorskip("flask")
    serve(weir, "site_of_flask.py", FLASK, f"python3 {ROOT / 'etc/wsgi.py'} site_of_flask:application")
    with weir.connect() as client:
        client.send("POST /hello/you HTTP/1.1\r\nHost: h\r\nTransfer-Encoding: chunked\r\nContent-Type: application/x-www-form-urlencoded\r\n\r\n7\r\na=1&b=2\r\n0\r\n\r\n")
        assert client.response().json()["form"] == {"a": "1", "b": "2"}


NODE = """
module.exports = (req, res) => {
    const parts = [];
    req.on('data', (data) => parts.push(data));
    req.on('end', () => {
        const body = Buffer.concat(parts);
        if (req.url === '/throw') throw new Error('oops');
        res.statusCode = req.url === '/none' ? 404 : 200;
        res.setHeader('Content-Type', 'text/plain');
        res.setHeader('Set-Cookie', ['a=1', 'b=2']);
        if (req.url === '/big') {
            for (let i = 0; i < 100; i++) res.write('x'.repeat(100000));
            res.end();
        } else {
            res.end(`${req.method} ${req.url} ${req.headers['x-two-words']} ${body.length} ${req.socket.remoteAddress}`);
        }
    });
};
"""


def test_node(weir):
    serve(weir, "app.js", NODE, f"node {ROOT / 'etc/node.js'} app.js")
    answer = weir.get("/a?b=%20", method="POST", body=b"x" * 300_000, headers=[("X-Two-Words", "yes")])
    assert answer.text == "POST /a?b=%20 yes 300000 127.0.0.1" and cookies(answer) == ["a=1", "b=2"]
    assert weir.get("/none").status == 404 and weir.get("/throw").status == 502
    for _ in range(2):
        assert len(weir.get("/big", timeout=20).body) == 10_000_000
    assert weir.get("/", method="HEAD").header("Content-Length") is None


NODE_PATH = {"NODE_PATH": "/usr/share/nodejs"}  # where Debian puts modules
EXPRESS = """
const express = require('express');
const app = express();
app.use(express.urlencoded({ extended: false }), express.json());
app.get('/hello/:name', (req, res) => res.json({ name: req.params.name, args: req.query, ip: req.ip, secure: req.secure, host: req.hostname }));
app.post('/form', (req, res) => res.status(201).cookie('a', '1').cookie('b', '2').send(req.body));
app.get('/away', (req, res) => res.redirect('/hello/x'));
app.get('/later', (req, res) => setTimeout(() => res.type('text').send('later'), 50));
app.get('/oops', () => { throw new Error('oops'); });
module.exports = app;
"""


@pytest.mark.skipif(subprocess.run(["node", "-e", "require('express')"], check=False, capture_output=True, env=os.environ | NODE_PATH).returncode != 0 if shutil.which("node") else True,
                    reason="express is not installed")
def test_express(weir):
    """Routes, forms and JSON, redirects, errors of the application, answers that come later."""
    weir.expect_log("oops")
    serve(weir, "app.js", EXPRESS, f"node {ROOT / 'etc/node.js'} app.js", "processes=1 env=NODE_PATH=/usr/share/nodejs")
    assert weir.get("/hello/you?a=1").json() == {"name": "you", "args": {"a": "1"}, "ip": "127.0.0.1", "secure": False, "host": "localhost"}
    form = weir.get("/form", method="POST", body=b"b=2&c=%20", headers=[("Content-Type", "application/x-www-form-urlencoded")])
    assert (form.status, form.json(), cookies(form)) == (201, {"b": "2", "c": " "}, ["a=1; Path=/", "b=2; Path=/"])
    assert weir.get("/form", method="POST", body=b'{"d": [1]}', headers=[("Content-Type", "application/json")]).json() == {"d": [1]}
    away = weir.get("/away")
    assert (away.status, away.header("Location")) == (302, "/hello/x")
    assert [weir.get("/later").text for _ in range(3)] == ["later"] * 3
    assert weir.get("/oops").status == 500 and weir.get("/none").status == 404


SINATRA = """
require "sinatra/base"
class Site < Sinatra::Base
  set :environment, :production
  get("/hello/:name") { content_type :text; "#{params[:name]} #{params[:a]} #{request.ip} #{request.url}" }
  post("/form") { status 201; response.set_cookie "a", "1"; response.set_cookie "b", "2"; "#{params[:b]}|#{params[:c]}|#{request.body.size}" }
  post("/body") { request.body.read.bytesize.to_s }
  get("/away") { redirect "/hello/x" }
  get("/stream") { stream { |out| 3.times { |i| out << "line #{i}\\n" } } }
  get("/print") { puts "on stdout"; warn "on stderr"; "" }
  get("/oops") { raise "oops" }
end
run Site
"""


@pytest.mark.skipif(subprocess.run(["ruby", "-e", "require 'sinatra/base'"], check=False, capture_output=True).returncode != 0 if shutil.which("ruby") else True,
                    reason="Sinatra is not installed")
def test_sinatra(weir):
    """The same in Ruby, by Rack."""
    weir.expect_log("oops|on std|rb:")
    serve(weir, "config.ru", SINATRA, f"ruby {ROOT / 'etc/rack.rb'} config.ru", "processes=2")
    assert weir.get("/hello/you?a=1").text == "you 1 127.0.0.1 http://localhost/hello/you?a=1"
    form = weir.get("/form", method="POST", body=b"b=2&c=%20", headers=[("Content-Type", "application/x-www-form-urlencoded")])
    assert (form.status, form.text, cookies(form)) == (201, "2| |9", ["a=1", "b=2"])
    assert weir.get("/body", method="POST", body=b"x" * 300_000, headers=[("Content-Type", "application/octet-stream")]).text == "300000"
    away = weir.get("/away")
    assert (away.status, away.header("Location")) == (303, "http://localhost/hello/x") or away.status == 302
    assert weir.get("/stream").text == "line 0\nline 1\nline 2\n"
    assert weir.get("/print").status == 200
    for line in ("on stdout", "on stderr"):
        weir.wait_log(line)
    assert weir.get("/oops").status == 500 and weir.get("/none").status == 404
    assert [weir.get("/hello/a").status for _ in range(5)] == [200] * 5


RACK = """
odd = {
  "/split" => [200, { "Location" => "/x\\r\\nSet-Cookie: evil=1" }, ["x"]],
  "/lines" => [200, { "Set-Cookie" => "a=1\\nb=2" }, ["x"]],
  "/empty" => [204, {}, []],
}
closed = 0
body = Class.new do
  define_method(:each) { |&give| give.call("closed "); give.call(""); give.call(closed.to_s) }
  define_method(:close) { closed += 1 }
end
run(lambda { |env| odd[env["PATH_INFO"]] || [200, { "Content-Type" => "text/plain" }, body.new] })
"""


@pytest.mark.skipif(subprocess.run(["ruby", "-e", "require 'rack'"], check=False, capture_output=True).returncode != 0 if shutil.which("ruby") else True,
                    reason="Rack is not installed")
def test_rack(weir):
    """Headers of several lines, one that would be two, no body, bodies that are closed."""
    weir.expect_log("control character|rack.rb")
    serve(weir, "config.ru", RACK, f"ruby {ROOT / 'etc/rack.rb'} config.ru")
    assert cookies(weir.get("/lines")) == ["a=1", "b=2"]
    assert weir.get("/empty").status == 204
    assert [weir.get("/").text for _ in range(3)] == ["closed 0", "closed 1", "closed 2"]
    assert weir.get("/split").status == 500
    assert weir.get("/").status == 200
