"""Every row of docs/reliability.md's table names tests that there are: python3 check_reliability.py <project>"""

import pathlib
import re
import sys

project = pathlib.Path(sys.argv[1])
table = (project / "docs/reliability.md").read_text(encoding="utf-8").split("## ")[1]
rows = [
    line
    for line in table.splitlines()
    if line.startswith("| ") and not line.startswith("| fault |")
]
assert len(rows) > 20, "the table is gone"
for row in rows:
    names = re.findall(r"`([^`]+)`", row.rstrip("| ").rsplit(" | ", 1)[1])
    assert names, f"no test is named: {row}"
    for name in names:
        places = [project / name, *(project / "tests" / (name + end) for end in ("_test.cpp", "_test.py", ".cpp"))]
        assert any(place.exists() for place in places), f"there is no {name}"
print(f"{len(rows)} faults, each with its tests")
