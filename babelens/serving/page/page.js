// The page: what the reader does, and what becomes of it.

import { askNames, curlOf, Trouble } from "./asking.js";
import { fillCard } from "./card.js";
import { at } from "./dom.js";
import { fillExamples } from "./examples.js";
import { Picker } from "./picking.js";
import { Result } from "./result.js";
import { clearTrouble, tellTrouble } from "./trouble.js";

const TRIES = 5;

let token = null;
let asked = 0;
let url = null;

const result = new Result();
const picker = new Picker(
  () => {
    clearTrouble();
    marked(null);
  },
  (trouble) => tellTrouble(trouble, {}),
);

/** Ask for the names of the text that stands there; `tries` is how often it is asked again by itself. */
async function ask(tries = TRIES) {
  clearTrouble();
  const text = at("text").value.toWellFormed?.() ?? at("text").value;
  if (!text.trim()) {
    at("text").focus();
    tellTrouble(new Trouble("There is no text yet", "Type or paste one, or take an example."), {});
    return;
  }
  asked += 1;
  const own = asked;
  const { picture } = picker;
  wait(true);
  try {
    const answer = await askNames(text, picture?.file ?? null, token);
    if (own === asked) show(answer, text, picture);
  } catch (error) {
    if (own !== asked) return;
    if (!(error instanceof Trouble)) throw error;
    tell(error, tries);
  } finally {
    if (own === asked) wait(false);
  }
}

function show(answer, text, picture) {
  if (url) URL.revokeObjectURL(url);
  url = picture ? URL.createObjectURL(picture.shown) : null;
  result.show(answer, url, curlOf(text, picture?.file ?? null, token));
  at("status").textContent = result.summary;
  const top = at("result").getBoundingClientRect().top;
  if (top > 0.55 * innerHeight || top < 0) at("result").scrollIntoView({ block: "start" });
}

function tell(trouble, tries) {
  tellTrouble(trouble, {
    again: () => ask(),
    automatic: trouble.retry !== null && tries > 0 ? () => ask(tries - 1) : null,
    token: (given) => {
      token = given;
      fillCard(token);
      ask();
    },
  });
}

function wait(waiting) {
  at("ask").classList.toggle("waiting", waiting);
  at("result").setAttribute("aria-busy", String(waiting));
  at("send").setAttribute("aria-disabled", String(waiting));
  at("send-words").textContent = waiting ? "Reading" : "Find the names";
  if (waiting) at("status").textContent = "Reading";
}

/** Say which example stands there, if any; what was answered before is then of another text. */
function marked(example) {
  for (const other of at("examples").querySelectorAll("button")) other.setAttribute("aria-pressed", String(other === example));
  at("stale").hidden = false;
}

async function take(example, button) {
  at("text").value = example.text;
  if (example.image) {
    const response = await fetch(`examples/${example.image}`);
    await picker.put(new File([await response.blob()], example.image, { type: "image/jpeg" }));
  } else {
    picker.clear();
  }
  marked(button);
  await ask();
}

at("ask").addEventListener("submit", (event) => {
  event.preventDefault();
  if (at("send").getAttribute("aria-disabled") !== "true") ask();
});
at("text").addEventListener("keydown", (event) => {
  if (event.key === "Enter" && (event.ctrlKey || event.metaKey)) at("ask").requestSubmit();
});
at("text").addEventListener("input", () => marked(null));

at("model-open").addEventListener("click", () => at("model").showModal());
at("model-close").addEventListener("click", () => at("model").close());
at("model").addEventListener("click", (event) => event.target === at("model") && at("model").close());

const dark = () => {
  const chosen = document.documentElement.dataset.theme;
  return chosen ? chosen === "dark" : matchMedia("(prefers-color-scheme: dark)").matches;
};
const tellTheme = () => at("theme").setAttribute("aria-pressed", String(dark()));
at("theme").addEventListener("click", () => {
  const theme = dark() ? "light" : "dark";
  document.documentElement.dataset.theme = theme;
  try {
    localStorage.setItem("babelens-theme", theme);
  } catch {
    // Then it lasts as long as the page.
  }
  tellTheme();
});
matchMedia("(prefers-color-scheme: dark)").addEventListener("change", tellTheme);

if (/Mac|iPhone|iPad/.test(navigator.platform)) at("text-hint").firstElementChild.textContent = "⌘";
tellTheme();
fillExamples(take);
fillCard(token);
