"""How much the tests notice: small faults are put into the code, one at a time, and the tests must fail for each.

python -m benchmarks.mutants                                every fault that can be put into the modules below; takes an hour or two
python -m benchmarks.mutants --seed 1 --each 25             a random sample of 25 for each module, the same for the same seed
python -m benchmarks.mutants training.engine.schedules --each 40    one module

A fault that no test notices is printed: either a test is missing, or the fault changes nothing that anyone could see.
"""

import argparse
import ast
import copy
import importlib.machinery
import importlib.util
import multiprocessing
import os
import random
import sys
import threading
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass
from multiprocessing.process import BaseProcess
from pathlib import Path

import pytest
import torch

ROOT = Path(__file__).parents[1]
_FORKING = threading.Lock()  # a process that is forked while another thread starts one may wait for ever for what that thread holds
_SECONDS = 120  # that the tests of one module may take; a fault that makes them hang is noticed too

# Which tests are to notice a fault in which module
_STEP = (
    "tests/training/engine/test_step.py",
    *(
        f"tests/training/config/test_recipes.py::{name}"
        for name in (
            "test_one_step_of_every_recipe",
            "test_code_heads_learn_with_the_discriminator",
            "test_label_and_code_heads_work_side_by_side",
            "test_an_auxiliary_classifier_learns_from_real_images_alone",
            "test_the_average_begins_at_the_generator_and_lags_behind",
        )
    ),
)
_ENGINE = tuple(f"tests/serving/test_{name}.py" for name in ("batching", "device_thread", "load"))
TESTS: dict[str, tuple[str, ...]] = {
    "training.losses.adversarial": ("tests/training/losses/test_adversarial.py", *_STEP),
    "training.losses.gradient_penalty": ("tests/training/losses/test_gradient_penalty.py", *_STEP),
    "training.engine.schedules": ("tests/training/engine/test_schedules.py", *_STEP),
    "training.engine.step": _STEP,
    "training.engine.minibatch": (*(f"tests/training/engine/test_{name}.py" for name in ("minibatch", "accumulation")), *_STEP),
    "training.losses.diffaugment": (
        "tests/training/losses/test_diffaugment.py",
        "tests/training/losses/test_gradient_penalty.py",
        *_STEP,
    ),
    "serving.admission": ("tests/serving/test_admission.py", *_ENGINE),
    "serving.batching": _ENGINE,
    "serving.batch_queue": _ENGINE,
    "training.engine.phases": ("tests/training/engine/test_phases.py", *_STEP),
}

_SWAPS: dict[type[ast.AST], type[ast.AST]] = {
    ast.Add: ast.Sub,
    ast.Sub: ast.Add,
    ast.Mult: ast.Div,
    ast.Div: ast.Mult,
    ast.FloorDiv: ast.Mult,
    ast.Mod: ast.Mult,
    ast.Lt: ast.LtE,
    ast.LtE: ast.Lt,
    ast.Gt: ast.GtE,
    ast.GtE: ast.Gt,
    ast.Eq: ast.NotEq,
    ast.NotEq: ast.Eq,
    ast.Is: ast.IsNot,
    ast.IsNot: ast.Is,
    ast.In: ast.NotIn,
    ast.NotIn: ast.In,
    ast.And: ast.Or,
    ast.Or: ast.And,
}
_NAMES = {"min": "max", "max": "min", "mean": "sum", "sum": "mean"}


@dataclass(frozen=True)
class Mutant:
    """A module with one fault."""

    module: str
    line: int
    source: str  # of the whole module
    change: str  # for people


def faults(node: ast.AST) -> Iterator[ast.AST]:
    """Replacements of one node of the syntax tree, each a fault."""
    if isinstance(node, (ast.BinOp, ast.BoolOp, ast.AugAssign)) and type(node.op) in _SWAPS:
        yield _with(node, op=_SWAPS[type(node.op)]())
    elif isinstance(node, ast.Compare) and type(node.ops[0]) in _SWAPS:
        yield _with(node, ops=[_SWAPS[type(node.ops[0])](), *node.ops[1:]])
    elif isinstance(node, ast.UnaryOp):
        yield node.operand
    elif isinstance(node, (ast.If, ast.IfExp)):
        yield from (_with(node, test=ast.Constant(value)) for value in (True, False))
    elif isinstance(node, ast.Constant) and isinstance(node.value, (bool, int, float)):
        yield ast.Constant(not node.value if isinstance(node.value, bool) else node.value + 1)
    elif isinstance(node, ast.Name) and node.id in _NAMES:
        yield _with(node, id=_NAMES[node.id])
    elif isinstance(node, ast.Attribute) and node.attr in _NAMES:
        yield _with(node, attr=_NAMES[node.attr])
    elif isinstance(node, ast.Expr) and isinstance(node.value, ast.Call):
        yield ast.Pass()


def _with(node: ast.AST, **fields: object) -> ast.AST:
    changed = copy.copy(node)
    for name, value in fields.items():
        setattr(changed, name, value)
    return changed


def mutants(module: str) -> list[Mutant]:
    """All faults of a module, in the order of its lines; strings, annotations and defaults of dataclasses are left alone."""
    path = ROOT / (module.replace(".", "/") + ".py")
    text = path.read_text()
    tree, lines, found = ast.parse(text), text.splitlines(), []
    for parent, field, place, node in _code(tree):
        for fault in faults(node):
            siblings = getattr(parent, field)
            if place is None:
                setattr(parent, field, fault)
            else:
                siblings[place] = fault
            source = ast.unparse(ast.fix_missing_locations(tree))
            line = getattr(node, "lineno", 1)
            change = f"{lines[line - 1].strip()}\n      {_start(node)}  ->  {_start(fault)}"
            found.append(Mutant(module, line, source, change))
            if place is None:
                setattr(parent, field, node)
            else:
                siblings[place] = node
    return found


def _start(node: ast.AST) -> str:
    return ast.unparse(ast.fix_missing_locations(node)).partition("\n")[0]


def _code(node: ast.AST) -> Iterator[tuple[ast.AST, str, int | None, ast.AST]]:
    for field, value in ast.iter_fields(node):
        if field in ("annotation", "returns", "decorator_list", "type_params"):
            continue
        for place, child in enumerate(value) if isinstance(value, list) else [(None, value)]:
            if isinstance(child, ast.AST):
                yield node, field, place, child
                yield from _code(child)


class _Replaced(importlib.machinery.SourceFileLoader):
    """Loads a module from source other than its file."""

    def __init__(self, mutant: Mutant) -> None:
        super().__init__(mutant.module, str(ROOT / (mutant.module.replace(".", "/") + ".py")))
        self._source = mutant.source

    def find_spec(self, name: str, _: object = None, __: object = None) -> importlib.machinery.ModuleSpec | None:
        return importlib.util.spec_from_file_location(name, self.path, loader=self) if name == self.name else None

    def get_code(self, _: str) -> object:
        return compile(self._source, self.path, "exec")


def _run_tests(mutant: Mutant | None, tests: tuple[str, ...]) -> None:
    """Run the tests in this process, forked for it: exit status 0 if they pass."""
    os.setsid()
    nothing = os.open(os.devnull, os.O_RDWR)
    for descriptor in (0, 1, 2):
        os.dup2(nothing, descriptor)
    torch.set_num_threads(1)
    if mutant is not None:
        sys.meta_path.insert(0, _Replaced(mutant))
    os._exit(pytest.main(["-x", "-q", "-p", "no:cacheprovider", "-p", "no:xdist", "--timeout=40", *tests]))


def passes(mutant: Mutant | None, tests: tuple[str, ...]) -> bool:
    """Whether the tests pass in spite of the fault. Forks, so that torch is imported once for all faults."""
    child: BaseProcess = multiprocessing.get_context("fork").Process(target=_run_tests, args=(mutant, tests))
    with _FORKING:
        child.start()
    child.join(_SECONDS)
    if child.is_alive():
        os.killpg(child.pid or 0, 9)
        child.join()
    return child.exitcode == 0


def main() -> int:
    """Run the command; returns its exit status, 1 if a fault went unnoticed."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawTextHelpFormatter)
    parser.add_argument("modules", nargs="*", choices=[[], *TESTS], help="by default all")
    parser.add_argument("--each", type=int, help="how many faults of a module to try, chosen by --seed; by default all")
    parser.add_argument("--seed", type=int, default=0)
    options = parser.parse_args()
    os.chdir(ROOT)
    unnoticed = 0
    for module in options.modules or TESTS:
        if not passes(None, TESTS[module]):
            raise SystemExit(f"{module}: its tests fail without a fault: {' '.join(TESTS[module])}")
        tried = mutants(module)
        if options.each is not None and options.each < len(tried):
            tried = sorted(random.Random(options.seed).sample(tried, options.each), key=lambda mutant: mutant.line)
        with ThreadPoolExecutor(os.cpu_count()) as pool:
            survived = [m for m, alive in zip(tried, pool.map(lambda m: passes(m, TESTS[m.module]), tried), strict=True) if alive]
        print(f"{module}: {len(tried) - len(survived)} of {len(tried)} faults noticed", flush=True)
        for mutant in survived:
            print(f"  {mutant.line}: {mutant.change}", flush=True)
        unnoticed += len(survived)
    return int(unnoticed > 0)


if __name__ == "__main__":
    sys.exit(main())
