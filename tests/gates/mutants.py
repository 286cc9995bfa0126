"""Small mistakes, one at a time: a module's source with one place changed.

A comparison that is off by one or turned over, `and` for `or`, a condition that is dropped, a sum for a difference, a number one
greater, a statement with an effect left out. Texts, annotations, and what an observer is told are left alone: no money hangs on
them.
"""

from __future__ import annotations

import ast
from collections.abc import Iterator
from copy import deepcopy
from typing import Final

import attrs

_COMPARED: Final[dict[type[ast.cmpop], type[ast.cmpop]]] = {
    ast.Lt: ast.LtE,
    ast.LtE: ast.Lt,
    ast.Gt: ast.GtE,
    ast.GtE: ast.Gt,
    ast.Eq: ast.NotEq,
    ast.NotEq: ast.Eq,
    ast.In: ast.NotIn,
    ast.NotIn: ast.In,
    ast.Is: ast.IsNot,
    ast.IsNot: ast.Is,
}
_COUNTED: Final[dict[type[ast.operator], type[ast.operator]]] = {
    ast.Add: ast.Sub,
    ast.Sub: ast.Add,
    ast.Mult: ast.FloorDiv,
    ast.FloorDiv: ast.Mult,
    ast.Mod: ast.FloorDiv,
}
_ONLY_TOLD: Final = {"trouble", "progress"}
"""What an observer is told."""


@attrs.frozen
class Mutant:
    """The `number`th place of a module that can be changed."""

    module: str
    number: int
    line: int
    change: str

    def __str__(self) -> str:
        return f"{self.module}:{self.line}: {self.change} (#{self.number})"


def mutants_of(module: str, source: str) -> list[Mutant]:
    """Every mutant of a module, in the order of its lines."""
    places = _places(ast.parse(source))
    return [Mutant(module, number, getattr(node, "lineno", 0), change) for number, (node, change) in enumerate(places)]


def mutated(source: str, number: int) -> ast.Module:
    """The module with its `number`th place changed."""
    tree = ast.parse(source)
    for index, (node, _) in enumerate(_places(tree)):
        if index == number:
            _change(tree, node)
            return ast.fix_missing_locations(tree)
    raise IndexError(f"there is no mutant {number}")


def _places(tree: ast.Module) -> Iterator[tuple[ast.AST, str]]:
    """Each place that can be changed, with what is done there."""
    for node in _code(tree):
        match node:
            case ast.Compare(ops=[operator]) if type(operator) in _COMPARED:
                yield node, f"{_text(node)}: {_COMPARED[type(operator)].__name__}"
            case ast.BoolOp(op=operator):
                yield node, f"{_text(node)}: {'or' if isinstance(operator, ast.And) else 'and'}"
            case ast.UnaryOp(op=ast.Not()):
                yield node, f"{_text(node)}: without not"
            case ast.BinOp(op=operator) if type(operator) in _COUNTED and not _is_text(node):
                yield node, f"{_text(node)}: {_COUNTED[type(operator)].__name__}"
            case ast.Constant(value=bool() as value):
                yield node, f"{value}: {not value}"
            case ast.Constant(value=int() as value):
                yield node, f"{value}: {value + 1}"
            case ast.IfExp():
                yield node, f"{_text(node)}: the other way round"
            case ast.comprehension(ifs=[condition, *_]):
                yield node, f"for … if {_text(condition)}: unconditionally"
            case ast.Expr(value=ast.Call(func=called)) if _name(called) not in _ONLY_TOLD:
                yield node, f"{_text(node)}: left out"
            case _:
                pass


def _code(tree: ast.AST) -> Iterator[ast.AST]:
    """Every node that is run for its meaning: no annotations, no docstrings, no refusals' texts, no decorators."""
    for name, value in ast.iter_fields(tree):
        if name in {"annotation", "returns", "decorator_list", "type_params"} or isinstance(
            tree, (ast.Raise, ast.Assert, ast.JoinedStr)
        ):
            continue
        for child in value if isinstance(value, list) else [value]:
            if isinstance(child, ast.AST):
                yield child
                yield from _code(child)


def _change(tree: ast.Module, node: ast.AST) -> None:
    match node:
        case ast.Compare(ops=[operator]):
            node.ops = [_COMPARED[type(operator)]()]
        case ast.BoolOp(op=operator):
            node.op = ast.Or() if isinstance(operator, ast.And) else ast.And()
        case ast.UnaryOp(operand=operand):
            _replace(tree, node, operand)
        case ast.BinOp(op=operator):
            node.op = _COUNTED[type(operator)]()
        case ast.Constant(value=bool() as value):
            node.value = not value
        case ast.Constant(value=int() as value):
            node.value = value + 1
        case ast.IfExp(body=body, orelse=orelse):
            node.body, node.orelse = orelse, body
        case ast.comprehension():
            node.ifs = node.ifs[1:]
        case ast.Expr():
            _replace(tree, node, ast.Pass())
        case _:
            raise AssertionError("no place of ours")


def _replace(tree: ast.Module, old: ast.AST, new: ast.AST) -> None:
    for parent in ast.walk(tree):
        for name, value in ast.iter_fields(parent):
            if value is old:
                setattr(parent, name, new)
                return
            if isinstance(value, list) and any(each is old for each in value):
                setattr(parent, name, [new if each is old else each for each in value])
                return


def _is_text(node: ast.BinOp) -> bool:
    return any(
        isinstance(side, ast.JoinedStr) or (isinstance(side, ast.Constant) and isinstance(side.value, str))
        for side in (node.left, node.right)
    )


def _name(called: ast.expr) -> str:
    return called.attr if isinstance(called, ast.Attribute) else ""


def _text(node: ast.AST) -> str:
    text = " ".join(ast.unparse(deepcopy(node)).split())
    return text if len(text) <= 70 else text[:69] + "…"
