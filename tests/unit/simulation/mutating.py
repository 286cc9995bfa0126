"""One small change of a module's source at a time: an operator, a number, a condition, or a statement that is left out."""

from __future__ import annotations

import ast
from collections.abc import Iterator, Sequence
from copy import deepcopy
from typing import Final

import attrs

_OTHERWISE: Final[dict[type[ast.AST], type[ast.AST]]] = {
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
    ast.Add: ast.Sub,
    ast.Sub: ast.Add,
    ast.Mult: ast.FloorDiv,
    ast.FloorDiv: ast.Mult,
}
"""An operator, and what it becomes."""


@attrs.frozen
class Mutation:
    """The change at the `index`-th place of a module where something can be changed."""

    index: int
    line: int
    what: str
    text: str
    """The line that it is in, by which a list of mutations can name it."""
    within: range | None
    """The lines of which one has to run for the change to matter. None: what runs at import."""


def mutations(source: str) -> list[Mutation]:
    """All that can be changed."""
    tree, lines = ast.parse(source), source.splitlines()
    within = dict(_lines_within(tree, None))
    return [
        Mutation(index, node.lineno, ast.unparse(node)[:80], lines[node.lineno - 1].strip(), within[node])
        for index, node in enumerate(_places(tree))
    ]


def mutated(source: str, mutation: Mutation) -> str:
    """The module with that change."""
    tree = ast.parse(source)
    place = list(_places(tree))[mutation.index]
    return ast.unparse(ast.fix_missing_locations(_Changing(place).visit(tree)))


def _places(tree: ast.AST) -> Iterator[ast.expr | ast.stmt]:
    """In what runs: no text, no annotation, no words of what is raised."""
    for node in ast.iter_child_nodes(tree):
        if isinstance(node, (ast.Raise, ast.JoinedStr, ast.ImportFrom, ast.Import, ast.Assert)):
            continue
        if _can_change(node):
            assert isinstance(node, (ast.expr, ast.stmt))
            yield node
        for part in _parts(node):
            yield from _places(part)


def _lines_within(node: ast.AST, within: range | None) -> Iterator[tuple[ast.AST, range | None]]:
    """Each node below, with the lines of its statement, or, for a default of a parameter, of its function."""
    for each in ast.iter_child_nodes(node):
        inner = within
        if isinstance(each, ast.FunctionDef) or (isinstance(each, ast.stmt) and within is not None):
            inner = _own_lines(each)
        elif isinstance(each, ast.ClassDef):
            inner = None
        yield each, inner
        yield from _lines_within(each, inner)


def _own_lines(statement: ast.stmt) -> range:
    """Those before a block within it; all of a function's, because its own line runs at import."""
    end = statement.end_lineno or statement.lineno
    body = [] if isinstance(statement, ast.FunctionDef) else getattr(statement, "body", [])
    if body:
        end = max(statement.lineno, body[0].lineno - 1)
    return range(statement.lineno, end + 1)


def _parts(node: ast.AST) -> Sequence[ast.AST]:
    """Where to look within a node. A place is looked for among the children of what is given, so each part gets a parent."""
    match node:
        case ast.AnnAssign(value=value):
            return [ast.Expression(value)] if value else []
        case ast.FunctionDef(args=arguments, body=body):
            defaults = [default for default in (*arguments.defaults, *arguments.kw_defaults) if default]
            return [*(ast.Expression(each) for each in defaults), ast.Module(body, [])]
        case _:
            return [node]


def _can_change(node: ast.AST) -> bool:
    match node:
        case ast.Compare(ops=[op]) | ast.BoolOp(op=op) | ast.BinOp(op=op):
            return type(op) in _OTHERWISE and not _is_about_types(node)
        case ast.Constant(value=value):
            return type(value) is int or type(value) is bool
        case ast.UnaryOp(op=ast.Not()) | ast.If() | ast.IfExp():
            return True
        case ast.Expr(value=ast.Call()):
            return True
        case _:
            return False


def _is_about_types(node: ast.AST) -> bool:
    """`int | None` is no arithmetic."""
    return isinstance(node, ast.BinOp) and isinstance(node.op, ast.BitOr)


class _Changing(ast.NodeTransformer):
    """Changes one node."""

    def __init__(self, place: ast.AST) -> None:
        self._place = place

    def visit(self, node: ast.AST) -> ast.AST:
        return _changed(node) if node is self._place else self.generic_visit(node)


def _changed(node: ast.AST) -> ast.AST:
    changed = deepcopy(node)
    match changed:
        case ast.Compare(ops=[op]):
            changed.ops = [_OTHERWISE[type(op)]()]  # type: ignore[list-item]
        case ast.BoolOp(op=op) | ast.BinOp(op=op):
            changed.op = _OTHERWISE[type(op)]()  # type: ignore[assignment]
        case ast.Constant(value=bool() as value):
            changed.value = not value
        case ast.Constant(value=int() as value):
            changed.value = value + 1
        case ast.UnaryOp(operand=operand):
            return operand
        case ast.If(test=test) | ast.IfExp(test=test):
            changed.test = ast.UnaryOp(ast.Not(), test)
        case _:
            return ast.Pass()
    return changed
