"""The prose: it avoids the phrases that made readers stumble."""

from __future__ import annotations

import re
from bisect import bisect
from collections.abc import Iterator
from pathlib import Path

from workshop.core.environment import ROOT

OLD_HABITS = re.compile(
    # Not "7 is no step number" but "7 isn't a step number".
    r"(?<!there )(?<!so )\b(?:is|are|was|were) no "
    r"(?!(?:longer|more|less|one|need|such|way|point|reason|doubt|use|good)\b)[a-z]+"
    # Not "what came" but "the output", not "who is slow" but "anyone who is slow".
    r"|\bwhat (?:came|comes|is to be \w+)(?=[.,;:)])"
    r"|\b(?:for|of|to|by|from|each) who\b|\bwhoever (?:is|has|gets|wants)\b"
    r"|(?:\n |[.:;] )(?-i:Who) (?:is|was|has|gets|needs|wants)\b[^.?!\n]*\."
    # The verbs that people use: run, interrupt, start over, return whether, retry.
    r"|\bcarr(?:y|ies|ied|ying) (?:it |them |this )?out\b"
    r"|\bbr(?:eaks?|oken?|eaking) (?:it |them )?off\b"
    r"|\b(?:has|have) (?:it|them|all|the \w+) as (?:it|they) (?:was|were)\b"
    r"|\btells? whether\b|\banew\b|\ball the same(?=[.,;:)])|\bin vain\b"
    r"|\band no more(?=[.,;])",
    re.IGNORECASE,
)
READ = (
    "*.md",
    *(
        f"{place}/**/*.{kind}"
        for kind in ("md", "py", "toml")
        for place in ("steps", "solutions", "tests", "workshop", "benchmarks")
    ),
)


def old_habits(text: str) -> Iterator[tuple[int, str]]:
    """Yield the line and the words of each phrase, which may go on in the next line."""
    flat, ends = "\n ", []
    for line in text.splitlines():
        words = re.sub(r"^[\s#>*-]+|<!--.*?-->", "", line)
        flat += (words.strip() or "\n") + " "
        ends.append(len(flat))
    for found in OLD_HABITS.finditer(flat):
        yield bisect(ends, found.end() - 1) + 1, found[0].strip()


def test_no_old_habits() -> None:
    """No text that anybody reads has one of the phrases: reword the sentence."""
    found = {path for pattern in READ for path in ROOT.glob(pattern)}
    paths = sorted(found - {Path(__file__).resolve()})
    assert len(paths) > 100
    problems = [
        f"{path.relative_to(ROOT).as_posix()}:{line}: {words!r}"
        for path in paths
        for line, words in old_habits(path.read_text(encoding="utf-8"))
    ]
    assert not problems, "\n" + "\n".join(problems)


def test_the_phrases() -> None:
    """Phrases are found with their line, and good English isn't."""
    bad = "\n7 is no step number.\n# It is carried\n# out now. Who is slow skips it."
    found = [(2, "is no step"), (4, "carried out"), (4, ". Who is slow skips it.")]
    assert list(old_habits(bad)) == found
    good = "Who has an idea?\n\nThere is\nno job. There\nis no task.\n<!-- in vain -->"
    assert not list(old_habits(good))
