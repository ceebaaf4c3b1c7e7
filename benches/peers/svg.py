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
LEFT, RIGHT, LINE, TOP = 250, 90, 22, 62


def bars(title, unit, rows, width=760):
    """`rows`: name, value, and perhaps the ends of a range; on a logarithmic scale, for they lie far apart."""
    rows = [row for row in rows if row[1]]
    low = 10 ** math.floor(math.log10(min(row[1] for row in rows) * 0.9))
    high = max(max(row[1:]) for row in rows) * 1.1
    height = TOP + LINE * len(rows) + 34

    def x(value):
        share = math.log10(max(value, low) / low) / math.log10(high / low)
        return LEFT + share * (width - LEFT - RIGHT)

    parts = [f'<svg xmlns="http://www.w3.org/2000/svg" viewBox="0 0 {width} {height}" width="{width}" height="{height}">',
             STYLE, f'<rect class="paper" width="{width}" height="{height}" rx="6"/>',
             f'<text class="title" x="12" y="24">{escape(title)}</text>', f'<text class="unit" x="12" y="44">{escape(unit)}</text>']
    power = low
    while power <= high:
        for value in (power, power * 2, power * 5):
            if low <= value <= high:
                parts.append(f'<line class="grid" x1="{x(value):.1f}" x2="{x(value):.1f}" y1="{TOP - 6}" y2="{height - 28}"/>')
            if value == power and value <= high:
                parts.append(f'<text class="tick" text-anchor="middle" x="{x(value):.1f}" y="{height - 10}">{value:g}</text>')
        power *= 10
    for index, (name, value, *ends) in enumerate(rows):
        y = TOP + LINE * index
        kind = "own" if name.startswith(("gateway", "incumbent")) else "floor" if name.startswith("floor") else "bar"
        parts.append(f'<text text-anchor="end" x="{LEFT - 8}" y="{y + 13}">{escape(name)}</text>')
        parts.append(f'<rect class="{kind}" x="{LEFT}" y="{y + 2}" width="{x(value) - LEFT:.1f}" height="{LINE - 7}" rx="2"/>')
        if ends:
            parts.append(f'<line class="range" x1="{x(ends[0]):.1f}" x2="{x(ends[1]):.1f}" y1="{y + 9.5}" y2="{y + 9.5}"/>')
        end = max([value, *ends])
        parts.append(f'<text x="{x(end) + 6:.1f}" y="{y + 13}">{value:.3g}</text>')
    return "\n".join([*parts, "</svg>"]) + "\n"
