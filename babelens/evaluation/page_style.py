"""The style sheet and the script of report pages. Both stand in the page, allowed by their hashes."""

from collections.abc import Iterable

# Every colour pair below has a contrast of at least 4.5:1 (a test computes it); types are always written out as well.
LIGHT = {
    "page": "#f6f7f9", "panel": "#ffffff", "ink": "#16191d", "soft": "#545b66", "rule": "#d5dae1", "link": "#0b57d0",
    "good": "#146c2e", "bad": "#b3261e",
    "t0": "#ffe0b8", "t1": "#c9ecd0", "t2": "#cfe2ff", "t3": "#ecd6fa", "t4": "#fbd3e0", "t5": "#d3eef0",
    "t6": "#ebe6b4", "t7": "#dfe3e8",
    "s0": "#0b57d0", "s1": "#b3400e", "s2": "#146c2e", "s3": "#7b2da8", "s4": "#545b66",
}  # fmt: skip
DARK = {
    "page": "#101317", "panel": "#191d23", "ink": "#e9ecf0", "soft": "#a9b1bd", "rule": "#363d47", "link": "#8ab4f8",
    "good": "#7bd88f", "bad": "#ffb4ad",
    "t0": "#6b3f07", "t1": "#1b5130", "t2": "#1d4380", "t3": "#5a2f7a", "t4": "#7a2244", "t5": "#14545a",
    "t6": "#4b4610", "t7": "#3d4550",
    "s0": "#8ab4f8", "s1": "#ffab78", "s2": "#7bd88f", "s3": "#d9a8f5", "s4": "#a9b1bd",
}  # fmt: skip
TYPE_COLOURS = 8
USUAL_TYPES = ("PER", "LOC", "ORG", "MISC")


def type_order(type_: str) -> tuple[int, str]:
    """Sorts types: the usual ones as papers list them, then the others by name."""
    return (USUAL_TYPES.index(type_) if type_ in USUAL_TYPES else len(USUAL_TYPES), type_)


def type_colours(types: Iterable[str]) -> dict[str, str]:
    """The CSS class of each type, in the order of types; from the ninth on colours come back."""
    return {type_: f"t{number % TYPE_COLOURS}" for number, type_ in enumerate(sorted(set(types), key=type_order))}


def _variables(colours: dict[str, str]) -> str:
    return "".join(f"--{name}:{value};" for name, value in colours.items())


STYLE = (
    f"""
:root{{color-scheme:light dark;{_variables(LIGHT)}}}
@media (prefers-color-scheme:dark){{:root{{{_variables(DARK)}}}}}
{"".join(f".t{number}{{background:var(--t{number})}}" for number in range(TYPE_COLOURS))}
{"".join(f".s{number}{{stroke:var(--s{number});fill:var(--s{number})}}" for number in range(5))}
"""
    + """
*{box-sizing:border-box}
body{margin:0;background:var(--page);color:var(--ink);font:16px/1.5 system-ui,sans-serif;overflow-wrap:anywhere}
main{max-width:68rem;margin:0 auto;padding:1rem}
h1{font-size:1.7rem;line-height:1.2;margin:.6rem 0}
h2{font-size:1.25rem;margin:2rem 0 .6rem}
h3{font-size:1rem;margin:0}
p{margin:.4rem 0;max-width:48rem}
.soft,figcaption,caption,footer,summary{color:var(--soft)}
.facts{display:grid;grid-template-columns:repeat(auto-fit,minmax(9.5rem,1fr));gap:.75rem;padding:0;margin:1rem 0}
.facts div,.chart,.card,.wide{background:var(--panel);border:1px solid var(--rule);border-radius:.6rem}
.facts div{padding:.7rem .9rem}
.facts dt{color:var(--soft);font-size:.9rem}
.facts dd{margin:0}
.facts .value{font-size:1.6rem;font-weight:650;font-variant-numeric:tabular-nums}
.facts .note{font-size:.85rem;color:var(--soft)}
.wide{overflow-x:auto;margin:.75rem 0}
table{border-collapse:collapse;width:100%;font-variant-numeric:tabular-nums;overflow-wrap:normal}
caption{caption-side:top;text-align:start;padding:.7rem .9rem .2rem;font-weight:600;color:var(--ink)}
th,td{padding:.4rem .9rem;text-align:end;border-top:1px solid var(--rule);white-space:nowrap}
thead th{border-top:0;color:var(--soft);font-weight:500;vertical-align:bottom}
th:first-child{text-align:start;position:sticky;inset-inline-start:0;background:var(--panel)}
tbody th{font-weight:500;white-space:normal;min-width:9rem}
tr.ours>*{font-weight:700}
tr.reference>*{font-style:italic;color:var(--soft)}
.charts{display:grid;grid-template-columns:repeat(auto-fit,minmax(min(100%,24rem),1fr));gap:.75rem}
.chart{margin:0;padding:.8rem;min-width:0}
.chart figcaption{font-weight:600;color:var(--ink)}
svg{display:block;width:100%;height:auto}
.chart text{fill:var(--soft);font-size:13px}
.grid{stroke:var(--rule)}
.level{stroke:var(--ink);stroke-dasharray:4 4}
.curve polyline{fill:none;stroke-width:2.5}
.curve circle,.curve path{stroke-width:1.5}
.legend{list-style:none;display:flex;flex-wrap:wrap;gap:.2rem 1.2rem;margin:.3rem 0;padding:0}
.legend li{display:flex;align-items:center;gap:.5rem}
.legend svg{width:36px}
.card{padding:1rem;margin:1rem 0}
.card>header{display:flex;flex-wrap:wrap;gap:0 1rem;align-items:baseline;margin-bottom:.6rem}
.body{display:grid;grid-template-columns:minmax(0,17rem) minmax(0,1fr);gap:1rem}
.body.bare{grid-template-columns:minmax(0,1fr)}
figure{margin:0}
.card svg{border-radius:.4rem;max-height:24rem}
.views svg{max-height:18rem}
.line{display:grid;grid-template-columns:4.2rem minmax(0,1fr);gap:.5rem;margin:.2rem 0 .8rem}
.line>span:first-child{color:var(--soft);font-size:.9rem;padding-top:.15rem}
.sentence{font-size:1.1rem;line-height:2.05;white-space:pre-wrap}
.entity{color:var(--ink);padding:.12em .35em;border-radius:.35em;border:1.5px solid transparent;text-decoration:none;
-webkit-box-decoration-break:clone;box-decoration-break:clone}
.entity b{unicode-bidi:plaintext;
font-size:.72em;letter-spacing:.02em;margin-inline-start:.4em;font-weight:650;white-space:nowrap}
.entity.wrong{border:1.5px dashed var(--bad)}
.entity.missed{border:1.5px dotted var(--ink)}
a.entity{cursor:pointer;text-decoration:underline dotted;text-underline-offset:.25em}
a.entity[aria-current=true]{border:1.5px solid var(--ink);text-decoration:underline solid}
a:focus-visible,summary:focus-visible,.wide:focus-visible{outline:3px solid var(--link);outline-offset:2px}
.verdict{font-weight:700}
.right .verdict{color:var(--good)}
.wrong .verdict{color:var(--bad)}
.looks{margin-top:.5rem;border-top:1px solid var(--rule);padding-top:.6rem}
.look{scroll-margin-top:1rem;display:inline-block;vertical-align:top;width:100%}
.look h4{margin:.2rem 0 .4rem;font-size:.95rem;font-weight:600}
.views{display:grid;grid-template-columns:repeat(auto-fill,minmax(min(100%,11rem),1fr));gap:.75rem}
.live .views{grid-template-columns:repeat(auto-fill,minmax(min(100%,15rem),1fr))}
.live .look:not(.chosen){display:none}
.views figcaption{font-size:.85rem}
.views use{filter:grayscale(1) contrast(.8)}
.unseen{fill:#000;fill-opacity:.62}
.top{fill:none;stroke:#fff;vector-effect:non-scaling-stroke;stroke-width:2}
.top.under{stroke:#000;stroke-width:4}
.store{position:absolute;width:0;height:0}
details{margin-top:.4rem}
summary{cursor:pointer}
footer{margin:2.5rem 0 1rem;font-size:.9rem}
@media (max-width:44rem){
 .body{grid-template-columns:minmax(0,1fr)}
 .line{grid-template-columns:minmax(0,1fr);gap:0}
 .views,.live .views{grid-template-columns:repeat(2,minmax(0,1fr))}
 th,td{padding:.4rem .6rem}
 tbody th{min-width:7rem}
}
@media print{.live .look:not(.chosen){display:block}}
"""
)

# Without the script every entity is a link to its pictures, and all of them are shown.
SCRIPT = """
for (const card of document.querySelectorAll(".card")) {
  const links = [...card.querySelectorAll("a.entity")];
  if (!links.length) continue;
  const choose = (link) => {
    for (const other of links) other.removeAttribute("aria-current");
    link.setAttribute("aria-current", "true");
    for (const look of card.querySelectorAll(".look"))
      look.classList.toggle("chosen", "#" + look.id === link.getAttribute("href"));
  };
  card.classList.add("live");
  for (const link of links)
    link.addEventListener("click", (event) => { event.preventDefault(); choose(link); });
  choose(links[0]);
}
"""
