"""What annotators see in Label Studio: the text with its entity types, and the picture beside it."""

from collections.abc import Sequence
from typing import Literal
from xml.etree import ElementTree

from babelens.data.problems import quote
from babelens.schema import InputError

LABELS, TEXT, PICTURE = "label", "text", "picture"

# Told apart by most kinds of colour blindness (Okabe and Ito, Color Universal Design, 2008), in an order in which
# neighbours differ in lightness as well. Names stand beside the spans, so that colour is never all there is.
_COLOURS = ("#0072B2", "#E69F00", "#009E73", "#CC79A7", "#D55E00", "#56B4E9", "#F0E442")

# Blanks, tabs and line ends are shown as they are, and each line runs in the direction of its first letter.
_STYLE = (
    ".lsf-richtext__container{font-size:18px;line-height:1.9}"
    ".lsf-richtext__line{box-sizing:border-box;width:100%;white-space:pre-wrap;overflow-wrap:anywhere;"
    "unicode-bidi:plaintext;text-align:start}"
    ".htx-highlight::after{unicode-bidi:isolate}"
)

Granularity = Literal["symbol", "word"]


def make_interface(types: Sequence[str], *, granularity: Granularity = "symbol", note: bool = False) -> str:
    """The labelling configuration of a project, as XML.

    Args:
        types: the entity types, in the order of their keys 1, 2, ...
        granularity: "symbol" marks what the mouse went over. "word" widens it to words as the browser sees them, which
            cannot leave out the 's of "Anna's" or the L' of "L'Italie". Both are widened to our words when read back.
        note: show the field `note` of the tasks above the text.

    Raises:
        InputError: no types, a type twice, or an empty one.
    """
    if not types or len(set(types)) < len(types) or not all(type_.strip() for type_ in types):
        raise InputError(f"types: expected different names, at least one, found {quote(list(types))}")
    view = ElementTree.Element("View")
    ElementTree.SubElement(view, "Style").text = _STYLE
    if note:
        ElementTree.SubElement(view, "Header", value="$note", size="5")
    columns = ElementTree.SubElement(view, "View", style="display:flex;flex-wrap:wrap;gap:24px;align-items:flex-start")
    left = ElementTree.SubElement(columns, "View", style="flex:3 1 360px;min-width:0")
    labels = ElementTree.SubElement(left, "Labels", name=LABELS, toName=TEXT, showInline="true")
    for number, type_ in enumerate(types):
        colour = _COLOURS[number % len(_COLOURS)]
        label = ElementTree.SubElement(labels, "Label", value=type_, background=colour, selectedColor=ink(colour))
        if number < 9:
            label.set("hotkey", str(number + 1))
    ElementTree.SubElement(
        left,
        "Text",
        name=TEXT,
        value="$text",
        valueType="text",
        saveTextResult="yes",
        granularity=granularity,
        showLabels="true",
    )
    right = ElementTree.SubElement(columns, "View", style="flex:2 1 280px;min-width:0")
    ElementTree.SubElement(right, "Image", name=PICTURE, value="$image", zoom="true", maxWidth="100%")
    return ElementTree.tostring(view, encoding="unicode")


def ink(colour: str) -> str:
    """Black or white, whichever stands out more from a colour (#RRGGBB), by the contrast ratio of WCAG 2.2."""
    return max(("#000000", "#FFFFFF"), key=lambda other: contrast(colour, other))


def contrast(one: str, other: str) -> float:
    """The contrast ratio of two colours (#RRGGBB), 1 to 21 (WCAG 2.2: contrast ratio, relative luminance)."""
    lighter, darker = sorted((_luminance(one), _luminance(other)), reverse=True)
    return (lighter + 0.05) / (darker + 0.05)


def _luminance(colour: str) -> float:
    shares = [int(colour[at : at + 2], 16) / 255 for at in (1, 3, 5)]
    red, green, blue = (share / 12.92 if share <= 0.04045 else ((share + 0.055) / 1.055) ** 2.4 for share in shares)
    return 0.2126 * red + 0.7152 * green + 0.0722 * blue
