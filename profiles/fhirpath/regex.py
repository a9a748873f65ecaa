"""Regular expressions in time linear in the text: no pattern and no text can make them slow."""

from __future__ import annotations

import re
from dataclasses import dataclass
from functools import lru_cache
from typing import Final

from profiles.fhirpath.errors import EvaluationError
from profiles.fhirpath.pattern import Instruction, Pattern, PatternError, read
from profiles.fhirpath.state import LONGEST_TEXT, State

# So many steps the matcher of the standard library may need at worst, where its worst case is known.
_AFFORDABLE: Final = 2_000_000
_REFERENCE: Final = re.compile(r"\$(?:(\d)|\{(\w+)\})|\\(.)", re.ASCII)
_WORD: Final = frozenset("abcdefghijklmnopqrstuvwxyzABCDEFGHIJKLMNOPQRSTUVWXYZ0123456789_")

Captures = tuple[int, ...]


class Regex:
    """One compiled pattern."""

    __slots__ = ("_pattern", "_quick")

    def __init__(self, pattern: Pattern) -> None:
        self._pattern = pattern
        self._quick = re.compile(pattern.text, re.DOTALL | re.ASCII) if pattern.power is not None else None

    def found_in(self, text: str, x: State, *, whole: bool = False) -> bool:
        """Claim that the pattern matches somewhere in the text, or the whole of it.

        Raises:
            EvaluationError: the steps are spent.
        """
        power = self._pattern.power
        if self._quick is not None and power is not None and (len(text) + 1) ** (power + 1) <= _AFFORDABLE:
            return (self._quick.fullmatch(text) if whole else self._quick.search(text)) is not None
        return _Search(self._pattern, text, x).at(0, whole=whole) is not None

    def replaced(self, text: str, substitution: str, x: State) -> str:
        """Replace every match; `$1` and `${name}` in the substitution are what a group matched.

        Raises:
            EvaluationError: the steps are spent, the text becomes too long or a group does not exist.
        """
        parts: list[str] = []
        position, size = 0, 0
        while position <= len(text):
            found = _Search(self._pattern, text, x).at(position)
            if found is None:
                break
            start, end = found[0], found[1]
            new = self._filled(substitution, text, found)
            parts += (text[position:start], new)
            if end == start:
                parts.append(text[start : start + 1])
            position = end if end > start else end + 1
            size += len(new)
            if size > LONGEST_TEXT:
                message = "a string becomes too long"
                raise EvaluationError(message)
        return "".join(parts) + text[position:]

    def _filled(self, substitution: str, text: str, found: Captures) -> str:
        def group(match: re.Match[str]) -> str:
            if match[3] is not None:
                return match[3]
            number = int(match[1]) if match[1] is not None else self._pattern.groups.get(match[2], -1)
            if not 0 <= number < len(found) // 2:
                message = "the substitution names a group that the pattern does not have"
                raise EvaluationError(message)
            start, end = found[2 * number], found[2 * number + 1]
            return text[start:end] if start >= 0 and end >= 0 else ""

        return _REFERENCE.sub(group, substitution)


@lru_cache(maxsize=512)
def _compiled(expression: str) -> Regex | str:
    try:
        return Regex(read(expression))
    except PatternError as error:
        return str(error)
    except RecursionError:
        return "the pattern nests too deeply"


def compiled(expression: str) -> Regex:
    """Compile a pattern.

    Raises:
        EvaluationError: it has another form than `profiles.fhirpath.pattern` reads.
    """
    found = _compiled(expression)
    if isinstance(found, str):
        raise EvaluationError(found)
    return found


@dataclass(slots=True)
class _Search:
    """Looks for the first match by priority; no pair of instruction and position is tried twice."""

    pattern: Pattern
    text: str
    x: State

    def at(self, position: int, *, whole: bool = False) -> Captures | None:
        """Find the first match from a position on."""
        seen: set[int] = set()
        for start in range(position, len(self.text) + 1):
            found = self._from(start, seen, whole=whole)
            if found is not None or (whole and start == 0):
                self.x.spend(len(seen))
                return found
        self.x.spend(len(seen))
        return None

    def _from(self, start: int, seen: set[int], *, whole: bool) -> Captures | None:
        program, size, limit = self.pattern.program, len(self.text) + 1, self.x.steps
        stack: list[tuple[int, int, Captures]] = [(0, start, (-1,) * (2 * self.pattern.count))]
        while stack:
            pc, position, captures = stack.pop()
            while (key := pc * size + position) not in seen:
                seen.add(key)
                if len(seen) > limit:
                    self.x.spend(len(seen))
                step = program[pc]
                if step.kind == "match":
                    if whole and position < len(self.text):
                        break
                    return (start, position, *captures[2:])
                if step.kind == "split":
                    stack.append((step.other, position, captures))
                elif step.kind == "save":
                    captures = (*captures[: step.other], position, *captures[step.other + 1 :])
                elif self._passes(step, position):
                    position += step.kind != "assert"
                else:
                    break
                pc = step.next
        return None

    def _passes(self, step: Instruction, position: int) -> bool:
        if step.kind == "assert":
            return self._holds(step.what, position)
        if position == len(self.text):
            return False
        return step.kind == "any" or step.set.takes(self.text[position])

    def _holds(self, what: str, position: int) -> bool:
        text = self.text
        if what == "^":
            return position == 0
        if what == "$":
            return position == len(text) or (position == len(text) - 1 and text[position] == "\n")
        before = position > 0 and text[position - 1] in _WORD
        after = position < len(text) and text[position] in _WORD
        return (before != after) == (what == "b")
