"""Bars, and nothing else, as SVG. The paper is drawn, too, and its colour is the reader's: legible on white and on dark."""

import math
from html import escape

STYLE = """<style>
text { font: 13px system-ui, sans-serif; fill: #1f2328 } .title { font-size: 15px; font-weight: 600 }
.unit, .tick { fill: #59636e } .grid { stroke: #d1d9e0 } .bar { fill: #8c959f } .own { fill: #1a7f37 } .floor { fill: #0969da }
.range { stroke: #1f2328 } .paper { fill: #ffffff }
@media (prefers-color-scheme: dark) {
text { fill: #f0f6fc } .unit, .tick { fill: #9198a1 } .grid { stroke: #3d444d } .bar { fill: #656c76 } .own { fill: #3fb950 }
.floor { fill: #4493f8 } .range { stroke: #f0f6fc } .paper { fill: #0d1117 } }
</style>"""
LEFT, RIGHT, LINE, TOP = 290, 80, 22, 62


def bars(title, unit, rows, width=760):
    """`rows`: name, value, and perhaps the ends of a range. The scale is logarithmic if they lie far apart."""
    rows = [row for row in rows if row[1]]
    far = max(row[1] for row in rows) > 10 * min(row[1] for row in rows)
    low = 10 ** math.floor(math.log10(min(row[1] for row in rows) * 0.9)) if far else 0
    high = max(max(row[1:]) for row in rows) * 1.1
    height = TOP + LINE * len(rows) + 34

    def x(value):
        share = math.log10(max(value, low) / low) / math.log10(high / low) if far else value / high
        return LEFT + share * (width - LEFT - RIGHT)

    parts = [f'<svg xmlns="http://www.w3.org/2000/svg" viewBox="0 0 {width} {height}" width="{width}" height="{height}">',
             STYLE, f'<rect class="paper" width="{width}" height="{height}" rx="6"/>',
             f'<text class="title" x="12" y="24">{escape(title)}</text>', f'<text class="unit" x="12" y="44">{escape(unit + (", logarithmic" if far else ""))}</text>']
    for value, said in ticks(low, high) if far else even(high):
        at = f"{x(value):.1f}"
        parts.append(f'<line class="grid" x1="{at}" x2="{at}" y1="{TOP - 6}" y2="{height - 28}"/>')
        if said:
            parts.append(f'<text class="tick" text-anchor="middle" x="{at}" y="{height - 10}">{value:g}</text>')
    for index, (name, value, *ends) in enumerate(rows):
        y = TOP + LINE * index
        kind = "own" if name.startswith(("gateway", "incumbent")) else "floor" if name.startswith("floor") else "bar"
        parts.append(f'<text text-anchor="end" x="{LEFT - 8}" y="{y + 13}">{escape(name)}</text>')
        parts.append(f'<rect class="{kind}" x="{LEFT}" y="{y + 2}" width="{x(value) - LEFT:.1f}" height="{LINE - 7}" rx="2"/>')
        if ends:
            parts.append(f'<line class="range" x1="{x(ends[0]):.1f}" x2="{x(ends[1]):.1f}" y1="{y + 9.5}" y2="{y + 9.5}"/>')
        end = max([value, *ends])
        parts.append(f'<text x="{x(end) + 6:.1f}" y="{y + 13}">{short(value)}</text>')
    return "\n".join([*parts, "</svg>"]) + "\n"


def ticks(low, high):
    """1, 2 and 5 of each power of ten, and whether it is said."""
    power = low
    while power <= high:
        yield from ((value, value == power) for value in (power, power * 2, power * 5) if value <= high)
        power *= 10


def even(high):
    """Up to six, a round step apart."""
    step = 10 ** math.floor(math.log10(high / 6))
    step *= next(factor for factor in (1, 2, 5, 10) if high / (step * factor) <= 6)
    return [(round(step * count, 9), True) for count in range(int(high / step) + 1)]


def short(value):
    return f"{value:.0f}" if value >= 100 else f"{value:.3g}"
