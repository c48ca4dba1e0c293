// Sentences to begin with. The drawn pictures are those of the built-in corpus, and so are the names in them.

import { at, make } from "./dom.js";

/** Fill the list; `take(example, button)` is called for the one that is chosen. */
export async function fillExamples(take) {
  const response = await fetch("examples/examples.json");
  const examples = await response.json();
  at("examples").replaceChildren(
    ...examples.map((example) => {
      const words = make("span", { class: "example-words" }, make("bdi", { lang: example.language }, example.title));
      words.append(make("small", {}, example.note));
      const sign = example.image
        ? make("img", { src: `examples/${example.image}`, alt: "", width: "48", height: "48" })
        : make("span", { class: "sign", "aria-hidden": "true" }, example.sign);
      const button = make("button", { type: "button", "aria-pressed": "false" }, sign, words);
      button.addEventListener("click", () => take(example, button));
      return make("li", {}, button);
    }),
  );
}
