"""Dutch identifiers as checked values whose printed form says nothing about a person."""

from __future__ import annotations

from dataclasses import dataclass
from typing import ClassVar, Final, Self

BSN_SYSTEM: Final = "http://fhir.nl/fhir/NamingSystem/bsn"
URA_SYSTEM: Final = "http://fhir.nl/fhir/NamingSystem/ura"
AGB_SYSTEM: Final = "http://fhir.nl/fhir/NamingSystem/agb-z"
UZI_SYSTEM: Final = "http://fhir.nl/fhir/NamingSystem/uzi-nr-pers"
ROLE_SYSTEM: Final = "http://fhir.nl/fhir/NamingSystem/uzi-rolcode"
ORGANIZATION_TYPE_SYSTEM: Final = "http://nictiz.nl/fhir/NamingSystem/organization-type"

_BSN_WEIGHTS: Final = (9, 8, 7, 6, 5, 4, 3, 2, -1)
_ASCII_DIGITS: Final = frozenset("0123456789")


def is_digits(text: str, length: int) -> bool:
    """Claim that `text` is exactly `length` ASCII digits (full-width digits are not)."""
    return len(text) == length and _ASCII_DIGITS.issuperset(text)


def passes_elfproef(text: str) -> bool:
    """Claim that nine digits pass the eleven-test of the BSN.

    Spec: Logisch ontwerp GBA, 'elfproef': sum of digit times 9,8,7,6,5,4,3,2,-1 is a multiple of 11.
    """
    if not is_digits(text, 9) or text == "000000000":
        return False
    return sum(weight * int(digit) for weight, digit in zip(_BSN_WEIGHTS, text, strict=True)) % 11 == 0


@dataclass(frozen=True, slots=True)
class _Identifier:
    """One checked identifier; `str()` and `repr()` are safe for logs."""

    value: str
    system: ClassVar[str] = ""
    digits: ClassVar[int] = 0

    def __post_init__(self) -> None:
        """Refuse what is not of the right shape.

        Raises:
            ValueError: wrong length or characters; the text never repeats the value.
        """
        if not is_digits(self.value, self.digits):
            message = f"{type(self).__name__} must be {self.digits} digits"
            raise ValueError(message)

    def __repr__(self) -> str:
        return f"{type(self).__name__}(…)"

    __str__ = __repr__

    @classmethod
    def padded(cls, text: str) -> Self:
        """Read a value that lost its leading zeros on the way (spreadsheets, HL7 v2)."""
        return cls(text.strip().zfill(cls.digits))


@dataclass(frozen=True, slots=True, repr=False)
class Bsn(_Identifier):
    """Burgerservicenummer: nine digits that pass the eleven-test. Never printed."""

    system: ClassVar[str] = BSN_SYSTEM
    digits: ClassVar[int] = 9

    def __post_init__(self) -> None:
        """Refuse what fails the eleven-test.

        Raises:
            ValueError: not nine digits, or the eleven-test fails.
        """
        if not passes_elfproef(self.value):
            message = "BSN must be 9 digits that pass the eleven-test"
            raise ValueError(message)


@dataclass(frozen=True, slots=True, repr=False)
class Ura(_Identifier):
    """UZI-register abonneenummer: the organization. Public, so it prints in full."""

    system: ClassVar[str] = URA_SYSTEM
    digits: ClassVar[int] = 8

    def __repr__(self) -> str:
        return f"Ura({self.value})"

    def __str__(self) -> str:
        return self.value


@dataclass(frozen=True, slots=True, repr=False)
class Agb(_Identifier):
    """AGB code of a care provider or organization."""

    system: ClassVar[str] = AGB_SYSTEM
    digits: ClassVar[int] = 8


@dataclass(frozen=True, slots=True, repr=False)
class Uzi(_Identifier):
    """UZI number of a care professional."""

    system: ClassVar[str] = UZI_SYSTEM
    digits: ClassVar[int] = 9
