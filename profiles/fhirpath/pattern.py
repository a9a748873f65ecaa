"""A regular expression as a program of small steps."""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import Any, Final

MOST_STEPS: Final = 20_000
_DEEPEST: Final = 40
_LETTERS: Final = {"n": "\n", "t": "\t", "r": "\r", "f": "\f", "v": "\v"}
_DIGIT: Final = (("0", "9"),)
_WORD: Final = (("0", "9"), ("A", "Z"), ("_", "_"), ("a", "z"))
_BLANK: Final = (("\t", "\r"), (" ", " "))
_CLASSES: Final = {"d": _DIGIT, "w": _WORD, "s": _BLANK}
_SPECIAL: Final = frozenset("\\.[]{}()*+?^$|")

Range = tuple[str, str]


class PatternError(ValueError):
    """The pattern has a form that is not read; the text says which."""


@dataclass(frozen=True, slots=True)
class CharacterSet:
    """Which characters are taken: those in `ranges` or outside a class of `outside`, or all others."""

    ranges: tuple[Range, ...] = ()
    outside: tuple[tuple[Range, ...], ...] = ()
    negated: bool = False

    def takes(self, character: str) -> bool:
        """Claim that a character is taken."""
        inside = any(low <= character <= high for low, high in self.ranges) or any(
            not any(low <= character <= high for low, high in ranges) for ranges in self.outside
        )
        return inside != self.negated


@dataclass(slots=True)
class Instruction:
    """One step: take a character (`set`, `any`), `split` to two ways, `save` a position, `assert` a place, or `match`."""

    kind: str
    next: int = 0
    other: int = 0
    what: str = ""
    set: CharacterSet = field(default_factory=CharacterSet)


@dataclass(frozen=True, slots=True)
class Pattern:
    """A program with its groups. `power`: how often the text repeats itself at worst in a simple matcher, if known."""

    text: str
    program: tuple[Instruction, ...]
    count: int
    groups: dict[str, int]
    power: int | None


Tree = tuple[Any, ...]


def read(expression: str) -> Pattern:
    """Compile a pattern: PCRE without look-around, back references, flags and Unicode classes.

    Raises:
        PatternError: another form.
    """
    reader = _Reader(expression)
    tree = reader.alternatives(0)
    if reader.at < len(expression):
        message = "a parenthesis in the pattern closes nothing"
        raise PatternError(message)
    program: list[Instruction] = []
    _write(tree, program)
    program.append(Instruction("match"))
    power = None if reader.nested or reader.unusual else reader.repeats
    text = expression.replace("(?<", "(?P<")
    return Pattern(text, tuple(program), reader.groups_open + 1, reader.names, power)


class _Reader:
    """Reads a pattern to a tree."""

    def __init__(self, expression: str) -> None:
        self._text = expression
        self.at = 0
        self.groups_open = 0
        self.names: dict[str, int] = {}
        self.repeats = 0
        self.nested = False
        self.unusual = False

    def _peek(self) -> str:
        return self._text[self.at] if self.at < len(self._text) else ""

    def _take(self, text: str) -> bool:
        if self._text.startswith(text, self.at):
            self.at += len(text)
            return True
        return False

    def alternatives(self, depth: int) -> Tree:
        """Read what stands between bars."""
        if depth > _DEEPEST:
            message = "the pattern nests too deeply"
            raise PatternError(message)
        options = [self._sequence(depth)]
        while self._take("|"):
            options.append(self._sequence(depth))
        return options[0] if len(options) == 1 else ("or", *options)

    def _sequence(self, depth: int) -> Tree:
        parts: list[Tree] = []
        while self._peek() not in ("", "|", ")"):
            before = self.repeats
            atom = self._atom(depth)
            parts.append(self._repeated(atom, has_repeats=self.repeats > before))
        return ("all", *parts)

    def _repeated(self, atom: Tree, *, has_repeats: bool) -> Tree:
        mark = self._peek()
        if mark and mark in "*+?":
            self.at += 1
            least, most = {"*": (0, -1), "+": (1, -1), "?": (0, 1)}[mark]
        elif mark == "{":
            least, most = self._counts()
        else:
            return atom
        if atom[0] == "assert":
            message = "a place in the pattern cannot be repeated"
            raise PatternError(message)
        if most != 1:
            self.repeats += 1
            # A choice inside a repeat can be made in many ways just as a repeat can.
            self.nested = self.nested or has_repeats or atom[0] not in ("set", "any")
        lazy = self._take("?")
        if self._peek() and self._peek() in "*+?{":
            message = "a repeat of a repeat in the pattern"
            raise PatternError(message)
        return ("repeat", atom, least, most, lazy)

    def _counts(self) -> tuple[int, int]:
        end = self._text.find("}", self.at)
        least, comma, most = self._text[self.at + 1 : max(end, 0)].partition(",")
        numbers = [part for part in (least, most) if part]
        if end < 0 or not least or not all(part.isascii() and part.isdigit() and len(part) <= 4 for part in numbers):
            message = "a brace in the pattern counts nothing"
            raise PatternError(message)
        self.at = end + 1
        low = int(least)
        high = int(most) if most else -1 if comma else low
        if -1 < high < low:
            message = "a repeat in the pattern ends before it starts"
            raise PatternError(message)
        return low, high

    def _atom(self, depth: int) -> Tree:
        character = self._text[self.at]
        self.at += 1
        if character == "(":
            return self._group(depth)
        if character == "[":
            return ("set", self._set())
        if character == ".":
            return ("any",)
        if character in "^$":
            return ("assert", character)
        if character == "\\":
            return self._escape()
        if character in "*+?{":
            message = "a repeat in the pattern repeats nothing"
            raise PatternError(message)
        return ("set", CharacterSet(((character, character),)))

    def _group(self, depth: int) -> Tree:
        number: int | None = None
        if self._take("?:"):
            pass
        elif self._peek() == "?":
            end = self._text.find(">", self.at)
            name = self._text[self.at : end] if end > 0 and self._take("?<") else ""
            if not name.isidentifier() or not name.isascii() or name in self.names:
                message = "look-around, flags and special groups of patterns are not supported"
                raise PatternError(message)
            self.at = end + 1
            number = self.groups_open = self.groups_open + 1
            self.names[name] = number
        else:
            number = self.groups_open = self.groups_open + 1
        inner = self.alternatives(depth + 1)
        if not self._take(")"):
            message = "a parenthesis in the pattern is not closed"
            raise PatternError(message)
        if number is None:
            return inner if inner[0] != "all" or len(inner) != 2 else inner[1]
        return ("group", number, inner)

    def _escape(self) -> Tree:
        character = self._peek()
        self.at += 1
        if character and character in "bB":
            return ("assert", character)
        return ("set", self._escaped(character))

    def _escaped(self, character: str) -> CharacterSet:
        if character in _CLASSES:
            return CharacterSet(_CLASSES[character])
        if character and character.lower() in _CLASSES:
            return CharacterSet(outside=(_CLASSES[character.lower()],))
        found = self._single(character)
        return CharacterSet(((found, found),))

    def _single(self, character: str) -> str:
        """Read an escape that stands for one character."""
        if character in _LETTERS:
            return _LETTERS[character]
        if character and character in "ux":
            size = 4 if character == "u" else 2
            digits = self._text[self.at : self.at + size]
            if len(digits) == size and all(digit in "0123456789abcdefABCDEF" for digit in digits):
                self.at += size
                return chr(int(digits, 16))
        if not character or character.isalnum():
            message = "an escape in the pattern is not supported"
            raise PatternError(message)
        return character

    def _set(self) -> CharacterSet:
        negated = self._take("^")
        ranges: list[Range] = []
        outside: list[tuple[Range, ...]] = []
        first = True
        while first or self._peek() != "]":
            first = False
            found = self._member()
            if len(found.ranges) != 1 or found.ranges[0][0] != found.ranges[0][1]:
                ranges += found.ranges
                outside += found.outside
                continue
            low = found.ranges[0][0]
            if self._peek() == "-" and self._text[self.at + 1 : self.at + 2] not in ("]", ""):
                self.at += 1
                high = self._member()
                if len(high.ranges) != 1 or high.outside or high.ranges[0][0] < low:
                    message = "a range in the pattern has no end"
                    raise PatternError(message)
                ranges.append((low, high.ranges[0][0]))
            else:
                ranges.append((low, low))
        self.at += 1
        return CharacterSet(tuple(ranges), tuple(outside), negated)

    def _member(self) -> CharacterSet:
        character = self._peek()
        if not character:
            message = "a bracket in the pattern is not closed"
            raise PatternError(message)
        self.at += 1
        if character == "\\":
            escaped = self._peek()
            self.at += 1
            return self._escaped(escaped)
        # The matcher of the standard library warns of these inside brackets.
        self.unusual = self.unusual or character in "[&|~"
        return CharacterSet(((character, character),))


def _write(tree: Tree, program: list[Instruction]) -> None:
    """Write the instructions of a tree; each ends where the next begins."""
    if len(program) > MOST_STEPS:
        message = "the pattern is too large"
        raise PatternError(message)
    kind = tree[0]
    if kind == "all":
        for part in tree[1:]:
            _write(part, program)
    elif kind == "set":
        program.append(Instruction("set", len(program) + 1, set=tree[1]))
    elif kind == "any":
        program.append(Instruction("any", len(program) + 1))
    elif kind == "assert":
        program.append(Instruction("assert", len(program) + 1, what=str(tree[1])))
    elif kind == "group":
        number: int = tree[1]
        program.append(Instruction("save", len(program) + 1, 2 * number))
        _write(tree[2], program)
        program.append(Instruction("save", len(program) + 1, 2 * number + 1))
    elif kind == "or":
        _write_options(tree[1:], program)
    else:
        _write_repeat(tree, program)


def _write_options(options: tuple[Tree, ...], program: list[Instruction]) -> None:
    ends: list[Instruction] = []
    for option in options[:-1]:
        split = Instruction("split", len(program) + 1)
        program.append(split)
        _write(option, program)
        end = Instruction("split")
        ends.append(end)
        program.append(end)
        split.other = len(program)
    _write(options[-1], program)
    for end in ends:
        end.next = end.other = len(program)


def _write_repeat(tree: Tree, program: list[Instruction]) -> None:
    _, atom, least, most, lazy = tree
    for _ in range(least):
        _write(atom, program)
    if most == -1:
        start = len(program)
        split = Instruction("split")
        program.append(split)
        _write(atom, program)
        program.append(Instruction("split", start, start))
        _aim(split, start + 1, len(program), lazy=bool(lazy))
        return
    splits: list[tuple[Instruction, int]] = []
    for _ in range(most - least):
        split = Instruction("split")
        splits.append((split, len(program) + 1))
        program.append(split)
        _write(atom, program)
    for split, inside in splits:
        _aim(split, inside, len(program), lazy=bool(lazy))


def _aim(split: Instruction, inside: int, outside: int, *, lazy: bool) -> None:
    split.next, split.other = (outside, inside) if lazy else (inside, outside)
