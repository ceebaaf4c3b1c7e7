"""Tables in Markdown, and everything measured as JSON."""

import json
import os
import platform
import time
from pathlib import Path


def machine():
    model = next((line.split(":")[1].strip() for line in Path("/proc/cpuinfo").read_text().splitlines()
                  if line.startswith("model name")), platform.machine())
    system = next((line.split("=")[1].strip('"') for line in Path("/etc/os-release").read_text().splitlines()
                   if line.startswith("PRETTY_NAME=")), "?")
    return f"{time.strftime('%Y-%m-%d')}, {os.cpu_count()} × {model}, Linux {platform.release()}, {system}"


def table(head, rows, right=1):
    """A table; the first `right` columns stand left, the others right."""
    bar = [" --- " if at < right else " ---: " for at in range(len(head))]
    lines = ["| " + " | ".join(head) + " |", "|" + "|".join(bar) + "|"]
    lines += ["| " + " | ".join(str(cell) for cell in row) + " |" for row in rows]
    return "\n".join(lines) + "\n"


def ms(value):
    return "–" if value is None else f"{value:.2f}" if value < 10 else f"{value:.1f}" if value < 100 else f"{value:.0f}"


def targets(rows):
    def verdict(ratio, most):
        return "not measured" if ratio is None else "ok" if ratio <= most else "MISSED"

    def share(value):
        return "–" if value is None else f"{value:.2f}" if value > 0.05 else f"1/{1 / value:.0f}"

    return table(["target", "measured", "at most", ""],
                 [(what, share(ratio), share(most), verdict(ratio, most)) for what, ratio, most in rows])


def times(rows):
    parts = []
    words = {"floor": "what any process costs", "status": "status of a living holder", "refused": "a start that is refused",
             "first": "a start that becomes the holder"}
    floors = {"status": "floor status", "refused": "floor refused", "first": "floor start, files left over", "floor": "/bin/true"}
    for kind, title in words.items():
        floor = next((row.get("median") for row in rows if row["kind"] == kind and row["name"] == floors[kind]), None)
        own = sorted((row for row in rows if row["kind"] == kind), key=lambda row: row.get("median") or 1e9)
        parts.append(table([title, "ms", "p10", "p90", f"÷ {floors[kind]}", "n"],
                           [(f"**{row['name']}**" if row["name"].startswith("gateway") else row["name"], ms(row.get("median")), ms(row.get("p10")), ms(row.get("p90")),
                             ms(row["median"] / floor) if floor and row["n"] else "–", row["n"]) for row in own]))
    return "\n".join(parts)


def write(out, name, data, text):
    (out / f"{name}.json").write_text(json.dumps(data, indent=1, ensure_ascii=False) + "\n")
    (out / f"{name}.md").write_text(text)
