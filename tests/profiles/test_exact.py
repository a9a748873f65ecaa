"""JSON in and out: digits survive, and what could be read in two ways is refused without repeating it."""

from __future__ import annotations

import time
from decimal import Decimal

import pytest
from hypothesis import given
from hypothesis import strategies as st

from profiles.exact import MAXIMUM_DEPTH, NotExact, decode, decode_any, encode
from tests.slack import slack

REFUSED: dict[str, bytes] = {
    "empty": b"",
    "truncated": b'{"a":',
    "array": b"[]",
    "scalar": b"5",
    "two values": b"{} {}",
    "duplicate key": b'{"resourceType":"Patient","resourceType":"Group"}',
    "duplicate key with blanks": b'{ "a" : 1 , "a" : 1 }',
    "duplicate key below": b'{"a":[{"b":1,"b":2}]}',
    "duplicate key by escape": b'{"ab":1,"\\u0061b":2}',
    "duplicate key made up for by an escape": b'{"a":"\\/\\/","b":1,"b":1}',
    "duplicate key made up for by exponents": b'{"a":[1e5,1e5,1e5,1e5,1e5,1e5],"b":1,"b":1}',
    "byte order mark": b'\xef\xbb\xbf{"a":1}',
    "UTF-16": '{"a":1}'.encode("utf-16"),
    "UTF-16 without mark": '{"a":1}'.encode("utf-16-le"),
    "invalid UTF-8": b'{"a":"\xff"}',
    "overlong": b'{"a":"\xc0\xaf"}',
    "lone surrogate escape": b'{"a":"\\ud800"}',
    "lone low surrogate escape": b'{"a":"\\udc00x"}',
    "surrogate bytes": b'{"a":"\xed\xa0\x80"}',
    "NaN": b'{"a":NaN}',
    "Infinity": b'{"a":Infinity}',
    "minus Infinity": b'{"a":-Infinity}',
    "NUL escape": b'{"a":"\\u0000"}',
    "control escape": b'{"a":"\\u001F"}',
    "backspace escape": b'{"a":"x\\by"}',
    "form feed escape": b'{"a":"x\\fy"}',
    "control in a key": b'{"\\u0001":1}',
    "raw control": b'{"a":"\x01"}',
    "comment": b'{"a":1/*x*/}',
    "leading zero": b'{"a":01}',
    "plus": b'{"a":+1}',
    "single quotes": b"{'a':1}",
    "trailing comma": b'{"a":1,}',
    "5,000-digit integer": b'{"a":' + b"9" * 5000 + b"}",
    "too deep": b'{"a":' * (MAXIMUM_DEPTH + 1) + b"1" + b"}" * (MAXIMUM_DEPTH + 1),
    "2,000 levels": b'{"a":' * 2000 + b"1" + b"}" * 2000,
    "200,000 levels": b'{"a":' + b"[" * 200_000 + b"]" * 200_000 + b"}",
    "200,000 levels, open": b'{"a":' + b"[" * 200_000,
}


@pytest.mark.parametrize("name", REFUSED)
def test_what_is_not_exact_is_refused_and_never_another_error(name: str) -> None:
    started = time.perf_counter()
    with pytest.raises(NotExact):
        decode(REFUSED[name])
    assert time.perf_counter() - started < 1 * slack()


@pytest.mark.parametrize(
    "number",
    ["0.010", "7.20", "-0", "-0.0", "1E-10", "1e400", "0.00000000000000000001", "100", "12345678901234567890.5"],
)
def test_numbers_keep_their_digits(number: str) -> None:
    value = decode(b'{"a":' + number.encode() + b"}")["a"]
    assert Decimal(str(value)) == Decimal(number)
    if "." in number:
        assert type(value) is Decimal
        assert value.as_tuple() == Decimal(number).as_tuple()
        assert decode(encode({"a": value}))["a"].as_tuple() == value.as_tuple()


def test_a_refusal_never_repeats_content() -> None:
    for raw in (
        b'{"bsn":"999990019" x}',
        b'{"Jansen":1,"Jansen":2}',
        b'{"bsn":"999990019\xff"}',
        b'{"a":"999990019\\u0000"}',
    ):
        with pytest.raises(NotExact) as caught:
            decode(raw)
        assert "99999" not in str(caught.value)
        assert "Jansen" not in str(caught.value)
        assert caught.value.__cause__ is None


def test_ordinary_text_is_kept() -> None:
    raw = '{"a":"é \\ud83d\\ude00 \\"\\\\ \\u0041\\n\\t \u202e","b":[{"c":1},{"c":1}],"":null}'.encode()
    assert decode(raw) == {"a": 'é 😀 "\\ A\n\t \u202e', "b": [{"c": 1}, {"c": 1}], "": None}
    assert decode(b'{"a":"\\\\u0000"}') == {"a": "\\u0000"}
    assert decode_any(b"[1]") == [1]


_JSON = st.recursive(
    st.none()
    | st.booleans()
    | st.integers(-(2**53), 2**53)
    | st.text(st.characters(min_codepoint=32, exclude_categories=["Cs"])),
    lambda inner: st.lists(inner, max_size=4) | st.dictionaries(st.text("abc", max_size=3), inner, max_size=4),
    max_leaves=20,
)


@pytest.mark.slow
@given(st.dictionaries(st.text("xyz", max_size=3), _JSON, max_size=5))
def test_what_is_written_is_read_again(value: dict[str, object]) -> None:
    assert decode(encode(value)) == value
