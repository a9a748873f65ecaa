"""Dutch identifiers: only ASCII digits, the eleven-test, and nothing about a person in print."""

from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from profiles.identifiers import Agb, Bsn, Ura, Uzi, is_digits, passes_elfproef

VALID = "999990019"


def test_the_eleven_test() -> None:
    assert passes_elfproef(VALID)
    assert passes_elfproef("111222333")
    for wrong in ("999990018", "000000000", "99999001", "9999900190", "", "99999001x", " 99990019"):
        assert not passes_elfproef(wrong)


@pytest.mark.parametrize(
    "text",
    [
        "９９９９９００１９",
        "٩٩٩٩٩٠٠١٩",
        "99999001９",
        "99999\u200b0019",
        "9999900¹9",
        "-99990019",
        "999990019\n",
        "\u202e999990019",
    ],
)
def test_other_digits_and_hidden_characters_are_refused(text: str) -> None:
    assert not passes_elfproef(text)
    assert not is_digits(text, len(text))
    with pytest.raises(ValueError, match="BSN must be 9 digits") as caught:
        Bsn(text)
    assert text not in str(caught.value)


@given(st.integers(0, 10**9 - 1))
def test_changing_one_digit_of_a_bsn_never_passes(number: int) -> None:
    text = f"{number:09}"
    if not passes_elfproef(text):
        return
    for place in range(9):
        for digit in "0123456789":
            if digit != text[place]:
                assert not passes_elfproef(text[:place] + digit + text[place + 1 :])


@pytest.mark.parametrize("kind", [Bsn, Agb, Uzi])
def test_an_identifier_of_a_person_is_never_printed(kind: type[Bsn]) -> None:
    value = kind(VALID[: kind.digits] if kind is not Bsn else VALID)
    for text in (repr(value), str(value), f"{value}", f"{value!r}", f"{[value]}", "%s" % value):  # noqa: UP031 - the old form is tested too
        assert "9999" not in text


def test_an_organization_is_public_and_zeros_come_back() -> None:
    assert str(Ura("00000001")) == "00000001"
    assert Ura.padded(" 1 ") == Ura("00000001")
    assert hash(Bsn(VALID)) == hash(Bsn(VALID))
    with pytest.raises(ValueError, match="Ura must be 8 digits"):
        Ura("1")
    with pytest.raises(ValueError, match="BSN"):
        Bsn.padded("1")
