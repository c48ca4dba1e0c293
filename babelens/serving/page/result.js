// The answer on the page: the text with its names, what the picture changed, and what can be copied.

import { at, make } from "./dom.js";
import { Lens } from "./lens.js";
import { cutText, marksOf, meaningOf, percent, toneOf } from "./marks.js";

const LONGEST_LIST = 3;
const TELLING = 0.05;
const NO_PART = "The picture took no part: this model reads text alone, or found no word to ask about.";

/** Shows one answer, and what the reader does with it. */
export class Result {
  constructor() {
    this.answer = null;
    this.lens = new Lens();
    this.marks = new Map();
    this.current = null;
    this.pinned = null;
    this.command = "";
    for (const control of ["without", "least"]) {
      at(control).addEventListener("input", () => {
        this.#mark();
        at("status").textContent = at("count").textContent;
      });
    }
    const marked = at("marked");
    marked.addEventListener("pointerover", (event) => this.#look(event.target, event.pointerType));
    marked.addEventListener("focusin", (event) => this.#look(event.target, null));
    marked.addEventListener("click", (event) => this.#pin(event.target));
    marked.addEventListener("keydown", (event) => this.#step(event));
    document.addEventListener("keydown", (event) => event.key === "Escape" && !at("model").open && this.#letGo());
    for (const [box, target, words] of [
      ["json-box", "json", () => JSON.stringify(this.answer, null, 2)],
      ["curl-box", "curl", () => this.command],
    ]) {
      at(box).addEventListener("toggle", () => {
        if (at(box).open) at(target).textContent = words();
      });
      at(`copy-${target}`).addEventListener("click", () => copy(at(`copy-${target}`), words(), at(target)));
    }
  }

  /** Show an answer; `url` is the picture that went with the question, `command` asks the same from a shell. */
  show(answer, url, command) {
    this.answer = answer;
    this.command = command;
    at("without").checked = false;
    at("switch-label").hidden = !answer.without_image;
    at("result").classList.toggle("alone", !url);
    at("lens").hidden = !url && !answer.entities.length;
    at("stale").hidden = true;
    document.body.classList.add("answered");
    for (const box of ["json-box", "curl-box"]) at(box).open = false;
    at("result").hidden = false;
    this.lens.open(answer, url);
    this.#mark();
    at("said").replaceChildren(...(url ? pictureWords(answer) : []));
  }

  /** The heading as it would be read out. */
  get summary() {
    return [at("count").textContent, at("said").textContent].filter(Boolean).join(" ");
  }

  #mark() {
    const without = at("without").checked;
    const least = Number(at("least").value) / 100;
    at("least-out").textContent = percent(least);
    const marks = marksOf(this.answer, without, least);
    this.marks = new Map();
    this.current = this.pinned = null;
    const pieces = cutText(this.answer.text, marks).map(({ text, mark }) => {
      if (!mark) return text;
      const made = element(text, mark, without);
      this.marks.set(made, mark);
      return made;
    });
    at("marked").replaceChildren(...pieces);
    const there = marks.filter(({ note }) => note !== "gone");
    const all = (without ? this.answer.without_image : this.answer.entities).length;
    at("count").textContent = countWords(there.length, all);
    at("legend").replaceChildren(...legend(there));
    this.lens.show(null, without);
  }

  #look(target, pointer) {
    const element = target.closest(".mark");
    if (!element || (this.pinned && pointer)) return;
    if (this.pinned !== element) this.#unpin();
    this.#select(element);
    if (!pointer) bring(element);
  }

  #select(element) {
    if (this.current === element) return;
    this.current?.classList.remove("current");
    this.current = element;
    element?.classList.add("current");
    this.lens.show(this.marks.get(element) ?? null, at("without").checked);
  }

  #pin(target) {
    const element = target.closest(".mark");
    if (!element) return;
    const again = this.pinned === element;
    this.#unpin();
    if (again) return;
    this.pinned = element;
    element.setAttribute("aria-pressed", "true");
    this.#select(element);
    bring(element);
  }

  #unpin() {
    this.pinned?.setAttribute("aria-pressed", "false");
    this.pinned = null;
  }

  #letGo() {
    if (!this.answer) return;
    this.#unpin();
    this.#select(null);
  }

  #step(event) {
    const element = event.target.closest(".mark");
    if (!element) return;
    if (event.key === "Enter" || event.key === " ") {
      event.preventDefault();
      this.#pin(element);
      return;
    }
    const marks = [...this.marks.keys()];
    const onward = getComputedStyle(element.parentElement).direction === "rtl" ? -1 : 1;
    const by = { ArrowRight: onward, ArrowLeft: -onward }[event.key];
    const next = { Home: marks[0], End: marks.at(-1) }[event.key] ?? (by && marks[marks.indexOf(element) + by]);
    if (!next) return;
    event.preventDefault();
    next.focus();
  }
}

/** Scroll to where a mark is seen: on phones the lens lies over the lower part of the text. */
function bring(element) {
  at("marked").style.setProperty("--covered", `${at("lens").offsetHeight}px`);
  element.scrollIntoView({ block: "nearest" });
}

function element(text, { mention, note, before }, without) {
  const words = make("bdi", { class: "words" }, text);
  const tag = make("span", { class: "tag", dir: "ltr" });
  if (before !== null) tag.append(make("s", {}, before), " ");
  if (note === "gone") tag.append("not found");
  else tag.append(make("b", {}, mention.type), " ");
  if (note === null && without && Math.abs(mention.image_effect.score - mention.score) >= TELLING) {
    tag.append(make("s", {}, percent(mention.image_effect.score)), " ");
  }
  if (note !== "gone") tag.append(make("span", { class: "score" }, percent(mention.score)));
  const more = { new: "new", borders: "other borders", type: "changed" }[note];
  if (more) tag.append(" ", make("i", {}, more));
  const kind = `mark c${toneOf(mention.type)}${note ? ` ${note}` : ""}`;
  return make("span", { class: kind, role: "button", tabindex: "0", "aria-pressed": "false" }, words, "\u00a0", tag);
}

function countWords(shown, all) {
  if (!all) return "No names found";
  const names = all === 1 ? "1 name" : `${all} names`;
  return shown === all ? names : `${shown} of ${names}`;
}

function legend(marks) {
  const counts = new Map();
  for (const { mention } of marks) counts.set(mention.type, (counts.get(mention.type) ?? 0) + 1);
  return [...counts]
    .sort(([one], [other]) => toneOf(one) - toneOf(other) || (one < other ? -1 : 1))
    .map(([type, count]) => {
      const chip = make("span", { class: `chip c${toneOf(type)}` }, type);
      const meaning = meaningOf(type);
      return make("li", {}, chip, make("span", { class: "soft" }, `${meaning && ` ${meaning}`} × ${count}`));
    });
}

/** What the picture had to do with the names, in a sentence or two. */
function pictureWords(answer) {
  if (answer.image_status !== "used") return [NO_PART];
  if (!answer.without_image) return [];
  const turned = answer.entities.filter(({ image_effect: effect }) => effect.change !== "same");
  const added = answer.without_image.filter(({ image_effect: effect }) => effect.change === "only_here");
  if (!turned.length && !added.length) return [answer.entities.length ? "Without the picture it is the same." : ""];
  const parts = turned.slice(0, LONGEST_LIST).map((mention) => {
    const { change, type } = mention.image_effect;
    const end = { type: ` would be ${type}`, borders: " would have other borders", only_here: " would be missed" }[change];
    return [make("bdi", {}, mention.text), end];
  });
  const rest = turned.length - LONGEST_LIST;
  if (rest > 0) parts.push([`${rest} more would differ`]);
  if (added.length) parts.push([`${added.length} more would be found`]);
  return ["Without the picture ", ...parts.flatMap((part, number) => [comma(number, parts.length), ...part]), "."];
}

/** What stands before a part of a list. */
function comma(number, of) {
  if (number === 0) return "";
  return number === of - 1 ? " and " : ", ";
}

async function copy(button, words, shown) {
  let done = true;
  try {
    await navigator.clipboard.writeText(words);
  } catch {
    // Outside of secure contexts pages have no clipboard: the text is marked instead.
    done = false;
    shown.textContent = words;
    getSelection().selectAllChildren(shown);
  }
  const told = done ? "Copied" : "Marked: press Ctrl C";
  const before = button.dataset.words ?? button.textContent;
  button.dataset.words = before;
  button.textContent = told;
  at("status").textContent = told;
  setTimeout(() => (button.textContent = before), 2500);
}
