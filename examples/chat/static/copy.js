// Buttons that copy. What became of it is said in the button for a while, and to a screen reader.

import { h, icon } from "./dom.js";

const SAID_MS = 2000;

/** Return a button that copies `text`. A browser that has no clipboard for the page gets none. */
export function copyButton(label, text) {
  if (!navigator.clipboard) return null;
  const onclick = ({ currentTarget }) => copy(text, currentTarget);
  return h("button", { type: "button", class: "copy", "aria-label": label, title: label, onclick }, icon("copy"));
}

/** Copy `text`, and say in `button` whether that was possible. */
export async function copy(text, button) {
  let image = "done";
  try {
    await navigator.clipboard.writeText(text);
  } catch (error) {
    console.info("not copied:", error.name);
    image = "warning";
  }
  const detail = image === "done" ? "Copied." : "The browser did not allow to copy.";
  button.dispatchEvent(new CustomEvent("copied", { bubbles: true, detail }));
  button.title = detail;
  button.replaceChildren(icon(image));
  clearTimeout(button.reset);
  button.reset = setTimeout(() => {
    button.title = button.getAttribute("aria-label");
    button.replaceChildren(icon("copy"));
  }, SAID_MS);
}
