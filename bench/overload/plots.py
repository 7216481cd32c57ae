"""The pictures of the overload benchmark: how the systems fare at each level, and how weir's limit follows a step."""

from overload.chart import Panel, Series, draw

# Told apart by any eye, and by lightness in print; the dash tells a variant from its like.
LOOKS = {
    "weir-1": ("#0b6fb8", "", 2.8),
    "weir-2": ("#0b6fb8", "7 4", 2),
    "weir-codel": ("#12967a", "", 2),
    "weir-pool": ("#8a94a0", "2 4", 2),
    "nginx": ("#d1570b", "", 2),
    "haproxy": ("#b0468f", "", 2),
}
BLUE, GREEN, ORANGE, PURPLE, GREY = "#0b6fb8", "#12967a", "#d1570b", "#b0468f", "#8a94a0"


def level_series(points, metric):
    names = dict.fromkeys(name for _, systems in points for name in systems)
    return [Series(name, LOOKS[name][0], [(x, systems.get(name, {}).get(metric)) for x, systems in points],
                   LOOKS[name][1], LOOKS[name][2]) for name in LOOKS if name in names]


def level_panels(points, capacity, admitted_ms, kind, x_label):
    ticks = [x for x, _ in points]
    return [Panel(f"Goodput, {kind}", x_label, "answers 200 per second", level_series(points, "goodput"), ticks,
                  y_max=capacity * 1.05, lines=[(capacity, f"possible: {capacity:,}".replace(",", "\u2009"))]),
            Panel(f"Latency of the answers, {kind}", x_label, "p99, ms", level_series(points, "p99"), ticks, y_log=True,
                  lines=[(admitted_ms, f"target: {admitted_ms} ms")])]


def levels(path, points, capacity, admitted_ms):
    """points: {"closed" or "open": [(x, {system: {metric: value}})]}. False: there are too few for a line."""
    panels = []
    for kind, x_label in (("closed", "clients that come back at once"), ("open", "arrivals, x what can be answered")):
        if len(points[kind]) > 1:
            panels += level_panels(points[kind], capacity, admitted_ms, f"{kind} loop", x_label)
    if not panels:
        return False
    draw(path, "Overload: a location of 10 ms, 64 at once",
         "Servers and load generator share two cores; medians. Refused clients come back at once (closed) or are "
         "counted and forgotten (open).", panels, 2)
    return True


def bands(phases):
    """The phases as stretches of time with their texts."""
    result, begin = [], 0
    for phase in phases:
        result.append((begin, begin + phase.seconds, phase.text))
        begin += phase.seconds
    return result


def over_time(rows, metric, label, colour, dash="", **more):
    """A figure of 0 where latency is meant is one of no answers: a gap."""
    gap = metric.endswith(("p50", "p99"))
    return Series(label, colour, [(row["at"], None if gap and row[metric] == 0 else row[metric]) for row in rows], dash,
                  **more)


def gradient_step(path, phases, results):
    rows, marks = results["gradient"], bands(phases)
    shades = [(begin, end, "") for begin, end, _ in marks]
    panels = [
        Panel("The limit, and what it limits", "", "requests", [
            over_time(rows, "limit", "limit", BLUE, step=True, width=2.6),
            over_time(rows, "in_flight", "in flight", GREEN), over_time(rows, "queued", "queued", GREY)], bands=marks),
        Panel("Requests", "", "per second", [
            over_time(rows, "offered", "offered", GREY, "2 4"), over_time(rows, "goodput", "answered", GREEN),
            over_time(rows, "refusals", "refused", ORANGE)], bands=shades),
        Panel("Latency of the answers", "seconds", "ms", [
            over_time(rows, "p99", "p99", PURPLE), over_time(rows, "p50", "p50", PURPLE, "2 4")], bands=shades),
    ]
    draw(path, "policy=gradient: the service slows down and recovers",
         f"A location of {phases[0].text}, then {phases[1].text}, then {phases[2].text}, on 64 threads; "
         f"{phases[0].rate:g} arrivals a second throughout.", panels, panel_height=170, own_legends=True)


def codel_step(path, phases, results):
    marks = bands(phases)
    shades = [(begin, end, "") for begin, end, _ in marks]
    codel, fixed = results["codel"], results["fixed"]
    panels = [
        Panel("Requests", "", "per second", [
            over_time(codel, "offered", "offered", GREY, "2 4"), over_time(codel, "goodput", "codel", GREEN, width=2.6),
            over_time(fixed, "goodput", "fixed", ORANGE)], bands=marks),
        Panel("Waiting for a permit", "", "requests", [
            over_time(codel, "queued", "codel", GREEN, width=2.6), over_time(fixed, "queued", "fixed", ORANGE)],
            bands=shades),
        Panel("Latency of the answers", "seconds", "p99, ms", [
            over_time(codel, "p99", "codel", GREEN, width=2.6), over_time(fixed, "p99", "fixed", ORANGE)], bands=shades,
            y_log=True),
    ]
    draw(path, "policy=codel: an overload comes and goes",
         f"Arrivals: {phases[0].text} what can be answered, then {phases[1].text}, then {phases[2].text}; "
         "limit 64, a queue of 1024.", panels, panel_height=170, own_legends=True)
