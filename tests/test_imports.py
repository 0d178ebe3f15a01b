"""Imports go one way: between the packages there is no circle, not even through two different modules."""

import ast
import tomllib
from graphlib import CycleError, TopologicalSorter
from pathlib import Path

import pytest

ROOT = Path(__file__).resolve().parents[1]
PACKAGES = ("gan", "serving", "training")
COMMANDS = (
    *(
        "gan.bench",
        "gan.bulk",
        "gan.sample",
        "serving.store",
        "training.run",
        "training.evaluate",
        "training.compare",
        "training.publish",
        "training.watch",
        "training.export.__main__",
    ),
    *("training.convert.__main__", "training.directions.__main__", "training.encoder.__main__"),
    *("gan.encoder", "gan.scoring"),  # which stand above gan.runtimes, and are for serving and training
)


def module_name(path: Path) -> str:
    return ".".join(path.relative_to(ROOT).with_suffix("").parts).removesuffix(".__init__")


def imported_by(source: str, modules: set[str]) -> set[str]:
    """The modules that a source imports, inside functions too, but not for type checkers alone."""
    found = set()

    def visit(node: ast.AST) -> None:
        if isinstance(node, ast.If) and "TYPE_CHECKING" in ast.unparse(node.test):
            return
        if isinstance(node, ast.Import):
            found.update(alias.name for alias in node.names)
        elif isinstance(node, ast.ImportFrom):
            found.update(f"{node.module}.{alias.name}" for alias in node.names)
            found.update({node.module} if any(f"{node.module}.{alias.name}" not in modules for alias in node.names) else ())
        for child in ast.iter_child_nodes(node):
            visit(child)

    visit(ast.parse(source))
    return found & modules


def imports() -> dict[str, set[str]]:
    paths = {module_name(path): path for package in PACKAGES for path in (ROOT / package).rglob("*.py")}
    return {name: imported_by(path.read_text(), set(paths)) for name, path in paths.items()}


def package_of(module: str) -> str:
    """The folder that a module is in; a command stands above all folders."""
    path = ROOT.joinpath(*module.split("."))
    return module if module in COMMANDS or path.is_dir() else module.rpartition(".")[0]


def circle(graph: dict[str, set[str]]) -> list[str]:
    try:
        TopologicalSorter(graph).prepare()
    except CycleError as error:
        return list(error.args[1])
    return []


def by_package(graph: dict[str, set[str]]) -> dict[str, set[str]]:
    packages: dict[str, set[str]] = {}
    for module, imported in graph.items():
        inside = package_of(module)
        packages.setdefault(inside, set()).update({package_of(name) for name in imported} - {inside})
    return packages


def test_no_module_imports_itself_through_others():
    assert circle(imports()) == []


def test_no_package_imports_itself_through_others():
    assert circle(by_package(imports())) == []


@pytest.mark.parametrize(
    ("package", "others"), [("gan", {"serving", "training"}), ("serving", {"training"}), ("training", {"serving"})]
)
def test_the_service_does_not_know_the_training_nor_the_other_way(package, others):
    for module, imported in imports().items():
        if module.partition(".")[0] == package:
            assert {name.partition(".")[0] for name in imported} & others == set(), module


def test_a_circle_is_found():
    modules = {"a", "a.b", "c"}
    assert imported_by("from a import b\ndef f():\n    import c\n", modules) == {"a.b", "c"}
    assert imported_by("if TYPE_CHECKING:\n    import c\n", modules) == set()
    assert circle({"a": {"b"}, "b": {"c"}, "c": {"a"}}) != []


def test_every_package_is_installed():
    project = tomllib.loads((ROOT / "pyproject.toml").read_text())
    written = {
        str(path.parent.relative_to(ROOT)).replace("/", ".") for top in PACKAGES for path in (ROOT / top).rglob("__init__.py")
    }
    assert sorted(project["tool"]["setuptools"]["packages"]) == sorted(written)


def test_what_few_need_is_imported_where_it_is_needed():
    """So that programs start without it, and as quickly."""
    optional = {"huggingface_hub", "mlflow", "pyarrow", "ray", "wandb"}
    for package in PACKAGES:
        for path in (ROOT / package).rglob("*.py"):
            for node in ast.parse(path.read_text()).body:
                if isinstance(node, ast.Import | ast.ImportFrom):
                    names = [alias.name for alias in node.names] if isinstance(node, ast.Import) else [str(node.module)]
                    assert not {name.partition(".")[0] for name in names} & optional, path
