// The name in hand: what it may be, what the picture did, and where in the picture the model looked.

import { at, make } from "./dom.js";
import { meaningOf, percent, toneOf } from "./marks.js";
import { drawVeil, placesOf } from "./veil.js";

const VIEWS = { clip: "CLIP", resnet: "ResNet", vgg: "VGG", vit: "ViT" };
const SMALLEST = 0.005;
const WORTH_TELLING = 0.1;

/** Shows one mark of an answer, or the whole text where there is none. */
export class Lens {
  constructor() {
    this.answer = null;
    this.pane = 0;
    this.mark = null;
    this.without = false;
    new ResizeObserver(() => this.#draw()).observe(at("shown"));
    at("views").addEventListener("change", (event) => {
      this.pane = Number(event.target.value);
      this.#draw();
    });
  }

  /** Begin with an answer; `url` is the picture that it was given, or null. */
  open(answer, url) {
    this.answer = answer;
    this.pane = 0;
    at("view").hidden = !url;
    if (url) this.#fit(url);
    else at("picture").removeAttribute("src");
    const panes = answer.regions ?? [];
    at("views").hidden = panes.length < 2;
    at("views").replaceChildren(at("views").firstElementChild, ...panes.map(choice));
    this.show(null, false);
  }

  /** Show a mark, or the whole text, of the reading with or `without` the picture. */
  show(mark, without) {
    this.mark = mark;
    this.without = without;
    at("shown").classList.toggle("unseen", without);
    at("facts").replaceChildren(...(mark ? markFacts(mark, without) : this.#textFacts()));
    this.#draw();
  }

  /** Show a picture as large as its place allows, in its own proportions: the canvas above it has to have the same. */
  async #fit(url) {
    at("picture").src = url;
    await at("picture").decode().catch(() => {});
    const { naturalWidth, naturalHeight } = at("picture");
    at("shown").style.setProperty("--ratio", naturalHeight ? naturalWidth / naturalHeight : 1);
  }

  #gaze() {
    if (this.without || !this.answer) return null;
    const panes = this.answer.regions ?? [];
    return (this.mark?.mention.regions ?? panes)[this.pane] ?? null;
  }

  #draw() {
    const pane = this.answer?.regions?.[this.pane];
    const gaze = pane ? this.#gaze() : null;
    drawVeil(at("veil"), pane?.size ?? [1, 1], pane?.box ?? [0, 0, 1, 1], gaze);
    at("veil").setAttribute("aria-label", gaze ? `${viewName(pane.view)} looked hardest ${placesOf(gaze)}` : "The picture");
    for (const element of at("facts").querySelectorAll(".gaze")) element.textContent = this.#gazeWords(pane, gaze);
  }

  #gazeWords(pane, gaze) {
    if (!gaze) return "";
    const whole = gaze.elsewhere >= WORTH_TELLING ? ` ${percent(gaze.elsewhere)} went to the picture as a whole.` : "";
    return `${viewName(pane.view)} looked hardest ${placesOf(gaze)}.${whole}`;
  }

  #textFacts() {
    const { answer, without } = this;
    if (without) return [make("p", { class: "soft" }, "The model read the text alone. Point at a name to compare.")];
    const how = matchMedia("(hover: none)").matches ? "Tap a name to see more." : "Point at a name, or step to it with Tab.";
    const lines = [make("p", { class: "soft" }, answer.entities.length ? how : "")];
    if (answer.regions?.length) lines.push(make("p", { class: "soft" }, "Bright: where all words looked on average."));
    return lines;
  }
}

function viewName(view) {
  return VIEWS[view] ?? view;
}

function choice(pane, number) {
  const input = make("input", { type: "radio", name: "view", value: number });
  input.checked = number === 0;
  return make("label", {}, input, make("span", {}, viewName(pane.view)));
}

function markFacts(mark, without) {
  const { mention } = mark;
  const head = make("p", { class: "name" }, make("bdi", {}, mention.text));
  const meaning = meaningOf(mention.type);
  const type = make("p", { class: "kind" }, make("span", { class: `chip c${toneOf(mention.type)}` }, mention.type));
  if (meaning) type.append(" ", make("span", { class: "soft" }, meaning));
  return [head, type, bars(mention), ...effect(mark, without), make("p", { class: "soft gaze" })];
}

function bars(mention) {
  const rows = [[mention.type, mention.score, toneOf(mention.type)]];
  for (const { type, score } of mention.alternatives ?? []) rows.push([type, score, toneOf(type)]);
  if (mention.alternatives) {
    const rest = 1 - rows.reduce((sum, [, score]) => sum + score, 0) - mention.no_entity - mention.other_borders;
    rows.push(["other types", rest, null], ["other borders", mention.other_borders, null], ["no name", mention.no_entity, null]);
  }
  const shown = rows.filter(([, score], number) => number === 0 || score >= SMALLEST);
  return make("ul", { class: "bars", "aria-label": "How likely it is what" }, ...shown.map(bar));
}

function bar([what, score, tone]) {
  const fill = make("span", { class: tone === null ? "fill" : `fill c${tone}` });
  fill.style.inlineSize = `${Math.max(1, 100 * score)}%`;
  const track = make("span", { class: "rail", "aria-hidden": "true" }, fill);
  return make("li", {}, make("span", { class: "what" }, what), track, make("span", { class: "much" }, percent(score)));
}

function effect({ mention, note }, without) {
  const found = mention.image_effect;
  if (!found) return [];
  const other = without ? "With the picture" : "Without the picture";
  if (note === "gone") return [make("p", {}, "Without the picture this is not found.")];
  const words = {
    same: `${other} it would be the same, at ${percent(found.score)}.`,
    type: `${other} it would be ${found.type}, with ${mention.type} at ${percent(found.score)}.`,
    borders: `${other} the name would have other borders.`,
    only_here: `${other} this would not be found.`,
  };
  return [make("p", { class: found.change === "same" ? "soft" : "turned" }, words[found.change])];
}
