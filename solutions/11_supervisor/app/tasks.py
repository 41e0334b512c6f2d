"""The tasks that this application offers."""

import asyncio
import re
from collections import Counter
from typing import Any

from sanic.log import logger

from saje.retry import Retry
from saje.task import Task


class Hello(Task):
    """Greets, takes its time, says goodbye. Costs nothing but seconds."""

    name = "hello"

    async def run(self, name: str = "World", seconds: float = 3.0) -> str:
        """Greet `name` and wait for `seconds`."""
        logger.info("Hello, %s.", name)
        await asyncio.sleep(seconds)
        logger.info("Goodbye, %s.", name)
        return f"Hello, {name}."


class WordCount(Task):
    """Counts the words of a text. A plain function, so it runs in a thread."""

    name = "word_count"

    def run(self, text: str, top: int = 10) -> dict[str, Any]:
        """Count the words of `text`; words are runs of letters, digits, _ and '."""
        words = Counter(re.findall(r"[\w']+", text.lower()))
        return {
            "words": words.total(),
            "distinct": len(words),
            "top": words.most_common(top),
        }


class Primes(Task):
    """Counts primes the slow way: nothing but CPU, for as long as you like."""

    name = "primes"

    def run(self, below: int = 200_000) -> int:
        """Count the primes smaller than `below` by trial division."""
        return sum(
            all(number % divisor for divisor in range(2, int(number**0.5) + 1))
            for number in range(2, below)
        )


class Flaky(Task):
    """Fails a few times, as a service does that can't be reached for a while."""

    name = "flaky"
    retry = Retry(tries=3, first=0.5, on=(ConnectionError,))

    def run(self, failures: int = 2) -> str:
        """Fail so many times, and then return which try it was."""
        if self.try_number <= failures:
            raise ConnectionError(f"try {self.try_number}: nobody answers")
        return f"try {self.try_number} worked"
