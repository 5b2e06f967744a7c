"""The normal form of Python source: the same for sources that compute the same under other local names or in
another layout.

Names of local variables are replaced by numbers, in the order in which a function first mentions them (alpha
equivalence: Barendregt, The Lambda Calculus, 1984, section 2.1). Names that can be seen from outside stay:
those of modules, of classes and their attributes, of functions and their parameters.
"""

import ast
from collections.abc import Iterator
from functools import cache

Names = dict[str, int]  # the number that stands for a local variable, by its name

FUNCTIONS = (ast.FunctionDef, ast.AsyncFunctionDef, ast.Lambda)
COMPREHENSIONS = (ast.ListComp, ast.SetComp, ast.DictComp, ast.GeneratorExp)
# says nothing of what is computed, or is not the same in every Python
LEFT_OUT = ("ctx", "kind", "type_comment", "type_params")
LOOKING_IN = ("locals", "vars", "eval", "exec")  # may see local names


@cache
def normal(source: str) -> str:
    """Normal form of Python source, without comments and docstrings, as text for a digest.

    It is the same in every supported Python.

    Raises:
        SyntaxError: it is not Python.
    """
    return "".join(_texts(ast.parse(source), {}))


def _texts(node: object, names: Names) -> Iterator[str]:
    """A syntax tree as text: each node's class and fields, with local variables as in `names`."""
    match node:
        case ast.Name(id=name):
            yield f"Name {names.get(name, name)!r} "
        case ast.FunctionDef() | ast.AsyncFunctionDef() | ast.Lambda():
            yield from _function(node, names)
        case ast.ListComp() | ast.SetComp() | ast.DictComp() | ast.GeneratorExp():
            yield from _comprehension(node, names)
        case ast.JoinedStr(values=values):
            yield from _joined(values, names)
        case ast.AST():
            yield f"{type(node).__name__}("
            for field, value in ast.iter_fields(node):
                if field not in LEFT_OUT:
                    yield f"{field}="
                    yield from _texts(_renamed(node, field, value, names), names)
            yield ")"
        case list():
            yield "["
            for element in node:
                if not _is_docstring(element):
                    yield from _texts(element, names)
                    yield ","
            yield "]"
        case _:
            yield f"{type(node).__name__} {node!a}"


def _is_docstring(node: object) -> bool:
    match node:
        case ast.Expr(value=ast.Constant(value=str())):
            return True
    return False


def _renamed(node: ast.AST, field: str, value: object, names: Names) -> object:
    """A field; where it is the name that a handler or a pattern binds, what stands for it."""
    binds = isinstance(node, (ast.ExceptHandler, ast.MatchAs, ast.MatchStar)) and field == "name"
    binds = binds or (isinstance(node, ast.MatchMapping) and field == "rest")
    return names.get(value, value) if binds and isinstance(value, str) else value


def _joined(values: list[ast.expr], names: Names) -> Iterator[str]:
    """An f-string. How its text is cut into constants is another thing in each Python."""
    yield "JoinedStr["
    text = ""
    for value in values:
        if isinstance(value, ast.Constant):
            text += str(value.value)
        else:
            yield f"{text!a}"
            text = ""
            yield from _texts(value, names)
    yield f"{text!a}]"


def _function(node: ast.FunctionDef | ast.AsyncFunctionDef | ast.Lambda, names: Names) -> Iterator[str]:
    """What surrounds a function is evaluated outside of it; its body under its own names."""
    yield f"{type(node).__name__}("
    if not isinstance(node, ast.Lambda):
        yield f"{names.get(node.name, node.name)!r}"
        yield from _texts([node.decorator_list, node.returns], names)
    args = node.args
    parameters = [*args.posonlyargs, *args.args, args.vararg, *args.kwonlyargs, args.kwarg]
    yield from _texts([args.defaults, args.kw_defaults], names)
    yield from _texts([one.annotation for one in parameters if one is not None], names)
    yield f"{[[one.arg for one in group] for group in (args.posonlyargs, args.args, args.kwonlyargs)]}"
    yield f"{[one and one.arg for one in (args.vararg, args.kwarg)]}"
    body = node.body if isinstance(node.body, list) else [node.body]
    yield from _texts(body, _inside(body, {one.arg for one in parameters if one is not None}, names))
    yield ")"


def _inside(body: list[ast.stmt] | list[ast.expr], parameters: set[str], names: Names) -> Names:
    """What stands for the variables in a function's body: those that it binds itself get new numbers."""
    nodes = [node for part in body for node in ast.walk(part)]
    imported = {
        alias.asname or alias.name.split(".")[0]
        for node in nodes
        if isinstance(node, ast.Import | ast.ImportFrom)
        for alias in node.names
    }
    outer = {name: number for name, number in names.items() if name not in parameters | imported}
    bound = [name for part in body for name in _bound(part) if name not in parameters | imported]
    return outer | ({} if _is_odd(nodes) else _numbered(bound, outer))


def _numbered(bound: list[str], names: Names) -> Names:
    """Numbers for variables, in their order, that nothing else in `names` has."""
    first = max(names.values(), default=-1) + 1
    return {name: first + k for k, name in enumerate(dict.fromkeys(bound))}


def _is_odd(nodes: list[ast.AST]) -> bool:
    """Whether something among the nodes may look at local names, or has a scope of other rules.

    What is around it then is odd as well, and no name in it is replaced.
    """
    return any(
        isinstance(node, ast.ClassDef | ast.Global | ast.Nonlocal)
        or (isinstance(node, ast.Name) and node.id in LOOKING_IN)
        for node in nodes
    )


def _mentioned(node: ast.AST) -> tuple[str, ...]:
    """The variables that a node names."""
    match node:
        case ast.Name(id=name):
            return (name,)
        case (
            ast.FunctionDef(name=str(name))
            | ast.AsyncFunctionDef(name=str(name))
            | ast.ExceptHandler(name=str(name))
            | ast.MatchAs(name=str(name))
            | ast.MatchStar(name=str(name))
            | ast.MatchMapping(rest=str(name))
        ):
            return (name,)
    return ()


def _bound(node: ast.AST) -> Iterator[str]:
    """The names that a part of a function's body binds in that function."""
    if isinstance(node, COMPREHENSIONS):  # a name bound by := inside belongs to the function
        yield from (one.target.id for one in ast.walk(node) if isinstance(one, ast.NamedExpr))
    elif not isinstance(node, ast.Lambda):
        if not (isinstance(node, ast.Name) and isinstance(node.ctx, ast.Load)):
            yield from _mentioned(node)
        if not isinstance(node, FUNCTIONS):
            for child in ast.iter_child_nodes(node):
                yield from _bound(child)


def _comprehension(
    node: ast.ListComp | ast.SetComp | ast.DictComp | ast.GeneratorExp, names: Names
) -> Iterator[str]:
    """Its first iterable is evaluated outside of it, all else under its own names."""
    first, *_ = node.generators
    bound = [name for part in node.generators for name in _bound(part.target)]
    inside = names | ({} if _is_odd(list(ast.walk(node))) else _numbered(bound, names))
    yield f"{type(node).__name__}("
    yield from _texts(first.iter, names)
    for k, part in enumerate(node.generators):
        yield f"{part.is_async}"
        yield from _texts([part.target, part.iter if k else None, part.ifs], inside)
    element = [node.key, node.value] if isinstance(node, ast.DictComp) else [node.elt]
    yield from _texts(element, inside)
    yield ")"
