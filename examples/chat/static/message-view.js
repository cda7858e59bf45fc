// The elements of one message. What did not change keeps its element.

import { h, icon } from "./dom.js";
import { renderMarkdown } from "./markdown-view.js";

const SPEAKERS = {
  user: "You",
  assistant: "Assistant",
  system: "System",
  developer: "Developer",
  tool: "Tool",
};
const OTHER = "Another program";
const ENDED = {
  interrupted: () => "Interrupted. What had arrived is kept.",
  failed: ({ failure }) => `The reply failed${failure ? `: ${failure}` : "."} What had arrived is kept.`,
};
const NO_TEXT = "This message is another program's. It has no text to show.";

/**
 * Return the list item of a row: `{message, results, alternatives, actions, note, problem}`. `old` is
 * the one that was returned for this message before, or null.
 */
export function renderMessage(row, old) {
  const { message } = row;
  const item = old ?? build(message);
  item.dataset.status = message.status;
  item.firstElementChild.setAttribute("aria-busy", message.status === "streaming");
  const [, body, tools, foot] = item.firstElementChild.children;
  if (["user", "system", "developer"].includes(message.role)) body.textContent = message.content;
  else renderMarkdown(body, message.content);
  const calls = disclosures(row);
  if (changed(tools, calls)) {
    const open = new Set([...tools.querySelectorAll("details[open]")].map(({ id }) => id));
    tools.replaceChildren(...calls.map(disclose));
    for (const details of tools.children) details.open = open.has(details.id);
  }
  const { index, count, isLocked } = row.alternatives ?? {};
  const chooser = [index, count, isLocked];
  const actions = row.actions.map(({ name, isQuiet }) => [name, isQuiet]);
  const says = [actions, chooser, row.note, row.problem?.message, message.status];
  if (changed(foot, says)) foot.replaceChildren(...footOf(row));
  return item;
}

function build({ role }) {
  return h(
    "li",
    { class: `message ${role ?? "other"}` },
    h(
      "article",
      { "aria-label": SPEAKERS[role] ?? OTHER },
      h("p", { class: "speaker", "aria-hidden": "true" }, SPEAKERS[role] ?? OTHER),
      h("div", { class: "body" }),
      h("div", { class: "tools" }),
      h("div", { class: "message-foot" }),
    ),
  );
}

/** Whether an element was made from something else than `from`; remembers it. */
function changed(element, from) {
  const source = JSON.stringify(from);
  if (element.source === source) return false;
  element.source = source;
  return true;
}

/** Return what there is to disclose: each call with its result, and results on their own. */
function disclosures({ message, results }) {
  const calls = (message.tool_calls ?? []).map(({ id, function: called }) => {
    const result = results.get(id);
    const state = result === undefined ? "no result yet" : "done";
    const parts = [["Arguments", called.arguments], ["Result", result]];
    return { id: `call-${id}`, kind: "Called", name: called.name, state, parts };
  });
  // Those whose calls are not on the page.
  const alone = (message.tool_results ?? []).map(({ tool_call_id, content }) => {
    const parts = [["Result", content]];
    return { id: `result-${tool_call_id}`, kind: "Result of", name: "an earlier call", state: "", parts };
  });
  return [...calls, ...alone];
}

function disclose({ id, kind, name, state, parts }) {
  return h(
    "details",
    { class: "tool", id },
    h(
      "summary",
      {},
      icon("tool"),
      h("span", { class: "tool-kind" }, kind),
      h("code", { class: "tool-name" }, name),
      h("span", { class: "tool-state" }, state),
    ),
    ...parts.filter(([, value]) => value !== undefined).map(([label, value]) => part(label, value)),
  );
}

function part(label, value) {
  return h(
    "div",
    { class: "tool-part" },
    h("p", { class: "tool-label" }, label),
    h("pre", { tabindex: "0", "aria-label": label }, h("code", {}, pretty(value))),
  );
}

function pretty(value) {
  try {
    return JSON.stringify(typeof value === "string" ? JSON.parse(value) : value, null, 2);
  } catch {
    return value; // text of another kind, shown as it is
  }
}

function footOf({ message, alternatives, actions, note, problem }) {
  const text = note ?? ENDED[message.status]?.(message) ?? (message.role === null && !message.content ? NO_TEXT : null);
  return [
    ...(problem ? [h("p", { class: "note problem", role: "alert" }, icon("warning"), sentence(problem))] : []),
    ...(text ? [h("p", { class: "note" }, text)] : []),
    ...(alternatives ? [chooserOf(alternatives)] : []),
    ...actions.map(({ name, icon: image, run, isQuiet }) => {
      const label = isQuiet ? { "aria-label": name, title: name } : {};
      return h(
        "button",
        { type: "button", class: isQuiet ? "action quiet" : "action", onclick: run, ...label },
        image ? icon(image) : null,
        isQuiet ? null : name,
      );
    }),
  ];
}

/** Return which of the alternatives is shown, between two arrows to those beside it. */
function chooserOf({ index, count, isLocked, choose }) {
  const arrow = (name, step) => {
    const target = index + step;
    const disabled = isLocked || target < 0 || target === count;
    const label = `${name} alternative`;
    const onclick = () => choose(target, label);
    return h(
      "button",
      { type: "button", class: "arrow", "aria-label": label, disabled, onclick },
      icon(name.toLowerCase()),
    );
  };
  return h(
    "div",
    { class: "alternatives", role: "group", "aria-label": "Alternatives" },
    arrow("Previous", -1),
    h("span", {}, `${index + 1} of ${count}`),
    arrow("Next", 1),
  );
}

const sentence = ({ title, detail }) => (detail ? `${title}: ${detail}` : `${title}.`);

/** Turn a message into a form; calls `save` with the new text, and `leave` when it is closed. */
export function renderEditor(message, { save, leave }) {
  const text = h("textarea", { "aria-label": "Edit your message", rows: "1" });
  text.value = message.content;
  const submit = (event) => {
    event.preventDefault();
    const content = text.value.trim();
    if (!content) return;
    if (content === message.content) leave();
    else save(content);
  };
  text.addEventListener("keydown", (event) => {
    if (event.key === "Enter" && !event.shiftKey && !event.isComposing) submit(event);
    if (event.key !== "Escape") return;
    event.stopPropagation();
    leave();
  });
  return h(
    "li",
    { class: "message user editing" },
    h(
      "form",
      { class: "editor", onsubmit: submit },
      text,
      h("p", { class: "note" }, "A new reply follows. What is here now is kept beside it."),
      h(
        "div",
        { class: "editor-actions" },
        h("button", { type: "button", class: "button", onclick: leave }, "Cancel"),
        h("button", { type: "submit", class: "button primary" }, "Save and reply"),
      ),
    ),
  );
}
