#!/usr/bin/env python3
"""Writes weir.json, the dashboard for Grafana, from a list of panels: make grafana."""

import json
import sys

RATE = "[$__rate_interval]"


def by(metric, more="", **labels):
    """A selector of the chosen servers."""
    rest = "".join(f',{name}="{value}"' for name, value in labels.items()) + (f",{more}" if more else "")
    return f'{metric}{{instance=~"$instance"{rest}}}'


def rate(metric, *names, more=""):
    return f"sum by ({', '.join(names)}) (rate({by(metric, more)}{RATE}))"


def quantile(share, metric, *names):
    return f"histogram_quantile({share}, {rate(metric + '_bucket', 'le', *names)})"


def total(metric, *names, **labels):
    return f"sum by ({', '.join(names)}) ({by(metric, **labels)})"


def quantiles(metric, *names):
    legend = "".join(f" {{{{{name}}}}}" for name in names)
    return [(quantile(share, metric, *names), f"p{int(share * 100)}{legend}") for share in (0.5, 0.9, 0.99)]


# Title, unit, and (query, legend) of each line; None: a row begins.
PANELS = [
    ("Requests", None, None),
    ("Requests by status", "reqps", [(rate("weir_http_requests_total", "code"), "{{code}}")]),
    ("Duration", "s", quantiles("weir_http_request_duration_seconds")),
    ("Refused by limits", "reqps", [(rate("weir_concurrency_rejected_total", "zone", "reason"), "{{zone}} {{reason}}")]),
    ("Connections", "short", [(total("weir_connections", "state"), "{{state}}")]),
    ("By server and location", None, None),
    ("Requests of zones", "reqps", [(rate("weir_zone_requests_total", "server", "zone", "code"), "{{server}} {{zone}} {{code}}")]),
    ("p99 of zones", "s", [(quantile(0.99, "weir_zone_request_duration_seconds", "server", "zone"), "{{server}} {{zone}}")]),
    ("p99 of waiting in zones", "s", [(quantile(0.99, "weir_zone_queue_wait_seconds", "server", "zone"), "{{server}} {{zone}}")]),
    ("Bytes of zones", "Bps", [(rate("weir_zone_bytes_total", "server", "zone", "direction"), "{{server}} {{zone}} {{direction}}")]),
    ("Pools and limits", None, None),
    ("Threads", "short", [(total("weir_pool_threads", "pool", "state"), "{{pool}} {{state}}"), (total("weir_pool_threads_max", "pool"), "{{pool}} most")]),
    ("Queues", "short", [(total("weir_pool_queue_length", "pool"), "{{pool}}")]),
    ("Waiting for a thread", "s", quantiles("weir_pool_queue_wait_seconds", "pool")),
    ("Handlers", "s", quantiles("weir_pool_task_duration_seconds", "pool")),
    ("Permits", "short", [(total("weir_concurrency_in_flight", "zone"), "{{zone}} held"), (total("weir_concurrency_queued", "zone"), "{{zone}} waiting"),
                          (total("weir_concurrency_limit", "zone"), "{{zone}} limit")]),
    ("Processes of applications", "short", [(total("weir_pool_processes", "pool"), "{{pool}}")]),
    ("Upstreams", None, None),
    ("Requests to upstreams", "reqps", [(rate("weir_upstream_requests_total", "upstream", "server", "code"), "{{upstream}} {{server}} {{code}}")]),
    ("p99 of upstreams", "s", [(quantile(0.99, "weir_upstream_response_seconds", "upstream", "server"), "{{upstream}} {{server}}")]),
    ("Failures of upstreams", "reqps", [(rate("weir_upstream_failures_total", "upstream", "server"), "{{upstream}} {{server}}")]),
    ("Servers that are up", "short", [(by("weir_upstream_server_up"), "{{upstream}} {{server}}")]),
    ("The server", None, None),
    ("CPU of workers", "percentunit", [(rate("weir_worker_cpu_seconds_total", "instance"), "{{instance}}")]),
    ("Memory", "bytes", [(total("weir_memory_bytes", "kind"), "{{kind}}")]),
    ("Workers that died", "short", [(f"sum by (reason) (increase({by('weir_worker_restarts_total')}{RATE}))", "{{reason}}")]),
    ("Handshakes", "reqps", [(rate("weir_tls_handshakes_total", "result"), "{{result}}")]),
    ("Days of certificates", "d", [(f"({by('weir_tls_certificate_expiry_timestamp_seconds')} - time()) / 86400", "{{server}}")]),
    ("Lines of logs lost", "short", [(f"sum(increase({by('weir_log_lines_lost_total')}{RATE}))", "lost")]),
]
WIDTH, HEIGHT, COLUMNS = 8, 8, 24


def panel(number, title, unit, lines, x, y):
    return {"id": number, "type": "timeseries", "title": title, "datasource": {"type": "prometheus", "uid": "$source"},
            "gridPos": {"x": x, "y": y, "w": WIDTH, "h": HEIGHT},
            "fieldConfig": {"defaults": {"unit": unit, "min": 0, "custom": {"fillOpacity": 10, "showPoints": "never"}}, "overrides": []},
            "targets": [{"refId": chr(65 + i), "expr": query, "legendFormat": legend} for i, (query, legend) in enumerate(lines)]}


def panels():
    found, x, y = [], 0, 0
    for number, (title, unit, lines) in enumerate(PANELS, 1):
        if lines is None:
            y, x = y + (HEIGHT if x else 0), 0
            found.append({"id": number, "type": "row", "title": title, "collapsed": False, "gridPos": {"x": 0, "y": y, "w": COLUMNS, "h": 1}, "panels": []})
            y += 1
            continue
        found.append(panel(number, title, unit, lines, x, y))
        x += WIDTH
        if x == COLUMNS:
            x, y = 0, y + HEIGHT
    return found


def variable(name, kind, query, **more):
    return {"name": name, "type": kind, "query": query, **more}


def main():
    source = {"type": "prometheus", "uid": "$source"}
    json.dump({"title": "weir", "uid": "weir", "tags": ["weir"], "schemaVersion": 36, "version": 1, "editable": True, "refresh": "10s",
               "time": {"from": "now-1h", "to": "now"}, "panels": panels(),
               "templating": {"list": [variable("source", "datasource", "prometheus"),
                                       variable("instance", "query", "label_values(weir_build_info, instance)", datasource=source, multi=True, includeAll=True, refresh=2)]}},
              sys.stdout, indent=1)
    print()


if __name__ == "__main__":
    main()
