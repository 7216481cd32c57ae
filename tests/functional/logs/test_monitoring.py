"""What is installed for Prometheus and Grafana: every metric and label that they ask for is there, and every expression is one."""

import json
import re
import subprocess
import sys

import metrics
import pytest
from tlslib import serve
from weirlib import ROOT, limit

RULES = ROOT / "etc/prometheus/weir.rules.yml"
DASHBOARD = ROOT / "etc/grafana/weir.json"
PROMTOOL = ROOT / "build/tools/promtool"
OF_PROMETHEUS = {"instance", "le"}


def expressions():
    """Those of the dashboard, as Prometheus would get them, and those of the alerts."""
    panels = json.loads(DASHBOARD.read_text())["panels"]
    found = [target["expr"].replace("$__rate_interval", "1m").replace("$instance", ".*") for panel in panels for target in panel.get("targets", [])]
    return found + re.findall(r"^ +expr: (.*)$", RULES.read_text(), re.M)


@pytest.fixture
def samples(weir, authority):
    """All that a server says that has everything: {metric: its labels}."""
    serve(weir, authority, "location /sleep { handler sleep; limit_concurrency z; status_zone a; } location /up { proxy_pass http://up; }", server="status_zone site;",
          http="limit_concurrency_zone z limit=9; upstream up { server 127.0.0.1:1; }")
    types, found = metrics.parse(weir.get("/status?format=prometheus").text)
    labels = {}
    for name, series in found:
        labels.setdefault(name, set()).update(label for label, _ in series)
    for family in types:
        labels.setdefault(family, set())
    return labels


def test_metrics_are_there(samples):
    asked = {name for text in expressions() for name in re.findall(r"\bweir_\w+", text)}
    assert len(asked) > 25 and not asked - set(samples), asked - set(samples)


def test_labels_are_there(samples):
    """By which is summed, and by which is chosen."""
    for text in expressions():
        names = set(re.findall(r"\bweir_\w+", text))
        wanted = {label for group in re.findall(r"by \(([^)]*)\)", text) for label in group.split(", ")}
        wanted |= set(re.findall(r"(\w+)(?:=~|!=|=)\"", text))
        has = set().union(*(samples[name] for name in names)) | OF_PROMETHEUS
        # Of some there is no sample before something has happened.
        assert wanted <= has or not any(samples[name] for name in names), (text, wanted - has)


def test_expressions_are_some(tmp_path):
    """promtool reads all of them, and the rules."""
    if not PROMTOOL.exists():
        pytest.skip("build/tools/promtool is not there")
    rules = {"groups": [{"name": "all", "rules": [{"record": f"r{i}", "expr": text} for i, text in enumerate(expressions())]}]}
    (tmp_path / "all.yml").write_text(json.dumps(rules))  # JSON is YAML, too
    for file in (RULES, tmp_path / "all.yml"):
        done = subprocess.run([PROMTOOL, "check", "rules", file], capture_output=True, text=True, timeout=limit(30))
        assert done.returncode == 0 and "SUCCESS" in done.stdout, done.stdout + done.stderr


def test_dashboard_is_made():
    """make grafana writes it."""
    made = subprocess.run([sys.executable, ROOT / "etc/grafana/make.py"], capture_output=True, text=True, timeout=limit(30))
    assert made.stdout == DASHBOARD.read_text()
    panels = json.loads(made.stdout)["panels"]
    places = [(panel["gridPos"]["x"], panel["gridPos"]["y"]) for panel in panels]
    assert len(set(places)) == len(places) == len({panel["id"] for panel in panels})
