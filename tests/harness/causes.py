"""Common mistakes, by the marks that they leave in an app's log and in its code."""

from __future__ import annotations

import ast
import re
from collections.abc import Collection, Iterator
from pathlib import Path

LISTENERS = {
    "Manager": (
        # The second one works as well, because no server has been started yet.
        ("main_process_start", "main_process_ready"),
        "anywhere else every process makes one of its own, or makes it too late",
    ),
    "manage": (
        ("main_process_ready",),
        "app.manager exists only from then on, and only in the main process",
    ),
}
"""In which listeners a call belongs, and what goes wrong elsewhere."""

NOT_SHARED = {
    "queue.Queue": "its lock cannot be pickled for another process",
    "queue.SimpleQueue": "it cannot be pickled for another process",
    "asyncio.Queue": "it lives on one event loop, in one process",
    "multiprocessing.Queue": "it belongs to the start method that was in force "
    "when it was made (sanic issues 2751, 2789)",
    "collections.deque": "each process gets a copy",
    "dict": "each process gets a copy",
    "list": "each process gets a copy",
}
"""What people put on shared_ctx, and why that isn't shared."""

MARKS = {
    "was added to shared_ctx. It may not": "an object on app.shared_ctx has to be "
    "made for sharing, as multiprocessing's Manager().Queue() is",
    "cannot pickle": "an argument of manage(), or an object on app.shared_ctx, cannot "
    "be pickled for another process",
    "Can't pickle": "an argument of manage(), or an object on app.shared_ctx, cannot "
    "be pickled for another process, because it has no name in a module",
    "missing 1 required positional argument: 'saje'": "the client is registered too "
    "late or not at all, or the parameter has no annotation. Call "
    "app.ext.add_dependency() in create_saje() itself, and write `saje: SajeClient`",
    "has no attribute 'saje'": "app.ctx.saje doesn't exist, because each server has to "
    "make a client of its own in before_server_start",
    "SimpleNamespace' object has no attribute 'saje_queue'": "app.ctx belongs to one "
    "process, and the queue is on app.shared_ctx",
    "has no attribute 'saje_queue'": "app.shared_ctx.saje_queue doesn't exist. "
    "main_process_start puts it there, and a reload does not run that again",
    "Task exception was never retrieved": "nobody saw an exception in a task on the "
    "loop, so catch it where the job is executed",
    "no running event loop": "a thread used the loop directly, instead of "
    "loop.call_soon_threadsafe()",
    "Set of Tasks/Futures is empty": "asyncio.wait() refuses an empty set, so check "
    "first whether there is a task to wait for: `if late:`",
    "Passing coroutines is forbidden": "asyncio.wait() takes tasks, not coroutines",
    '": syntax error': "SQLite can't read this statement. If a value stands inside its "
    "text, write a question mark there, and give the value to execute()",
    "execute one statement at a time": "a value inside the text of a statement has "
    "become another statement. Write a question mark for each value",
    "Incorrect number of bindings": "execute() takes all values in one tuple, one for "
    "each question mark. A tuple of a single value has a comma: (value,)",
    "Error binding parameter": "SQLite takes text, bytes, numbers and None. The bytes "
    "of a UUID are uid.bytes",
    "cannot store TEXT value in BLOB": "a uid is stored as 16 bytes: uid.bytes",
    "cannot start a transaction within": "the last transaction is still open. It ends "
    "with COMMIT, or with ROLLBACK if something was raised",
    "address already in use": "another program took the port. Try again",
}
"""What the log says, and what it means."""


GIVEN = ("saje/model.py", "saje/signals.py", "saje/threads.py")
"""Files in which learners have nothing to write, or not before step 09."""


RECORD = r"(?m)^(?=\w+(?: \d+)? +\d{4}-\d\d-\d\d )"
"""Where a line of Sanic's log begins. A traceback belongs to the line before it."""

RAISED_FROM = "The above exception was the direct cause of the following exception"
"""What stands in between if one exception was raised from another."""


def without_failed_tasks(log: str) -> str:
    """Drop the tracebacks of tasks that fail on purpose, because a test wants that."""
    on_purpose = (
        "saje_probe_tasks.py",
        "saje_probe_retries.py",
        ".run() got an unexpected keyword argument",
        "no task 'nonesuch'",
        "because a test wants that",
        "ConnectionError: try ",  # of the task "flaky"
        "TimeoutError: It took more than",
        "Interrupted: The worker stopped",
    )
    return "".join(
        record
        for record in re.split(RECORD, log)
        if not any(mark in record for mark in on_purpose)
    )


def in_the_log(app: Path, log: str) -> str | None:
    """Name the mistake that a log shows: a known one, or else the last exception.

    Args:
        app: The folder of the app.
        log: What the app has printed.

    Returns:
        The mistake in words, with its file and line if they are known, or None.
    """
    log = without_failed_tasks(log.replace("\n  ▐ ", " "))
    where = ""
    # The line of the app's own code that was reached last. Sanic has a form of its own
    # for the tracebacks of the main process.
    own = rf'^ *File "{re.escape(str(app))}[/\\](.+?)", line (\d+)'
    own += r"|^│ ((?:app|saje)[/\\]\w+\.py|server\.py):(\d+)"
    # If an exception was raised from another one, that one came from the right place.
    records = (record.partition(RAISED_FROM)[0] for record in re.split(RECORD, log))
    for match in re.finditer(own, "\n".join(records), re.MULTILINE):
        file, line = filter(None, match.groups())
        # A given file only complains about what it was called with.
        if not (where and Path(file).as_posix() in GIVEN):
            where = f"{file}, line {line}: "
    name = r"^(?:╰ )?((?:[a-z_]\w*\.)*[A-Z]\w*(?:Error|Exception|Exit)\b.*)"
    errors = [error[:300] for error in re.findall(name, log, re.MULTILINE)]
    if forgotten := re.search(r"coroutine '(\S+)' was never awaited", log):
        return f"{forgotten[1]}() was called and not awaited"
    for mark, cause in MARKS.items():
        if mark.lower() in log.lower():
            if "never retrieved" in mark and errors:
                return f"{where}{errors[-1]} ({cause})"
            return where + cause
    if errors:
        return f"{where}{errors[-1]}"
    logged = re.findall(r" (?:ERROR|CRITICAL): (.*)", log)
    return f"the app's log says: {logged[-1]}" if logged else None


def in_the_code(app: Path, files: Collection[str]) -> str | None:
    """Guess at a mistake from the code, without running it.

    Args:
        app: The folder of the app.
        files: Where to look: the file of the todo that is tested, because a mistake in
            another file belongs to another todo. A syntax error is found in any file.

    Returns:
        The file, the line and what may be wrong, or None.
    """
    for file in sorted(app.rglob("*.py")):
        name = file.relative_to(app).as_posix()
        text = file.read_text("utf-8", "replace")
        try:
            tree = ast.parse(text)
        except SyntaxError as error:
            return f"{name}, line {error.lineno}: {error.msg}"
        if name not in files:
            continue
        found = list(uncalled(tree))
        if name == "saje/creator.py":
            found += [*wiring_mistakes(tree), *client_mistakes(tree)]
        if name == "saje/scheduler.py":
            found += thread_mistakes(tree)
        if name.startswith("app/"):
            for line in unannotated(tree):
                found.append((line, "annotate the parameter: `saje: SajeClient`"))
        for line in sleeping_coroutines(tree):
            found.append(
                (
                    line,
                    "time.sleep() in a coroutine blocks the event loop, and everything "
                    "that runs on it. Use await asyncio.sleep()",
                )
            )
        for line, mistake in found:
            return f"{name}, line {line}: {mistake}"
    return None


def wiring_mistakes(tree: ast.Module) -> Iterator[tuple[int, str]]:
    """Yield each mistake of wiring: its line, what is wrong, and what to do."""
    names = imported(tree)
    for node, listener in walk(tree, None):
        if isinstance(node, ast.Call):
            if mistake := wrong_call(dotted(node.func, names), listener):
                yield node.lineno, mistake
            if dotted(node.func, names).endswith(".manage") and any(
                isinstance(argument, ast.Call)
                and ast.unparse(argument.func) == "worker"
                for argument in node.args
            ):
                yield (
                    node.lineno,
                    "this calls worker() here. Give manage() the function, worker",
                )
            if any(isinstance(argument, ast.Lambda) for argument in node.args):
                yield (
                    node.lineno,
                    "a lambda cannot be pickled for another process, because it has no "
                    "name in a module. Give manage() a function that has one",
                )
        elif isinstance(node, ast.With | ast.AsyncWith):
            for item in node.items:
                if kind(item.context_expr, names) == "multiprocessing.Manager":
                    yield (
                        node.lineno,
                        "the Manager's process ends with the with block, and the "
                        "queue ends with it. Use manager = Manager()",
                    )
        elif isinstance(node, ast.Assign):
            target = ast.unparse(node.targets[0])
            made = kind(node.value, names)
            text = ast.unparse(tree)
            if (
                re.fullmatch(r"app\.shared_ctx\.(?!saje_tokens)\w+", target)
                and "shared_ctx.saje_queue =" not in text
            ):
                yield (
                    node.lineno,
                    f"the queue is on {target}, but everybody looks for "
                    "app.shared_ctx.saje_queue",
                )
            if target.endswith("saje_queue") and ast.unparse(node.value).endswith(
                ".Queue"
            ):
                yield node.lineno, "this is the method itself. Call it: manager.Queue()"
            if target.endswith("app.ctx.saje_queue"):
                yield (
                    node.lineno,
                    "app.ctx belongs to one process. Put the queue on app.shared_ctx",
                )
            elif target.endswith("shared_ctx.saje_queue") and made in NOT_SHARED:
                yield (
                    node.lineno,
                    f"{made} is not shared, because {NOT_SHARED[made]}. "
                    "Use multiprocessing's Manager().Queue()",
                )


def client_mistakes(tree: ast.Module) -> Iterator[tuple[int, str]]:
    """Yield each mistake with the client's registration, and what to do."""
    functions = {
        node.name: node for node in ast.walk(tree) if isinstance(node, ast.FunctionDef)
    }
    for node in ast.walk(tree):
        if not isinstance(node, ast.Call):
            continue
        called = ast.unparse(node.func)
        given = [ast.unparse(argument) for argument in node.args]
        if called == "SajeClient" and given[:1] == ["app"]:
            yield node.lineno, "SajeClient takes the queue, app.shared_ctx.saje_queue"
        if not called.endswith("add_dependency") or len(given) < 2:
            continue
        if given[0] in functions:
            yield (
                node.lineno,
                "the type comes first, as in add_dependency(SajeClient, ...)",
            )
        if (function := functions.get(given[1])) is None:
            continue
        if any(argument.annotation is None for argument in function.args.args):
            yield (
                function.lineno,
                f"annotate the parameter: `{function.name}(request: Request)`",
            )
        if not any(isinstance(child, ast.Return) for child in ast.walk(function)):
            yield function.lineno, f"{function.name}() returns nothing"


def uncalled(tree: ast.Module) -> Iterator[tuple[int, str]]:
    """Yield each place that names a method without calling it, which is always true."""
    questions = {"self._ends_torn"}
    called = {id(n.func) for n in ast.walk(tree) if isinstance(n, ast.Call)}
    for node in ast.walk(tree):
        if isinstance(node, ast.Name | ast.Attribute) and id(node) not in called:
            if (name := ast.unparse(node)) in questions:
                yield (
                    node.lineno,
                    f"{name} is always true, because it isn't called: {name}()",
                )
        elif (
            isinstance(node, ast.Call)
            and ast.unparse(node.func) == "on_stop"
            and any(isinstance(argument, ast.Call) for argument in node.args)
        ):
            yield (
                node.lineno,
                "this calls stop() at once. Give on_stop() the method itself, "
                "without (): on_stop(scheduler.stop)",
            )


def unannotated(tree: ast.Module) -> Iterator[int]:
    """Yield the line of each handler whose parameter `saje` has no annotation."""
    for function in ast.walk(tree):
        if isinstance(function, ast.FunctionDef | ast.AsyncFunctionDef):
            for argument in function.args.args:
                if argument.arg == "saje" and argument.annotation is None:
                    yield argument.lineno


def sleeping_coroutines(tree: ast.Module) -> Iterator[int]:
    """Yield the line of each time.sleep() that a coroutine itself calls."""
    names = imported(tree)

    def calls(node: ast.AST) -> Iterator[int]:
        for child in ast.iter_child_nodes(node):
            if isinstance(child, ast.FunctionDef | ast.AsyncFunctionDef | ast.Lambda):
                continue  # It may run in a thread.
            if (
                isinstance(child, ast.Call)
                and dotted(child.func, names) == "time.sleep"
            ):
                yield child.lineno
            yield from calls(child)

    for function in ast.walk(tree):
        if isinstance(function, ast.AsyncFunctionDef):
            yield from calls(function)


def thread_mistakes(tree: ast.Module) -> Iterator[tuple[int, str]]:
    """Yield each use of the loop in the receiver's thread that doesn't work."""
    threadsafe = "loop.call_soon_threadsafe(self._start, message)"
    for function in ast.walk(tree):
        if not isinstance(function, ast.FunctionDef) or function.name != "_receive":
            continue
        for node in ast.walk(function):
            called = ast.unparse(node.func) if isinstance(node, ast.Call) else ""
            if isinstance(node, ast.Assign) and ast.unparse(node.targets[0]) == "drain":
                yield (
                    node.lineno,
                    "this is a new local name. You probably mean self.drain",
                )
            if (
                isinstance(node, ast.Call)
                and called == "self.queue.get"
                and len(node.args) < 2
                and "timeout" not in {keyword.arg for keyword in node.keywords}
            ):
                yield (
                    node.lineno,
                    "it waits for ever, so the worker can't stop (the first argument "
                    "is `block`). Use self.queue.get(timeout=CHECK_STOP)",
                )
            if called == "self._start":
                yield (
                    node.lineno,
                    "self._start() is called here, in the receiver's thread. Let "
                    f"the loop call it: {threadsafe}",
                )
            if called == "loop.call_soon":
                yield (
                    node.lineno,
                    f"call_soon() doesn't wake another thread's loop. Use {threadsafe}",
                )


HELPER = "a helper"
"""Stands for the listener of code in a function that isn't one."""


def wrong_call(name: str, listener: str | None) -> str | None:
    """Return what is wrong with a call in a listener, or outside of any, or None."""
    if listener == HELPER:
        return None
    short = name.rpartition(".")[2]
    where = f"in {listener}" if listener else "outside of any listener"
    belongs, why = LISTENERS.get(short, ((listener,), ""))
    if listener not in belongs:
        return f"{short}() is called {where}. Call it in {belongs[0]}, because {why}"
    if name.endswith("ext.dependency"):
        return (
            "app.ext.dependency() takes a finished object, which doesn't exist yet. "
            "Use app.ext.add_dependency(SajeClient, get_client) in create_saje()"
        )
    # before_server_start is early enough, too.
    if short == "add_dependency" and listener not in (None, "before_server_start"):
        return (
            f"add_dependency() in {listener} is too late, because the handlers' "
            "signatures are read earlier. Call it in create_saje() itself"
        )
    return None


def walk(node: ast.AST, listener: str | None) -> Iterator[tuple[ast.AST, str | None]]:
    """Yield every node below one, each with the listener of Sanic's that it is in."""
    if isinstance(node, ast.FunctionDef | ast.AsyncFunctionDef):
        for decorator in node.decorator_list:
            text = ast.unparse(decorator)
            if found := re.search(r"(main_process|before|after|reload)_\w+", text):
                listener = found[0]
                break
        else:
            # A helper may be called from any listener, so nothing is wrong for certain.
            listener = None if node.name == "create_saje" else HELPER
    yield node, listener
    for child in ast.iter_child_nodes(node):
        yield from walk(child, listener)


def imported(tree: ast.Module) -> dict[str, str]:
    """Return what each imported name stands for, such as Queue: queue.Queue."""
    names = {}
    for node in ast.walk(tree):
        if isinstance(node, ast.Import):
            names |= {alias.asname or alias.name: alias.name for alias in node.names}
        if isinstance(node, ast.ImportFrom):
            for alias in node.names:
                names[alias.asname or alias.name] = f"{node.module}.{alias.name}"
    return names


def dotted(node: ast.expr, names: dict[str, str]) -> str:
    """Return the full name of what is called."""
    first, dot, rest = ast.unparse(node).partition(".")
    return names.get(first, first) + dot + rest


def kind(node: ast.expr, names: dict[str, str]) -> str:
    """Return what an expression makes: the name it calls, dict, list, or nothing."""
    if isinstance(node, ast.Dict):
        return "dict"
    if isinstance(node, ast.List):
        return "list"
    return dotted(node.func, names) if isinstance(node, ast.Call) else ""
