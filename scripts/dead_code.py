"""Report code that nothing uses, as vulture finds it, and fail if there is any.

Fields of value types are left out: they are the shape of data that is built from rows and encoded whole, so a field
that no line of code names is still in use.
"""

import ast
import sys
import tomllib
from pathlib import Path

from vulture.core import Vulture

_ROOT = Path(__file__).resolve().parent.parent


def field_lines(path: Path) -> set[int]:
    """The lines on which a class declares an annotated field."""
    tree = ast.parse(path.read_text(encoding="utf-8"))
    classes = (node for node in ast.walk(tree) if isinstance(node, ast.ClassDef))
    return {entry.lineno for node in classes for entry in node.body if isinstance(entry, ast.AnnAssign)}


def dead_code(paths: list[str]) -> list[str]:
    """One line for each unused piece of code in the files and folders."""
    config = tomllib.loads((_ROOT / "pyproject.toml").read_text(encoding="utf-8"))["tool"]["vulture"]
    vulture = Vulture(ignore_names=config["ignore_names"], ignore_decorators=config["ignore_decorators"])
    vulture.scavenge(paths)
    return [
        item.get_report()
        for item in vulture.get_unused_code(min_confidence=config["min_confidence"])
        if item.typ != "variable" or item.first_lineno not in field_lines(item.filename)
    ]


if __name__ == "__main__":
    unused = dead_code(sys.argv[1:])
    sys.stdout.write("".join(f"{line}\n" for line in unused))
    sys.exit(bool(unused))
