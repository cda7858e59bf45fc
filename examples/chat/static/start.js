// What stands where no message does: a conversation that is new, or one that is not there.

import { h, icon } from "./dom.js";

const SUGGESTIONS = [
  { image: "tool", title: "How is the weather in Oslo?", about: "Asks a tool" },
  { image: "tasks", title: "Remind me to water the plants", about: "Puts a task on your list" },
  { image: "text", title: "Show me some Markdown", about: "Lists, a table and code" },
  { image: "again", title: "Count to 300", about: "Stop it, or reload the page" },
];

/** Return the beginning of a new chat; a suggestion that is chosen is told to `onchoose`. */
export function greeting(onchoose) {
  const suggestion = ({ image, title, about }) =>
    h(
      "li",
      {},
      h(
        "button",
        { type: "button", class: "suggestion", onclick: () => onchoose(title) },
        icon(image),
        h("span", { class: "suggestion-title" }, title),
        h("span", { class: "suggestion-about" }, about),
      ),
    );
  return h(
    "div",
    { class: "empty" },
    h("p", { class: "empty-title" }, "What is on your mind?"),
    h("p", {}, "Each message is stored before it is answered, and each reply while it arrives."),
    h("ul", { class: "suggestions", "aria-label": "Suggestions" }, ...SUGGESTIONS.map(suggestion)),
  );
}

/** Return the way back from a conversation that this user does not have. */
export function missing(user) {
  return h(
    "div",
    { class: "empty", role: "alert" },
    h("p", { class: "empty-title" }, "This conversation is not here"),
    h("p", {}, "It was deleted, or it is another user's."),
    h("p", { class: "empty-actions" }, h("a", { class: "button primary", href: `#${user}` }, "Start a new chat")),
  );
}
