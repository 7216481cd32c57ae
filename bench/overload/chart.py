"""Line charts as SVG: panels with shared colours and one legend, by the standard library alone.

The texts stay texts, and the background is painted, so that a page may show the file on any colour.
"""

import math
from dataclasses import dataclass, field
from xml.sax.saxutils import escape

WIDTH = 960
MARGIN = 24
HEAD, LEGEND = 66, 26  # title and note; the legend, unless each panel has its own
LEFT, RIGHT, ABOVE, BELOW = 62, 18, 34, 46  # around a panel's axes
INK, FAINT, GRID, BAND = "#1f2933", "#66727f", "#e4e8ec", "#f3f5f8"
FONT = "font-family=\"'Helvetica Neue',Helvetica,Arial,'Liberation Sans',sans-serif\""
MOST_MARKERS = 20  # a series with more points is a line alone


@dataclass(frozen=True)
class Series:
    """One line: y None leaves a gap."""
    label: str
    colour: str
    points: list  # [(x, y)]
    dash: str = ""
    width: float = 2
    step: bool = False


@dataclass
class Panel:
    title: str
    x_label: str
    y_label: str
    series: list
    x_ticks: list = None  # given: their values, on a logarithmic axis; None: a linear axis
    y_log: bool = False
    y_max: float = None
    bands: list = field(default_factory=list)  # [(from x, to x, text)]: phases, every other one shaded
    lines: list = field(default_factory=list)  # [(y, text)]: a dashed line across


def number(value):
    """1 500 000 as 1.5M, 6400 as 6 400."""
    if value >= 1e6:
        return f"{value / 1e6:g}M"
    return f"{value:,.10g}".replace(",", "\u2009")


def nice_ticks(top, about=5):
    """From 0 to at least top in steps of 1, 2 or 5 times a power of ten."""
    raw = max(top, 1e-9) / about
    power = 10 ** math.floor(math.log10(raw))
    step = next(power * factor for factor in (1, 2, 5, 10) if power * factor >= raw * 0.999)
    return [step * i for i in range(math.ceil(top / step - 1e-9) + 1)]


def log_ticks(low, high):
    """1, 2 and 5 times each power of ten, if there is room for that many; else the powers alone."""
    first, last = math.floor(math.log10(low)), math.ceil(math.log10(high))
    factors = (1, 2, 5) if last - first <= 2 else (1,)
    ticks = [factor * 10.0 ** power for power in range(first, last + 1) for factor in factors]
    return [tick for tick in ticks if low / 1.001 <= tick <= high * 1.001]


class Axes:
    """Where a panel's values lie in the picture."""

    def __init__(self, panel, left, top, width, height):
        self.panel, self.left, self.top, self.width, self.height = panel, left, top, width, height
        xs = [x for series in panel.series for x, _ in series.points]
        ys = [y for series in panel.series for _, y in series.points if y is not None] + [y for y, _ in panel.lines]
        self._set_x(xs)
        self._set_y([y for y in ys if y > 0] or [1])

    def _set_x(self, xs):
        self.x_ticks = self.panel.x_ticks or nice_ticks(max(xs), 8)
        self.x_from, self.x_to = self.x_ticks[0], self.x_ticks[-1]
        if not self.panel.x_ticks:
            self.x_to = max(xs)
            self.x_ticks = [tick for tick in self.x_ticks if tick <= self.x_to * 1.001]

    def _set_y(self, ys):
        top = self.panel.y_max or max(ys)
        if self.panel.y_log:
            self.y_from = 10 ** math.floor(math.log10(min(ys)))
            self.y_to = top * 1.25
            self.y_ticks = log_ticks(self.y_from, self.y_to)
        else:
            named = any(label for _, _, label in self.panel.bands)
            self.y_ticks = nice_ticks(top * 1.15 if named else top)
            self.y_from, self.y_to = 0, self.y_ticks[-1]

    def x(self, value):
        if self.panel.x_ticks:
            share = math.log(value / self.x_from) / math.log(self.x_to / self.x_from)
            return self.left + self.width * (0.04 + 0.92 * share)
        return self.left + self.width * (value - self.x_from) / (self.x_to - self.x_from)

    def y(self, value):
        value = min(value, self.y_to)
        if self.panel.y_log:
            share = math.log(max(value, self.y_from) / self.y_from) / math.log(self.y_to / self.y_from)
        else:
            share = value / self.y_to
        return self.top + self.height * (1 - share)


def text(x, y, content, size=12, colour=INK, anchor="start", more=""):
    return (f'<text x="{x:.1f}" y="{y:.1f}" font-size="{size}" fill="{colour}" text-anchor="{anchor}"{more}>'
            f"{escape(content)}</text>")


def line(x1, y1, x2, y2, colour=GRID, width=1, dash=""):
    dashes = f' stroke-dasharray="{dash}"' if dash else ""
    return (f'<line x1="{x1:.1f}" y1="{y1:.1f}" x2="{x2:.1f}" y2="{y2:.1f}" stroke="{colour}" '
            f'stroke-width="{width}"{dashes}/>')


def draw_frame(axes):
    """Bands, grid, ticks and labels."""
    panel, right, bottom = axes.panel, axes.left + axes.width, axes.top + axes.height
    out = []
    for index, (start, end, label) in enumerate(panel.bands):
        left, until = axes.x(start), axes.x(min(end, axes.x_to))
        if index % 2:
            out.append(f'<rect x="{left:.1f}" y="{axes.top:.1f}" width="{until - left:.1f}" '
                       f'height="{axes.height:.1f}" fill="{BAND}"/>')
        if label:
            out.append(text((left + until) / 2, axes.top + 15, label, 12, FAINT, "middle", ' font-weight="600"'))
    for tick in axes.y_ticks:
        out.append(line(axes.left, axes.y(tick), right, axes.y(tick)))
        out.append(text(axes.left - 7, axes.y(tick) + 4, number(tick), 11, FAINT, "end"))
    for tick in axes.x_ticks:
        out.append(line(axes.x(tick), bottom, axes.x(tick), bottom + 4, FAINT))
        out.append(text(axes.x(tick), bottom + 17, number(tick), 11, FAINT, "middle"))
    for value, label in panel.lines:
        out.append(line(axes.left, axes.y(value), right, axes.y(value), FAINT, 1.2, "5 4"))
        out.append(text(axes.left + 6, axes.y(value) - 6, label, 11, FAINT))
    out.append(line(axes.left, bottom, right, bottom, FAINT))
    out.append(text(axes.left - LEFT + 14, axes.top - 12, panel.title, 13, INK, more=' font-weight="600"'))
    out.append(text(right, axes.top - 12, panel.y_label, 11, FAINT, "end"))
    out.append(text(axes.left + axes.width / 2, bottom + 34, panel.x_label, 11, FAINT, "middle"))
    return out


def runs(points):
    """The stretches of points without a gap."""
    run = []
    for x, y in points:
        if y is None:
            if run:
                yield run
            run = []
        else:
            run.append((x, y))
    if run:
        yield run


def draw_series(axes, series):
    out = []
    dash = f' stroke-dasharray="{series.dash}"' if series.dash else ""
    for run in runs(series.points):
        places = [(axes.x(x), axes.y(y)) for x, y in run]
        if series.step:
            places = [place for (x, y), (after, _) in zip(places, places[1:] + places[-1:])
                      for place in ((x, y), (after, y))]
        path = " ".join(f"{x:.1f},{y:.1f}" for x, y in places)
        out.append(f'<polyline points="{path}" fill="none" stroke="{series.colour}" stroke-width="{series.width}" '
                   f'stroke-linejoin="round" stroke-linecap="round"{dash}/>')
        if len(series.points) <= MOST_MARKERS:
            out += [f'<circle cx="{x:.1f}" cy="{y:.1f}" r="3.6" fill="{series.colour}" stroke="#fff" '
                    'stroke-width="1.2"/>' for x, y in places]
    return out


def draw_legend(panels, x, y, size=12):
    """Each label once, in the order in which they come."""
    seen = {}
    for panel in panels:
        for series in panel.series:
            seen.setdefault(series.label, series)
    out = []
    for label, series in seen.items():
        out.append(line(x, y - 4, x + 26, y - 4, series.colour, max(series.width, 2), series.dash))
        out.append(text(x + 33, y, label, size))
        x += 33 + size * 0.56 * len(label) + 24
    return out


def draw(path, title, note, panels, columns=1, panel_height=220, own_legends=False):
    """Writes the panels to path, row by row, with so many columns."""
    column_width = (WIDTH - 2 * MARGIN) / columns
    row_height = ABOVE + panel_height + BELOW
    head = HEAD if own_legends else HEAD + LEGEND
    height = head + row_height * math.ceil(len(panels) / columns) + 8
    body = [text(MARGIN + 14, 34, title, 18, INK, more=' font-weight="600"'), text(MARGIN + 14, 55, note, 12, FAINT)]
    if not own_legends:
        body += draw_legend(panels, MARGIN + 14, head - 14)
    for index, panel in enumerate(panels):
        left = MARGIN + column_width * (index % columns) + LEFT
        axes = Axes(panel, left, head + row_height * (index // columns) + ABOVE, column_width - LEFT - RIGHT,
                    panel_height)
        body += draw_frame(axes)
        if own_legends:
            body += draw_legend([panel], left + WIDTH * 0.24, axes.top - 12, 11)
        for series in reversed(panel.series):  # the first lies on top
            body += draw_series(axes, series)
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_text(f'<svg xmlns="http://www.w3.org/2000/svg" viewBox="0 0 {WIDTH} {height}" width="{WIDTH}" '
                    f'height="{height}" {FONT}>\n<rect width="100%" height="100%" fill="#fff"/>\n'
                    + "\n".join(body) + "\n</svg>\n", encoding="utf-8")
