"""Common mistakes, by the marks that they leave in an app's log and in its code."""

from __future__ import annotations

import ast
import re
from collections.abc import Collection, Iterator
from pathlib import Path

GUESSES = {
    "saje/creator.py": (
        (
            r"(?!in main_process|in a helper)(.+?): .*\bManager\(",
            r"Manager() is called \1. Call it in main_process_start, because anywhere "
            "else every process makes one of its own, or makes it too late",
        ),
        (
            r".*: with .*\bManager\(",
            "the Manager's process ends with the with block, and the queue ends with "
            "it. Use manager = Manager()",
        ),
        (
            r".*: app\.ctx\.saje_queue = ",
            "app.ctx belongs to one process. Put the queue on app.shared_ctx",
        ),
        (
            r".*: app\.shared_ctx\.saje_queue = (multiprocessing\.|queue\.)?Queue\(",
            "multiprocessing.Queue is not shared, because it belongs to the start "
            "method that was in force when it was made (sanic issues 2751, 2789), and "
            "queue.Queue belongs to one process. Use multiprocessing's "
            "Manager().Queue()",
        ),
        (
            r"(?!in main_process_ready|in a helper)(.+?): .*\.manage\(",
            r"manage() is called \1. Call it in main_process_ready, because "
            "app.manager exists only from then on, and only in the main process",
        ),
        (
            r".*\.manage\(.*\blambda\b",
            "a lambda cannot be pickled for another process, because it has no name in "
            "a module. Give manage() a function that has one",
        ),
        (
            r".*\.manage\(.*\bworker\(",
            "this calls worker() here. Give manage() the function, worker",
        ),
        (
            r".*\bext\.dependency\(",
            "app.ext.dependency() takes a finished object, which doesn't exist yet. "
            "Use app.ext.add_dependency(SajeClient, get_client) in create_saje()",
        ),
        (
            # before_server_start is early enough, too.
            r"in (?!before_server_start|a helper)(\w+): .*\badd_dependency\(",
            r"add_dependency() in \1 is too late, because the handlers' signatures "
            "are read earlier. Call it in create_saje() itself",
        ),
        (
            r".*def get_client\(request\)",
            "annotate the parameter: `get_client(request: Request)`",
        ),
    ),
    "saje/worker.py": (
        (
            r".*\bon_stop\(.*\(\)\)",
            "this calls stop() at once. Give on_stop() the method itself, without (): "
            "on_stop(scheduler.stop)",
        ),
    ),
    "saje/scheduler.py": (
        (
            r".*self\.queue\.get\((?!.*timeout)[^,]*\)",
            "it waits for ever, so the worker can't stop (the first argument is "
            "`block`). Use self.queue.get(timeout=CHECK_STOP)",
        ),
        (
            r".*loop\.call_soon\(",
            "call_soon() doesn't wake another thread's loop. Use "
            "loop.call_soon_threadsafe(self._start, message)",
        ),
    ),
}
"""What is probably wrong if a statement looks like this: "in LISTENER: STATEMENT". In
place of the listener, it may say "in a helper" or "outside of any listener"."""

MARKS = {
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
    '": syntax error': "SQLite can't read this statement. If a value stands inside its "
    "text, write a question mark there, and give the value to execute()",
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
        for statement, where in statements(tree, "outside of any listener"):
            text = f"{where}: {ast.unparse(statement)}"
            for pattern, mistake in GUESSES.get(name, ()):
                if found := re.match(pattern, text):
                    return f"{name}, line {statement.lineno}: {found.expand(mistake)}"
    return None


def statements(node: ast.AST, where: str) -> Iterator[tuple[ast.stmt, str]]:
    """Yield every statement below a node, and in which listener of Sanic's it is."""
    for child in ast.iter_child_nodes(node):
        inner = where
        if isinstance(child, ast.FunctionDef | ast.AsyncFunctionDef):
            listener = r"(main_process|before|after|reload)_\w+"
            decorators = " ".join(map(ast.unparse, child.decorator_list))
            if found := re.search(listener, decorators):
                inner = f"in {found[0]}"
            elif child.name != "create_saje":
                # Any listener may call it, so nothing is wrong for certain.
                inner = "in a helper"
        if isinstance(child, ast.stmt):
            yield child, inner
        yield from statements(child, inner)
