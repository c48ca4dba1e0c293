"""What a pre-annotator's labels are called in the data set: PER, LOC and ORG, and all other entities MISC.

The names are those of OntoNotes (spaCy's English and Chinese pipelines, and with few changes most others), WikiNER (its
French, German and Spanish ones, which have PER, LOC, ORG and MISC themselves), NorNE, SUC, RONEC and NKJP.

Two choices are read off the English part of MMNERD (training), whose labels began as spaCy's. Nationalities, religions
and parties (NORP) are MISC there ("American" 84 times, ORG 12 times). So are numbers and dates: 4,883 of 25,322 MISC
hold no letter, and "two", "first" and "100 %" stand among the most frequent. So numbers are MISC by default, as the
paper says. But WikiNER has no label for numbers: where languages are to be labelled alike, or MISC is to mean names, as
in CoNLL 2003, they are left out (`numbers=False`).
"""

from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any

MISC = "MISC"
NO_TYPE = "O"

NAMES: Mapping[str, str] = {
    **dict.fromkeys(("PER", "PERSON", "PRS", "persName"), "PER"),
    **dict.fromkeys(("LOC", "LOCATION", "GPE", "FAC", "FACILITY", "GPE_LOC", "placeName", "geogName"), "LOC"),
    **dict.fromkeys(("ORG", "ORGANIZATION", "GPE_ORG", "orgName"), "ORG"),
}
NUMBERS = frozenset(
    (
        *("CARDINAL", "DATE", "MONEY", "ORDINAL", "PERCENT", "QUANTITY", "TIME"),  # OntoNotes
        *("DATETIME", "NUMERIC", "PERIOD"),  # RONEC
        *("MSR", "TME"),  # SUC
        *("date", "time"),  # NKJP
    )
)


@dataclass(frozen=True)
class Labels:
    """Which type a label becomes. `own` goes before all else ("O" leaves a label out).

    Without `numbers`, labels of numbers, amounts, dates and times are left out; with them they are MISC.
    """

    own: Mapping[str, str] = field(default_factory=dict)
    numbers: bool = True

    def type_of(self, label: str) -> str | None:
        """The type that a label becomes, or None if it is left out."""
        if label in self.own:
            return None if self.own[label] == NO_TYPE else self.own[label]
        if label in NUMBERS:
            return MISC if self.numbers else None
        return NAMES.get(label, MISC)

    def options(self) -> dict[str, Any]:
        """The choice in terms of JSON."""
        return {"types": dict(sorted(self.own.items())), "numbers": self.numbers}
