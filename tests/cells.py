"""Python as it stands in a document or a notebook, run as a notebook would run it."""

import ast
import itertools
import linecache

_NUMBERS = itertools.count()


def run_cells(cells: list[str], namespace: dict | None = None) -> dict:
    """Run cells one after another in one namespace, which is returned; the value of a last
    expression, which a notebook would show, must have a form to be shown in."""
    namespace = {} if namespace is None else namespace
    namespace["__name__"] = "__main__"
    for cell in cells:
        name = f"<cell {next(_NUMBERS)}>"
        # As IPython does, so that the source of what a cell defines can be read.
        linecache.cache[name] = len(cell), None, cell.splitlines(keepends=True), name
        parsed = ast.parse(cell)
        last = parsed.body.pop() if isinstance(parsed.body[-1], ast.Expr) else None
        exec(compile(parsed, name, "exec"), namespace)  # noqa: S102 - our own documents
        if last is not None:
            value = eval(compile(ast.Expression(last.value), name, "eval"), namespace)  # noqa: S307
            assert value is None or repr(value)
    return namespace
