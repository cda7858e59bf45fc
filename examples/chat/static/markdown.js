// A small part of Markdown as DOM nodes: paragraphs, headings, lists, code, bold. All else is text.

import { h } from "./dom.js";

const FENCE = /^```([\w+#.-]*)\s*$/;
const HEADING = /^#{1,6} +(.+)$/;
const BULLET = /^ {0,3}[-*+] +(.*)$/;
const NUMBER = /^ {0,3}(\d{1,9})[.)] +(.*)$/;

/** Render `text` into `parent`. A block that is there already stays: a stream repaints its end only. */
export function renderMarkdown(parent, text) {
  const blocks = split(text);
  blocks.forEach((block, index) => {
    const source = `${block.kind} ${block.start ?? ""} ${block.lines.join("\n")}`;
    const there = parent.children[index];
    if (there?.source === source) return;
    const element = build(block);
    element.source = source;
    if (there) there.replaceWith(element);
    else parent.append(element);
  });
  while (parent.children.length > blocks.length) parent.lastElementChild.remove();
}

function split(text) {
  const blocks = [];
  let open = null; // the block that the next line may belong to
  const begin = (kind, line, more = {}) => {
    open = { kind, lines: [line], ...more };
    blocks.push(open);
  };
  for (const line of text.split("\n")) {
    let match;
    if (open?.kind === "code") {
      if (line.trimEnd() === "```") open = null;
      else open.lines.push(line);
    } else if ((match = FENCE.exec(line))) {
      open = { kind: "code", lines: [], language: match[1] };
      blocks.push(open);
    } else if (!line.trim()) {
      open = null;
    } else if ((match = HEADING.exec(line))) {
      begin("heading", match[1]);
      open = null;
    } else if ((match = BULLET.exec(line))) {
      if (open?.kind === "bullets") open.lines.push(match[1]);
      else begin("bullets", match[1]);
    } else if ((match = NUMBER.exec(line))) {
      if (open?.kind === "numbers") open.lines.push(match[2]);
      else begin("numbers", match[2], { start: Number(match[1]) });
    } else if (open?.kind === "paragraph") {
      open.lines.push(line);
    } else if (open && line.startsWith("  ")) {
      open.lines[open.lines.length - 1] += `\n${line.trim()}`;
    } else {
      begin("paragraph", line);
    }
  }
  return blocks;
}

function build({ kind, lines, start }) {
  switch (kind) {
    case "code":
      return h("pre", { tabindex: "0" }, h("code", {}, lines.join("\n")));
    case "heading":
      return h("h2", {}, ...inline(lines[0]));
    case "bullets":
      return h("ul", {}, ...lines.map((line) => h("li", {}, ...inline(line))));
    case "numbers":
      return h("ol", { start }, ...lines.map((line) => h("li", {}, ...inline(line))));
    default:
      return h("p", {}, ...inline(lines.join("\n")));
  }
}

/** Return text, `code` and **bold**. A mark without its second one is text. */
function inline(text) {
  const nodes = [];
  let from = 0;
  for (let at = 0; at < text.length; ) {
    const mark = text[at] === "`" ? "`" : text.startsWith("**", at) ? "**" : null;
    const end = mark ? text.indexOf(mark, at + mark.length) : -1;
    if (end <= at + (mark?.length ?? 0)) {
      at += mark?.length ?? 1;
      continue;
    }
    if (from < at) nodes.push(text.slice(from, at));
    nodes.push(h(mark === "`" ? "code" : "strong", {}, text.slice(at + mark.length, end)));
    from = at = end + mark.length;
  }
  if (from < text.length) nodes.push(text.slice(from));
  return nodes;
}
