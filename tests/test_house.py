"""The house keeps its shape: floors, sizes, names, no hidden state, a test beside each module."""

from __future__ import annotations

import ast
import re
import statistics
from collections.abc import Iterator
from dataclasses import dataclass
from functools import cached_property
from pathlib import Path

import pytest

ROOT = Path(__file__).parent.parent

#: An import goes to a lower floor, or stays in its own package. A new package must be given its floor here.
FLOORS = {
    "__init__": 0,
    "model": 0,
    "spec": 1,
    "host": 1,
    "engine": 2,
    "worker": 3,
    "web": 3,
    "client": 3,
    "cli": 4,
    "worker_unit": 4,
    "daemon": 4,
    "__main__": 5,
}

#: What plugins may see of the core.
PLUGINS_SEE = {"model", "spec", "host"}

BAD_NAME = re.compile(r"(^|_)(utils?|helpers?|managers?|misc|common|stuff|handler\d)(_|$)", re.IGNORECASE)
BAD_CLASS = re.compile(r"(Util|Utils|Helper|Helpers|Manager|Misc)$")

MUTABLE_CALLS = {"list", "dict", "set", "bytearray", "defaultdict", "OrderedDict", "Counter", "deque", "ChainMap"}
MUTABLE_NODES = (ast.List, ast.Dict, ast.Set, ast.ListComp, ast.DictComp, ast.SetComp)

Function = ast.FunctionDef | ast.AsyncFunctionDef


@dataclass(frozen=True)
class Module:
    path: Path
    name: str

    @cached_property
    def text(self) -> str:
        return self.path.read_text()

    @cached_property
    def tree(self) -> ast.Module:
        return ast.parse(self.text, self.path)

    @property
    def part(self) -> str:
        """The package on the first level: ``model``, ``daemon``, or ``plugins``."""
        if self.name.startswith("hypersdkd_plugins"):
            return "plugins"
        return (*self.name.split("."), "__init__")[1]

    @cached_property
    def functions(self) -> list[Function]:
        return [node for node in ast.walk(self.tree) if isinstance(node, Function)]

    @cached_property
    def imports(self) -> set[str]:
        """Every module of the project that is imported anywhere in it, under TYPE_CHECKING or in a function too."""
        found: set[str] = set()
        for node in ast.walk(self.tree):
            if isinstance(node, ast.Import):
                found |= {alias.name for alias in node.names}
            elif isinstance(node, ast.ImportFrom):
                assert node.level == 0, f"{self.name} has a relative import: its floor is hard to see"
                inner = {f"{node.module}.{alias.name}" for alias in node.names}
                modules = inner & MODULES.keys()
                found |= modules
                if modules != inner:
                    found.add(node.module or "")
        return {name for name in found if name.split(".")[0] in ("hypersdkd", "hypersdkd_plugins")}


def find_modules() -> Iterator[Module]:
    for package, directory in (("hypersdkd", ROOT / "hypersdkd"), ("hypersdkd_plugins", ROOT / "plugins")):
        for path in sorted(directory.rglob("*.py")):
            parts = path.relative_to(directory).with_suffix("").parts
            name = ".".join((package, *(part for part in parts if part != "__init__")))
            yield Module(path, name)


MODULES = {module.name: module for module in find_modules()}

each_module = pytest.mark.parametrize("module", MODULES.values(), ids=list(MODULES))


@each_module
def test_imports_go_down(module: Module) -> None:
    if module.part == "plugins":
        return
    for name in module.imports:
        assert not name.startswith("hypersdkd_plugins"), f"the core imports the plugin {name}"
        target = MODULES[name].part
        assert target == module.part or FLOORS[target] < FLOORS[module.part], f"{module.name} imports {name}"


@each_module
def test_plugins_see_only_what_is_theirs(module: Module) -> None:
    if module.part != "plugins":
        return
    for name in module.imports - {module.name}:
        assert not name.startswith("hypersdkd_plugins"), f"{module.name} imports the plugin {name}"
        assert MODULES[name].part in PLUGINS_SEE, f"{module.name} imports {name}"


def test_no_import_cycle() -> None:
    done: set[str] = set()

    def visit(name: str, path: tuple[str, ...]) -> None:
        assert name not in path, f"cycle: {' -> '.join((*path[path.index(name) :], name))}"
        if name in done:
            return
        for target in MODULES[name].imports:
            visit(target, (*path, name))
        done.add(name)

    for name in MODULES:
        visit(name, ())


def test_a_cycle_and_a_wrong_floor_would_be_seen(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    (tmp_path / "a.py").write_text("def f():\n    from hypersdkd.model import b\n")
    (tmp_path / "b.py").write_text("if TYPE_CHECKING:\n    import hypersdkd.model.a\nimport hypersdkd.web.c\n")
    for name, file in (("hypersdkd.model.a", "a.py"), ("hypersdkd.model.b", "b.py"), ("hypersdkd.web.c", "c.py")):
        monkeypatch.setitem(MODULES, name, Module(tmp_path / file, name))
    (tmp_path / "c.py").touch()
    with pytest.raises(AssertionError, match="cycle: "):
        test_no_import_cycle()
    with pytest.raises(AssertionError, match=r"b imports hypersdkd\.web\.c"):
        test_imports_go_down(MODULES["hypersdkd.model.b"])


def test_modules_are_small() -> None:
    sizes = {module.name: module.text.count("\n") for module in MODULES.values()}
    assert {name: size for name, size in sizes.items() if size > 400} == {}
    assert statistics.median(size for size in sizes.values() if size > 1) <= 150


def test_functions_are_short() -> None:
    lengths = {
        f"{module.name}:{node.name}": (node.end_lineno or 0) - node.lineno + 1
        for module in MODULES.values()
        for node in module.functions
    }
    assert {name: length for name, length in lengths.items() if length > 60} == {}
    assert sorted(lengths.values())[int(len(lengths) * 0.9)] <= 30


@each_module
def test_every_function_is_annotated(module: Module) -> None:
    for node in module.functions:
        arguments = [*node.args.posonlyargs, *node.args.args, *node.args.kwonlyargs, node.args.vararg, node.args.kwarg]
        bare = [each.arg for each in arguments if each and not each.annotation and each.arg not in ("self", "cls")]
        assert not bare, f"{node.name}: {bare}"
        assert node.returns, node.name


def public(node: ast.Module | ast.ClassDef, at: str) -> Iterator[tuple[str, Function | ast.ClassDef]]:
    for child in node.body:
        if isinstance(child, Function | ast.ClassDef) and not child.name.startswith("_"):
            yield f"{at}.{child.name}", child
            if isinstance(child, ast.ClassDef):
                yield from public(child, f"{at}.{child.name}")


@each_module
def test_everything_public_says_what_it_is_for(module: Module) -> None:
    assert ast.get_docstring(module.tree) or not module.text.strip()
    assert [name for name, node in public(module.tree, module.name) if not ast.get_docstring(node)] == []


@each_module
def test_names_are_of_the_field(module: Module) -> None:
    for part in module.name.split(".")[1:]:
        assert not BAD_NAME.search(part), module.name
    for node in ast.walk(module.tree):
        if isinstance(node, ast.ClassDef):
            assert not BAD_CLASS.search(node.name), node.name


def is_mutable(value: ast.expr | None) -> bool:
    if isinstance(value, MUTABLE_NODES):
        return True
    if isinstance(value, ast.Call):
        name = value.func.attr if isinstance(value.func, ast.Attribute) else getattr(value.func, "id", "")
        return name in MUTABLE_CALLS
    return False


@each_module
def test_no_global_state(module: Module) -> None:
    assert not [node for node in ast.walk(module.tree) if isinstance(node, ast.Global)]
    for node in module.tree.body:
        if not isinstance(node, ast.Assign | ast.AnnAssign) or not is_mutable(node.value):
            continue
        declared = ast.unparse(node.annotation) if isinstance(node, ast.AnnAssign) else ""
        assert "Final" in declared or "Mapping" in declared or ast.unparse(node).startswith("__all__"), (
            f"line {node.lineno}: {ast.unparse(node)[:60]}"
        )


def code_lines(module: Module) -> int:
    """Lines with a statement in a function: what can be right or wrong. Declarations and docstrings are not."""
    lines: set[int] = set()
    for function in module.functions:
        for node in ast.walk(function):
            is_text = isinstance(node, ast.Expr) and isinstance(node.value, ast.Constant)
            if isinstance(node, ast.stmt) and not is_text and node is not function:
                lines.add(node.lineno)
    return len(lines)


@each_module
def test_a_test_stands_where_its_module_does(module: Module) -> None:
    if code_lines(module) <= 30 or module.path.name.startswith("__"):
        return
    home = ROOT / "hypersdkd" if module.part != "plugins" else ROOT
    beside = ROOT / "tests" / module.path.relative_to(home).parent
    names = {path.name for path in beside.glob("test_*.py")}
    stem = f"test_{module.path.stem}"
    assert any(name == f"{stem}.py" or name.startswith(f"{stem}_") for name in names), f"no {beside.name}/{stem}.py"
