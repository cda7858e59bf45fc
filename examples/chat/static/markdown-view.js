// Markdown as DOM nodes. Text stays text: no markup of a message is ever read as such.

import { copyButton } from "./copy.js";
import { h } from "./dom.js";
import { parseInline } from "./inline.js";
import { parseBlocks } from "./markdown.js";

/** Render `text` into `parent`. A block that is there already stays: a stream repaints its end only. */
export function renderMarkdown(parent, text) {
  const blocks = parseBlocks(text);
  blocks.forEach((block, index) => {
    const source = `${block.kind} ${block.source}`;
    const there = parent.children[index];
    if (there?.source === source) return;
    const element = build(block);
    element.source = source;
    if (there) there.replaceWith(element);
    else parent.append(element);
  });
  while (parent.children.length > blocks.length) parent.lastElementChild.remove();
}

function build(block) {
  switch (block.kind) {
    case "code":
      return codeOf(block);
    case "heading":
      // Under the title, which is the page's first heading.
      return h("h2", { class: block.level > 2 ? "minor" : null }, ...textOf(block.text));
    case "rule":
      return h("hr");
    case "quote":
      return h("blockquote", {}, ...block.blocks.map(build));
    case "list":
      return h(block.start === null ? "ul" : "ol", { start: block.start }, ...block.items.map(item));
    case "table":
      return tableOf(block);
    default:
      return h("p", {}, ...textOf(block.text));
  }
}

function item([first, ...rest]) {
  if (first?.kind !== "paragraph") return h("li", {}, ...(first ? [first, ...rest] : []).map(build));
  return h("li", {}, ...textOf(first.text), ...rest.map(build));
}

function codeOf({ language, text }) {
  return h(
    "div",
    { class: "code" },
    h("div", { class: "code-head" }, h("span", {}, language || "text"), copyButton("Copy code", text)),
    h("pre", { tabindex: "0" }, h("code", {}, text)),
  );
}

function tableOf({ align, head, rows }) {
  const cell = (tag) => (text, index) => h(tag, { class: align[index] ?? "start" }, ...textOf(text));
  return h(
    "div",
    { class: "table", tabindex: "0", role: "group", "aria-label": "Table" },
    h(
      "table",
      {},
      h("thead", {}, h("tr", {}, ...head.map(cell("th")))),
      h("tbody", {}, ...rows.map((row) => h("tr", {}, ...row.map(cell("td"))))),
    ),
  );
}

const textOf = (text) => parseInline(text).map(inline);

function inline(node) {
  if (typeof node === "string") return node;
  const { tag, href, children } = node;
  const attributes = href ? { href, target: "_blank", rel: "noopener noreferrer" } : {};
  return h(tag, attributes, ...children.map(inline));
}
