// The card of the model.

import { askModel } from "./asking.js";
import { at, make } from "./dom.js";
import { toneOf } from "./marks.js";

const PATIENCE = 20;
const NUMBER = new Intl.NumberFormat("en");

/** Ask what the model is and fill its card; while it is being loaded, ask again. */
export async function fillCard(token, tries = PATIENCE) {
  let facts;
  try {
    facts = await askModel(token);
  } catch (trouble) {
    at("model-facts").replaceChildren(line("Nothing is known of it", trouble.title));
    at("model-name").textContent = trouble.status === 503 ? "The model is loading" : "About the model";
    if (trouble.status === 503 && tries) setTimeout(() => fillCard(token, tries - 1), 1000 * trouble.retry);
    return;
  }
  const views = facts.views.length ? facts.views.join(" and ") : "none: it reads text alone";
  const types = make("dd", { class: "types" });
  for (const type of facts.types) types.append(make("span", { class: `chip c${toneOf(type)}` }, type), " ");
  at("model-name").textContent = "About the model";
  at("model-facts").replaceChildren(
    make("div", {}, make("dt", {}, "Types"), types),
    line("Text encoder", facts.text_encoder),
    line("Views of the picture", views),
    line("Head", facts.head),
    line("Parameters", facts.parameters === null ? "not known" : NUMBER.format(facts.parameters)),
    line("Runs on", `${facts.device}, ${facts.threads} ${facts.threads === 1 ? "thread" : "threads"}`),
    line("Versions", Object.entries(facts.versions).map((pair) => pair.join(" ")).join(", ")),
    line("Digest", facts.digest, "digest"),
  );
}

function line(name, value, kind = "") {
  return make("div", {}, make("dt", {}, name), make("dd", { class: kind }, String(value)));
}
