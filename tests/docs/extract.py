#!/usr/bin/env python3
"""Turns the C++ blocks of the documentation into source files, so that what the documentation shows compiles.

A block that starts with #include is a file of its own. The other blocks of a document make one file together, after
prelude.hpp (or prelude_<document>.hpp), each at namespace scope; with `<!-- body -->` in the line before it, a block is
the body of a task.

usage: extract.py OUTPUT_DIR DOCUMENT...
Prints the files it wrote, separated by semicolons.
"""
import pathlib
import re
import sys

BLOCK = re.compile(r"(?P<body><!-- body -->\n)?```cpp\n(?P<code>.*?)```", re.S)


def sources(document):
    """Yields (suffix, content) for each file that a document makes."""
    text = document.read_text(encoding="utf-8")
    fragments = []
    for number, match in enumerate(BLOCK.finditer(text), 1):
        origin = f"// {document.name}:{text.count(chr(10), 0, match.start('code')) + 1}\n"
        code = match["code"]
        if code.startswith(("#include", "#define")):
            yield str(number), origin + code
        elif match["body"]:
            fragments.append(f"{origin}rill::task<> body_{number}() {{\n{code}co_return;\n}}\n")
        else:
            fragments.append(origin + code)
    if fragments:
        own = f"prelude_{document.stem}.hpp"
        prelude = own if pathlib.Path(__file__).with_name(own).exists() else "prelude.hpp"
        yield "fragments", f'#include "{prelude}"\n\n' + "\n".join(fragments)


def main():
    out = pathlib.Path(sys.argv[1])
    out.mkdir(parents=True, exist_ok=True)
    written = []
    for document in map(pathlib.Path, sys.argv[2:]):
        for suffix, content in sources(document):
            path = out / f"{document.stem.replace('-', '_').lower()}_{suffix}.cpp"
            if not path.exists() or path.read_text(encoding="utf-8") != content:
                path.write_text(content, encoding="utf-8")
            written.append(str(path))
    if not written:
        sys.exit("no C++ block in any document")
    print(";".join(written), end="")


if __name__ == "__main__":
    main()
