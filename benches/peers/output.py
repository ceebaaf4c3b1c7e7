"""Tables in Markdown, and everything measured as JSON."""

import json
import os
import platform
import time
from pathlib import Path

import svg


def machine():
    model = next((line.split(":")[1].strip() for line in Path("/proc/cpuinfo").read_text().splitlines()
                  if line.startswith("model name")), platform.machine())
    system = next((line.split("=")[1].strip('"') for line in Path("/etc/os-release").read_text().splitlines()
                   if line.startswith("PRETTY_NAME=")), "?")
    release = platform.release().split("-")[0]
    return f"{time.strftime('%Y-%m-%d')}, {os.cpu_count()} × {model}, Linux {release}, {system}"


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
                           [(f"**{row['name']}**" if row["name"].startswith("gateway") else row["name"],
                             ms(row.get("median")), ms(row.get("p10")), ms(row.get("p90")),
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
    lines = [(row["name"], f"{row['ms']:.0f}", f"{row['ratio']:.2f}", one_or_more(row), row["herds"],
              row["told"] or "–", row["hanging"] or "–") for row in rows]
    return table([f"{rows[0]['count']} at once", "ms, until all are decided", "÷ /bin/false", "winners", "herds",
                  "told that it runs", "hanging"], lines)


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


WORDS = {"times": "Whole processes", "behaviour": "After an accident", "herds": "Herds",
         "death": "From a death to the next holder"}
EXPLAINED = {
    "times": "Milliseconds from the spawn to the end (for a start that becomes the holder: of `gateway` and its floor to the line "
             "`holding`, after which it is killed, so that the next finds its files left over; of the others, which hold and end). "
             "Everything on one processor, in turns.",
    "behaviour": "What the next start does after a `kill -9` and an accident with it (yes: it holds, without any cleaning up by "
                 "hand), and what is seen of a holder that was stopped by SIGSTOP, with an empty and with a full queue of its "
                 "socket. –: there is no such case, or it was not tried. A lock alone cannot tell a stopped holder from a healthy one, and does not claim to.",
    "herds": "All started at once, one after the other as fast as that goes, until the last one that was refused has ended.",
    "death": "All three waiters wait for the same death; the kernel frees the memory first, and closes the files then.",
}


def head(command, versions, left_out):
    lines = ["# Beside others", "", f"{machine()}. Repeated by `{command}`. Only ratios within one table count.", "",
             "Measured: " + ", ".join(f"{name} {version}" for name, version in versions) + ".", ""]
    return "\n".join([*lines, *(f"- {line}" for line in left_out)]) + "\n"


def write(out, first, parts):
    """`parts`: of each its data, targets, table, and plots by name."""
    text = first
    for name, (data, aims, table_text, plots) in parts.items():
        text += f"\n## {WORDS[name]}\n\n{EXPLAINED[name]}\n\n"
        for plot, content in plots.items():
            (out / f"{plot}.svg").write_text(content)
            text += f"![{plot}]({plot}.svg)\n\n"
        text += (targets(aims) + "\n" if aims else "") + table_text
    (out / "peers.md").write_text(text)
    data = {name: {"rows": data, "targets": aims} for name, (data, aims, _, _) in parts.items()}
    (out / "peers.json").write_text(json.dumps({"machine": machine()} | data, indent=1, ensure_ascii=False) + "\n")


def plots_of_times(rows):
    def plot(kind, title):
        own = sorted((row for row in rows if row["kind"] == kind and row["n"]), key=lambda row: row["median"])
        bars = [(row["name"], row["median"], row["p10"], row["p90"]) for row in own]
        return svg.bars(title, "milliseconds, median and p10–p90", bars)

    return {"status": plot("status", "How long does it take to ask a living holder?"),
            "refused": plot("refused", "How long does a start take that is refused?")}


def plot_of_herds(rows):
    own = sorted(((row["name"], row["ratio"]) for row in rows), key=lambda row: row[1])
    return {"herds": svg.bars(f"{rows[0]['count']} starts at once", "÷ as many /bin/false", own)}


def short(rows):
    """For the README: who recovers, and what a status says of a stopped holder."""
    columns = ["killed", "forked", "executed", "recycled", "zombie", "status", "full_status"]

    def cell(row, column):
        found = row[column]
        if found is None:
            return "–"
        if found["code"] is None:
            return "hangs"
        if "status" not in column:
            return "yes" if found["code"] == 0 else "**no**"
        runs = row["name"].startswith(("gateway", "incumbent"))
        if runs and found["code"] == 4:
            return f"unresponsive ({found['s']:.0f} s)"
        return "it runs" if found["code"] == 0 else "an error"

    heads = ["the next start, after", "kill -9", "+ forked child", "+ exec'd child", "pid recycled", "zombie",
             "status when stopped", "and its queue full"]
    return table(heads, [(row["name"], *(cell(row, each) for each in columns)) for row in rows], 99)
