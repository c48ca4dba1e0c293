// What is said where something went wrong, and what can be done about it.

import { at, make } from "./dom.js";

let clock = null;

/**
 * Say what is wrong. `again` asks again, and so does `automatic` by itself after the time that the trouble names;
 * `token(words)` asks with a token. What is left out is not offered.
 */
export function tellTrouble(trouble, { again, automatic, token }) {
  clearTrouble();
  const box = at("problem");
  const title = make("p", { class: "title" }, trouble.title);
  const actions = make("div", { class: "actions" });
  box.replaceChildren(make("div", {}, title, make("p", {}, trouble.text)), actions);
  box.hidden = false;
  if (trouble.status === 401) actions.append(tokenForm(token));
  else if (again) actions.append(button(again));
  if (automatic) actions.append(countdown(automatic, trouble.retry));
  box.scrollIntoView({ block: "nearest" });
}

/** Take it away. */
export function clearTrouble() {
  clearInterval(clock);
  at("problem").hidden = true;
  at("problem").replaceChildren();
}

function button(again) {
  const made = make("button", { type: "button", class: "quiet" }, "Try again");
  made.addEventListener("click", again);
  return made;
}

function countdown(automatic, seconds) {
  const left = make("span", { class: "soft", "aria-hidden": "true" });
  let rest = seconds;
  const tick = () => {
    left.textContent = ` by itself in ${rest} s`;
    if (rest === 0) automatic();
    rest -= 1;
  };
  tick();
  clock = setInterval(tick, 1000);
  return left;
}

function tokenForm(token) {
  const input = make("input", { type: "password", id: "token", autocomplete: "off" });
  const form = make("form", { class: "token" }, make("label", { for: "token" }, "Token"), input);
  form.append(make("button", { class: "quiet" }, "Use it"));
  form.addEventListener("submit", (event) => {
    event.preventDefault();
    if (input.value.trim()) token(input.value.trim());
  });
  return form;
}
