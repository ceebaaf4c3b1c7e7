#!/usr/bin/env python3
"""Checks that only a reading of the files can make: prints every breach with its place, and exits with 1 if there is one.

1. `unsafe` and `cfg` of a system stand in src/platform only.
2. Nothing of a developer's machine is committed: its paths, its package mirrors.
3. Every test that a page links to is there, in the file that the link names; every linked file is there, and so is
   every test file that a module says it is proven by.
4. Every file of the sources is in the code map of ARCHITECTURE.md, and nothing else.
5. No test is ignored, except the roles that a test binary plays when it starts itself.
"""

import os
import re
import subprocess
import sys
from pathlib import Path

PAGES = ["README.md", "ARCHITECTURE.md", "SECURITY.md", "CONTRIBUTING.md", "CHANGELOG.md", "docs/handover.md"]
SYSTEMS = r"\b(unix|windows|target_os|target_family|target_vendor)\b"
MACHINE = [
    (r"/(?:root|work)/[a-z.]", "a path of one machine"),
    (r"/tmp/(?:wt|bash_jobs)", "a path of one machine"),
    (r"/home/(?!ann/|u/)[a-z0-9]+/", "a path of one machine"),
    (r"https?://[^\s/]*(?:mirror|proxy|artifactory|nexus|internal)[^\s/]*", "a package mirror"),
    (r"\b(?:10\.\d+|192\.168|172\.(?:1[6-9]|2\d|3[01]))\.\d+\.\d+\b", "a private address"),
]
breaches = []


def breach(place, what):
    breaches.append(f"{place}: {what}")


def code_of(line):
    """The line without its comment; a `//` in a string may hide something, which is no matter here."""
    return re.sub(r"(^|\s)//.*", "", line)


files = subprocess.run(["git", "ls-files"], check=True, capture_output=True, text=True).stdout.split("\n")
files = [name for name in files if name and Path(name).is_file()]

# 1
for name in files:
    if not (name.startswith(("src/", "proto/src/")) and name.endswith(".rs")) or name.startswith("src/platform/"):
        continue
    for number, line in enumerate(Path(name).read_text().splitlines(), 1):
        code = code_of(line)
        if re.search(r"\bunsafe\b", code):
            breach(f"{name}:{number}", "`unsafe` outside src/platform")
        if re.search(r"\bcfg(_attr)?!?\s*\(", code) and re.search(SYSTEMS, code):
            breach(f"{name}:{number}", "`cfg` of a system outside src/platform")

# 2
for name in files:
    if name == "ci/rules.py":
        continue
    try:
        text = Path(name).read_text()
    except UnicodeDecodeError:
        continue
    for number, line in enumerate(text.splitlines(), 1):
        for pattern, what in MACHINE:
            if found := re.search(pattern, line):
                breach(f"{name}:{number}", f"{what}: {found.group()}")
lock = Path("Cargo.lock").read_text()
for source in set(re.findall(r'^source = "(.*)"', lock, re.M)):
    if source != "registry+https://github.com/rust-lang/crates.io-index":
        breach("Cargo.lock", f"a package from elsewhere: {source}")

# 3
linked = 0
for page in PAGES:
    if not Path(page).is_file():
        breach(page, "is missing")
        continue
    text = Path(page).read_text()
    for label, target in re.findall(r"\[([^\]]*)\]\(([^)\s]+)\)", text):
        path = target.split("#")[0]
        if path.startswith(("http:", "https:")) or not path:
            continue
        path = os.path.normpath(Path(page).parent / path)
        if not Path(path).exists():
            breach(page, f"links to `{path}`, which is not there")
        elif path.endswith(".rs") and (test := re.fullmatch(r"`([a-z0-9_]+)`", label)):
            linked += 1
            if not re.search(rf"#\[(?:tokio::)?test[^\]]*\]\s*(?:#\[[^\]]*\]\s*)*(?:async )?fn {test[1]}\(", Path(path).read_text()):
                breach(page, f"names the test `{test[1]}`, which is not in {path}")

for name in files:
    if name.startswith(("src/", "proto/src/")) and name.endswith(".rs"):
        base = Path("proto" if name.startswith("proto/") else ".")
        for proof in re.findall(r"^//!.*$", Path(name).read_text(), re.M):
            for path in re.findall(r"`(tests/[a-z_]+\.rs)`", proof):
                if not (base / path).exists():
                    breach(name, f"is proven by `{path}`, which is not there")

# 4
if Path("ARCHITECTURE.md").is_file():
    page = Path("ARCHITECTURE.md").read_text()
    mapped = set(re.findall(r"^\| `([^`]+\.(?:rs|py|sh|md|c)|[^`]*/run|benches/[^`]+)`", page, re.M))
    present = {
        name
        for name in files
        if name.startswith(("src/", "tests/", "examples/", "proto/src/", "proto/tests/", "benches/", "ci/"))
    }
    for name in sorted(present - mapped):
        breach("ARCHITECTURE.md", f"the code map has no line for `{name}`")
    for name in sorted(mapped):
        if not Path(name).exists():
            breach("ARCHITECTURE.md", f"the code map names `{name}`, which is not there")

# 5
tests = 0
for name in files:
    if not name.endswith(".rs"):
        continue
    text = Path(name).read_text()
    tests += len(re.findall(r"^\s*#\[(?:tokio::)?test\b", text, re.M))
    for found in re.finditer(r"^\s*#\[ignore[^\n]*\n(?:\s*#\[[^\n]*\n)*\s*(?:async )?fn (\w+)", text, re.M):
        if not found[1].startswith("role"):
            breach(f"{name}:{text[:found.start(1)].count(chr(10)) + 1}", f"the test `{found[1]}` is ignored")

print(f"{len(files)} files, {tests} tests, {linked} links to tests")
for line in breaches:
    print(line, file=sys.stderr)
sys.exit(1 if breaches else 0)
