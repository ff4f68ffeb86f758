"""The test that tests the code: sizes, names, leftovers and what must not be in the repository."""

import ast
import importlib.metadata
import re
from collections.abc import Iterator
from functools import cache
from pathlib import Path

import pytest

ROOT = Path(__file__).resolve().parent.parent
PACKAGES = ("trueup", "cdc", "clickhouse", "reconcile", "streams", "dashboards")
CODE_FOLDERS = (*PACKAGES, "tests", "benchmarks")

LINES_PER_FILE_MAX = 400
LINES_PER_FUNCTION_MAX = 60
VAGUE_NAMES = {"utils", "util", "helpers", "helper", "manager", "managers", "misc"}
# Made by tools or by running the system; hidden folders other than .ci are left out as well.
GENERATED_FOLDERS = {"__pycache__", "build", "dist", "data", "secrets", "node_modules", "static"}
# Near money a binary float loses cents.
EXACT_PACKAGES = ("trueup/model", "reconcile", "cdc", "streams")
# What talks to people on standard output.
PRINTING = ("trueup/cli", "benchmarks")

# This file has to name them. A bare XXX is also a currency code, so it counts in comments only.
LEFTOVER = re.compile(
    r"\b(?:TODO|FIXME|NotImplementedError)\b|#.*\bXXX\b|\bpytest\.(?:skip|xfail|importorskip)|\bmark\.(?:skip|xfail)"
)
HOME_FOLDER = re.compile(r"(?<![\w.])/(?:home|Users)/\w|(?<![\w.])/roo[t]/")
REGISTRY_HOSTS = (
    ("pypi", "org"),
    ("pythonhosted", "org"),
    ("repo1", "maven", "org"),
    ("repo", "maven", "apache", "org"),
    ("registry", "npmjs"),
    ("registry", "yarnpkg"),
    ("proxy", "golang", "org"),
    ("crates", "io"),
    ("deb", "debian", "org"),
    ("docker", "io/"),
)
REGISTRY = re.compile("|".join(re.escape(".".join(labels)) for labels in REGISTRY_HOSTS))


@cache
def text_files() -> dict[Path, str]:
    """Every text file of the working copy, by its path from the root."""
    found: dict[Path, str] = {}
    for path in sorted(ROOT.rglob("*")):
        relative = path.relative_to(ROOT)
        folders = relative.parts[:-1]
        if any(part in GENERATED_FOLDERS or (part.startswith(".") and part != ".ci") for part in folders):
            continue
        if path.is_file() and not path.is_symlink():
            try:
                found[relative] = path.read_text(encoding="utf-8")
            except UnicodeDecodeError:
                continue
    return found


@cache
def modules() -> dict[Path, ast.Module]:
    """The syntax tree of every Python file of ours."""
    return {
        path: ast.parse(text, filename=str(path))
        for path, text in text_files().items()
        if path.suffix == ".py" and path.parts[0] in CODE_FOLDERS
    }


def functions(tree: ast.AST) -> Iterator[ast.FunctionDef | ast.AsyncFunctionDef]:
    for node in ast.walk(tree):
        if isinstance(node, ast.FunctionDef | ast.AsyncFunctionDef):
            yield node


def lies_in(path: Path, *places: str) -> bool:
    """Whether the file is one of the places, or in one of these folders."""
    return any(path.as_posix().removesuffix(".py") == place or path.is_relative_to(place) for place in places)


def called(node: ast.AST) -> str:
    """The last name of what is called: `raises` for `pytest.raises(…)`; empty when it has none."""
    if not isinstance(node, ast.Call):
        return ""
    if isinstance(node.func, ast.Attribute):
        return node.func.attr
    return node.func.id if isinstance(node.func, ast.Name) else ""


def calls_of(name: str, tree: ast.AST) -> list[int]:
    """The lines that call the plain name."""
    return [
        node.lineno
        for node in ast.walk(tree)
        if isinstance(node, ast.Call) and isinstance(node.func, ast.Name) and node.func.id == name
    ]


def matches(pattern: re.Pattern[str]) -> list[str]:
    return [
        f"{path}:{number}: {line.strip()[:100]}"
        for path, text in text_files().items()
        for number, line in enumerate(text.splitlines(), start=1)
        if pattern.search(line)
    ]


def expects(node: ast.AST) -> bool:
    """Whether it is an assertion of Playwright: `expect(…).to_…`, or `expect(…).not_to_…`."""
    return (
        isinstance(node, ast.Call)
        and isinstance(node.func, ast.Attribute)
        and node.func.attr.startswith(("to_", "not_to_"))
        and called(node.func.value) == "expect"
    )


def asserts(function: ast.AST) -> bool:
    return any(
        isinstance(node, ast.Assert)
        or called(node) in {"raises", "warns"}
        or called(node).startswith("assert_")
        or expects(node)
        for node in ast.walk(function)
    )


def test_the_code_is_found() -> None:
    assert Path("tests/test_tidy.py") in modules()
    assert Path("dashboards/__init__.py") in modules()
    assert Path("Makefile") in text_files()


def test_files_are_short() -> None:
    long = {str(path): len(text_files()[path].splitlines()) for path in modules()}
    assert {path: lines for path, lines in long.items() if lines > LINES_PER_FILE_MAX} == {}


def test_functions_fit_a_screen() -> None:
    long = [
        f"{path}:{function.lineno}: {function.name} has {lines} lines"
        for path, tree in modules().items()
        for function in functions(tree)
        if (lines := (function.end_lineno or function.lineno) - function.lineno + 1) > LINES_PER_FUNCTION_MAX
    ]
    assert long == []


def test_every_module_says_its_purpose() -> None:
    assert [str(path) for path, tree in modules().items() if not ast.get_docstring(tree)] == []


def test_no_module_has_a_vague_name() -> None:
    vague = [str(path) for path in modules() if VAGUE_NAMES & set(re.split(r"[_/.]", path.as_posix()))]
    assert vague == []


def test_nothing_is_left_for_later() -> None:
    left = [match for match in matches(LEFTOVER) if not match.startswith("tests/test_tidy.py:")]
    assert left == []


def test_no_float_near_money() -> None:
    floats = [
        f"{path}:{line}"
        for path, tree in modules().items()
        if lies_in(path, *EXACT_PACKAGES)
        for line in calls_of("float", tree)
    ]
    assert floats == []


def test_only_the_command_line_prints() -> None:
    prints = [
        f"{path}:{line}"
        for path, tree in modules().items()
        if not lies_in(path, *PRINTING)
        for line in calls_of("print", tree)
    ]
    assert prints == []


def test_every_test_asserts_something() -> None:
    silent = [
        f"{path}:{function.lineno}: {function.name}"
        for path, tree in modules().items()
        if path.parts[0] == "tests" and path.name.startswith("test_")
        for function in functions(tree)
        if function.name.startswith("test_") and not asserts(function)
    ]
    assert silent == []


def test_no_home_folder_is_named() -> None:
    assert matches(HOME_FOLDER) == []


def test_no_package_registry_is_named() -> None:
    assert matches(REGISTRY) == []


def test_the_lock_pins_every_requirement_by_hash() -> None:
    requirements = re.split(r"\n(?=[A-Za-z])", (ROOT / "requirements.lock").read_text(encoding="utf-8"))
    pinned = [text for text in requirements if not text.startswith("#")]
    assert len(pinned) > 50
    assert [text.splitlines()[0] for text in pinned if "==" not in text or "--hash=sha256:" not in text] == []


@pytest.mark.parametrize("package", CODE_FOLDERS)
def test_no_dependency_installs_a_package_named_like_ours(package: str) -> None:
    intruders = {
        distribution.name
        for distribution in importlib.metadata.distributions()
        for file in distribution.files or []
        if file.parts[0] in {package, f"{package}.py"} and distribution.name != "trueup"
    }
    assert intruders == set()
