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
        if value is None or isinstance(value, int):
            return "–" if value is None else str(value)
        return f"{value:.2f}" if value > 0.05 else f"1/{1 / value:.0f}"

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


def behaviour(rows, columns):
    def seconds(value):
        return f"{value * 1000:.0f} ms" if value < 1 else f"{value:.1f} s"

    def cell(row, column):
        found = row[column]
        if found is None:
            return "–"
        if found["code"] is None:
            return f"hangs > {row['limit']:.0f} s"
        if "status" in column:
            words = {0: "it runs", 4: "unresponsive"} if row["name"].startswith(("gateway", "incumbent")) else {0: "it runs"}
            said = words.get(found["code"], f"error {found['code']}")
        elif column in ("second", "full_second"):
            said = "**started**" if found["code"] == 0 else "refused"
        else:
            said = "yes" if found["code"] == 0 else "**no**"
        return f"{said}, {seconds(found['s'])}"

    return table(["", *columns.values()], [(row["name"], *(cell(row, each) for each in columns)) for row in rows], 99)


def herds(rows):
    lines = [(row["name"], f"{row['ms']:.0f}", f"{row['ratio']:.2f}", one_or_more(row), row["herds"], row["told"] or "–", row["hanging"] or "–")
             for row in rows]
    return table([f"{rows[0]['count']} at once", "ms, until all are decided", "÷ /bin/false", "winners", "herds", "told who or that it runs", "hanging"], lines)


def one_or_more(row):
    if row["name"] == "/bin/false":
        return "–"
    return "1" if row["winners"] == [1] else f"**{', '.join(map(str, row['winners']))}**"


def death(rows):
    lines = []
    for row in rows:
        lines += [(row["megabytes"], name, ms(row[key]["median"]), ms(row[key]["p10"]), ms(row[key]["p90"]), row[key]["n"])
                  for key, name in (("lock", "a bare waiter has the record lock"), ("flock", "flock(1) has run its command"),
                                    ("gateway", "**gateway run --wait holds**"), ("own", "gateway run, files left over: its own start"))]
    return table(["MB resident", "from SIGKILL until", "ms", "p10", "p90", "n"], lines, 2)


def write(out, name, data, text):
    (out / f"{name}.json").write_text(json.dumps(data, indent=1, ensure_ascii=False) + "\n")
    (out / f"{name}.md").write_text(text)
