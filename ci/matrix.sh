#!/usr/bin/env bash
# Holds docs/rfc3507-matrix.md to what it says: every number has one row, every row a test or a reason, every test that
# is named exists.
set -euo pipefail
cd "$(dirname "$0")/.."

exec python3 - docs/rfc3507-matrix.md <<'EOF'
import re
import sys
from pathlib import Path

# First and last number of each section.
REQUIREMENTS = [
    (1, 11), (20, 32), (40, 58), (60, 76), (80, 90), (100, 119), (130, 143), (150, 176), (180, 188), (190, 205),
    (210, 226), (230, 238), (240, 257), (260, 271), (280, 290), (300, 319), (400, 418),
]
EXPECTED = {f"ICAP-{n:03}" for first, last in REQUIREMENTS for n in range(first, last + 1)}
EXPECTED |= {f"L-{n:02}" for n in range(1, 52)}
# What must be named somewhere in the tables.
SOURCES = {
    "switch of Leniency": ("crates/icap-proto/src/leniency.rs", r"^        (\w+),$"),
    "field of Limits": ("crates/icap-proto/src/limits.rs", r"^    pub (\w+):"),
}

# An ignored test holds nothing.
TEST = re.compile(
    r"^\s*#\[(?:tokio::)?test\b[^\]]*\]\s*(?:(?:#\[(?!ignore)[^\]]*\]|//[^\n]*)\s*)*(?:async\s+)?fn\s+(\w+)",
    re.M,
)
PROPTEST = re.compile(r"proptest!\s*\{(.*?)^\}", re.S | re.M)

faults = []
document = Path(sys.argv[1]).read_text()
rows, tests, open_rows, notes, refused = {}, set(), 0, 0, 0
folders = dict(re.findall(r"^\| `(\w+/)` \| `([\w/.-]+/)` \|$", document, re.M))
found = {}


def tests_in(path):
    if path not in found:
        text = path.read_text() if path.is_file() else None
        if text is None:
            found[path] = None
        else:
            found[path] = set(TEST.findall(text))
            for block in PROPTEST.findall(text):
                found[path] |= set(re.findall(r"\bfn\s+(\w+)", block))
    return found[path]


for number, line in enumerate(document.splitlines(), 1):
    match = re.match(r"\| ((?:ICAP|L|LIMIT)-\d+) \|", line)
    if not match:
        continue
    row, cells = match[1], [cell.strip() for cell in line.strip().strip("|").split(" | ")]
    where = f"{sys.argv[1]}:{number}: {row}"
    if row in rows:
        faults.append(f"{where} stands twice")
    rows[row] = cells
    if len(cells) != (4 if row[0] == "L" else 3) or not all(cells[:2]):
        faults.append(f"{where}: wrong number of cells")
        continue
    last = cells[-1]
    named = re.findall(r"`([\w-]+/)(\w+)::(\w+)`", last)
    for prefix, file, function in named:
        name = f"{prefix}{file}::{function}"
        tests.add(name)
        if prefix not in folders:
            faults.append(f"{where}: no folder for {name}")
            continue
        there = tests_in(Path(folders[prefix]) / f"{file}.rs")
        if there is None:
            faults.append(f"{where}: no file for {name}")
        elif function not in there:
            faults.append(f"{where}: no test {name}")
    if "::" in re.sub(r"`[\w-]+/\w+::\w+`", "", last.split("open:")[0].split("note:")[0]):
        faults.append(f"{where}: a test is named in another way")
    reason = re.search(r"\b(open|note): (.*)", last)
    if reason and reason[1] == "open":
        open_rows += 1
        if not re.match(r"(?:icap(?:-\w+)?)\b.+", reason[2]):
            faults.append(f"{where}: open says no crate or not what is missing")
    elif reason:
        notes += 1
    if row.startswith("L-"):
        refused += cells[2] == "never"
    if not named and not reason and not (row.startswith("L-") and cells[2] == "never"):
        faults.append(f"{where}: neither a test nor a reason")

numbered = {row for row in rows if not row.startswith("LIMIT-")}
for row in sorted(EXPECTED - numbered):
    faults.append(f"{sys.argv[1]}: {row} is missing")
for row in sorted(numbered - EXPECTED):
    faults.append(f"{sys.argv[1]}: {row} is not on the list")
for what, (path, pattern) in SOURCES.items():
    names = re.findall(pattern, Path(path).read_text(), re.M)
    if not names:
        faults.append(f"{path}: no {what} found")
    for name in names:
        if not re.search(rf"`(?:Limits::)?{name}`", document):
            faults.append(f"{sys.argv[1]}: no row for the {what} `{name}`")

print(f"{len(rows)} rows, {len(tests)} tests, {open_rows} open, {notes} notes, {refused} never")
if faults:
    print("\n".join(faults), file=sys.stderr)
    sys.exit(1)
EOF
