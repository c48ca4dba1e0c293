"""The filters of the page of mistakes: boxes to tick, a search, and the script that reads them."""

from collections import Counter
from collections.abc import Sequence

from babelens.evaluation.markup import markup
from babelens.evaluation.mistakes import EFFECTS, Case
from babelens.evaluation.mistakes_cards import traits
from babelens.evaluation.mistakes_tables import EFFECT_NAMES, NEW, PICTURES, SEEN
from babelens.evaluation.page_style import type_order
from babelens.scoring.errors import KINDS

ORDERS: dict[str, tuple[str, ...]] = {
    "kind": KINDS,
    "effect": tuple(EFFECT_NAMES[effect] for effect in EFFECTS),
    "picture": tuple(PICTURES.values()),
    "name": (NEW, SEEN),
}


def draw_filters(cases: Sequence[Case]) -> str:
    """The form, hidden until the script runs; what would not tell two mistakes apart is left out."""
    facets: dict[str, Counter[str]] = {}
    for case in cases:
        for head, names in traits(case).items():
            facets.setdefault(head, Counter()).update(names)
    fields = "".join(_field(head, names) for head, names in facets.items() if len(names) > 1)
    # Some browsers keep ticks when a page is loaded again; here the address says what is ticked.
    return (
        '<form id="filters" class="filters" autocomplete="off" hidden><div class="bar">'
        '<label class="search">Search the sentences '
        '<input type="search" name="q" spellcheck="false" dir="auto"></label>'
        '<button type="reset">Show all</button></div>'
        f"<details><summary>Filters</summary>{fields}</details></form>"
        f'<p id="count" role="status" aria-live="polite">{len(cases):,} shown</p>'
    )


def _field(head: str, names: Counter[str]) -> str:
    boxes = "".join(
        f'<label><input type="checkbox" name="{head}" value="{markup(name)}"> <bdi>{markup(name)}</bdi> '
        f'<span class="soft">{names[name]:,}</span></label>'
        for name in sorted(names, key=lambda name: _order(head, name))
    )
    return f"<fieldset><legend>{head}</legend>{boxes}</fieldset>"


def _order(head: str, name: str) -> tuple[int, str]:
    if head == "type":
        return type_order(name)
    order = ORDERS.get(head, ())
    return (order.index(name) if name in order else len(order), name)


FILTER_SCRIPT = r"""
const form = document.querySelector("#filters");
if (form) {
  const status = document.querySelector("#count"), search = form.elements.q;
  const boxes = [...form.querySelectorAll("input[type=checkbox]")];
  const heads = [...new Set(boxes.map((box) => box.name))];
  // Letter case, accents and wide forms make no difference to a search.
  const fold = (text) => text.normalize("NFKD").replace(/\p{Mn}/gu, "").toLowerCase().replace(/\s+/g, " ").trim();
  const cards = [...document.querySelectorAll(".case")].map((card) => ({
    card, text: fold(card.dataset.text), traits: JSON.parse(card.dataset.traits),
  }));
  const show = () => {
    const wanted = fold(search.value);
    const chosen = heads.map((head) => [head, boxes.filter((box) => box.name === head && box.checked)])
      .filter(([, ticked]) => ticked.length)
      .map(([head, ticked]) => [head, new Set(ticked.map((box) => box.value))]);
    let shown = 0;
    const counts = new Map(boxes.map((box) => [box, 0]));
    for (const { card, text, traits } of cards) {
      const failed = chosen.filter(([head, names]) => !traits[head].some((name) => names.has(name)))
        .map(([head]) => head);
      if (!text.includes(wanted)) failed.push("");
      card.hidden = failed.length > 0;
      shown += !card.hidden;
      // A box counts what one would see if it alone were ticked under its head.
      for (const box of boxes)
        if (failed.every((head) => head === box.name) && traits[box.name].includes(box.value))
          counts.set(box, counts.get(box) + 1);
    }
    for (const [box, count] of counts) {
      const label = box.closest("label");
      label.querySelector(".soft").textContent = count.toLocaleString("en");
      label.classList.toggle("empty", !count);
    }
    const whole = shown === cards.length;
    status.textContent = whole ? `${cards.length.toLocaleString("en")} shown`
      : `${shown.toLocaleString("en")} of ${cards.length.toLocaleString("en")} shown`;
  };
  const remember = () => {
    const state = new URLSearchParams();
    for (const box of boxes) if (box.checked) state.append(box.name, box.value);
    if (search.value.trim()) state.append("q", search.value.trim());
    const hash = state.toString();
    history.replaceState(null, "", hash ? "#" + hash : location.href.split("#")[0]);
  };
  // A hash without "=" is the place of a card and says nothing about the filters.
  const recall = () => {
    if (location.hash.length > 1 && !location.hash.includes("=")) return;
    const state = new URLSearchParams(location.hash.slice(1));
    for (const box of boxes) box.checked = state.getAll(box.name).includes(box.value);
    search.value = state.get("q") ?? "";
    show();
  };
  const change = () => { show(); remember(); };
  let waiting;
  form.addEventListener("input", (event) => {
    clearTimeout(waiting);
    waiting = setTimeout(change, event.target === search ? 200 : 0);
  });
  form.addEventListener("reset", () => { clearTimeout(waiting); waiting = setTimeout(change); });
  form.addEventListener("submit", (event) => { event.preventDefault(); clearTimeout(waiting); change(); });
  addEventListener("hashchange", recall);
  form.hidden = false;
  form.querySelector("details").open = matchMedia("(min-width: 44rem)").matches;
  recall();
}
"""
