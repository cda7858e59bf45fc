// The blocks of Markdown that models write, as data: paragraphs, headings, lists, quotations,
// tables, code, rules. Their text has its marks still, which `inline.js` parses. It knows no
// element; `markdown-view.js` shows them.

import { parseInline, plainText } from "./inline.js";

const FENCE = /^( *)(`{3,}|~{3,}) *([\w+#.-]{0,40})[^`]*$/;
const HEADING = /^ {0,3}(#{1,6}) +(.+)$/;
const RULE = /^ {0,3}([-*_])(?: *\1){2,} *$/;
const QUOTE = /^ {0,3}> ?(.*)$/;
const ITEM = /^( *)([-*+]|\d{1,9}[.)])( +|$)(.*)$/;
const DIVIDER = /^ {0,3}\|?(?: *:?-+:? *\|)+(?: *:?-+:? *)?$/;
const MAX_DEPTH = 6;

/** Return the blocks of a text, each with the lines that it is made of. */
export function parseBlocks(text) {
  return blocksOf(text.split("\n"), 0);
}

/** Return the first line that says something, without marks, and without a colon at its end. */
export function firstLine(text) {
  for (const line of text.trim().split("\n", 20)) {
    if (FENCE.test(line) || RULE.test(line) || DIVIDER.test(line)) continue;
    const bare = line.replace(/^\s*(?:(?:#{1,6}|[-*+>]|\d{1,9}[.)])\s+)+/, "");
    const cells = bare.trim().startsWith("|") ? cellsOf(bare).join(", ") : bare;
    const plain = plainText(parseInline(cells)).trim().replace(/:$/, "");
    if (plain) return plain;
  }
  return "";
}

function blocksOf(lines, depth) {
  const blocks = [];
  for (let at = 0; at < lines.length; ) {
    if (!lines[at].trim()) {
      at++;
      continue;
    }
    const block = (depth < MAX_DEPTH && blockAt(lines, at, depth)) || paragraphAt(lines, at, depth);
    blocks.push({ ...block, source: lines.slice(at, block.end).join("\n") });
    at = block.end;
  }
  return blocks;
}

function blockAt(lines, at, depth) {
  const line = lines[at];
  let found;
  if ((found = FENCE.exec(line))) return codeAt(lines, at, found);
  if ((found = HEADING.exec(line))) {
    return { kind: "heading", level: found[1].length, text: found[2], end: at + 1 };
  }
  if (RULE.test(line)) return { kind: "rule", end: at + 1 };
  if (QUOTE.test(line)) return quoteAt(lines, at, depth);
  if (ITEM.test(line)) return listAt(lines, at, depth);
  if (isTable(lines, at)) return tableAt(lines, at);
  return null;
}

const isTable = (lines, at) => lines[at].includes("|") && DIVIDER.test((lines[at + 1] ?? "").trimEnd());

function paragraphAt(lines, at, depth) {
  let end = at + 1;
  while (end < lines.length && lines[end].trim() && (depth >= MAX_DEPTH || !interrupts(lines, end))) end++;
  return { kind: "paragraph", text: lines.slice(at, end).join("\n"), end };
}

function interrupts(lines, at) {
  const line = lines[at];
  return [FENCE, HEADING, RULE, QUOTE, ITEM].some((kind) => kind.test(line)) || isTable(lines, at);
}

function codeAt(lines, at, [, indent, fence, language]) {
  let end = at + 1;
  const isClosing = (line) => line.trim().startsWith(fence) && !line.trim().replaceAll(fence[0], "");
  while (end < lines.length && !isClosing(lines[end])) end++;
  const bare = lines.slice(at + 1, end).map((line) => dedented(line, indent.length));
  return { kind: "code", language, text: bare.join("\n"), end: Math.min(end + 1, lines.length) };
}

function quoteAt(lines, at, depth) {
  const bare = [];
  let found;
  while ((found = QUOTE.exec(lines[at + bare.length] ?? ""))) bare.push(found[1]);
  return { kind: "quote", blocks: blocksOf(bare, depth + 1), end: at + bare.length };
}

/** A list goes on over a blank line, with another item or with what is indented. */
function listAt(lines, at, depth) {
  const [, indent, marker] = ITEM.exec(lines[at]);
  const isNumbered = marker.length > 1;
  const items = [];
  let width = 0; // of the marker, which what belongs to the item is indented by
  let end = at;
  for (let next = at; next < lines.length; next++) {
    const line = lines[next];
    if (!line.trim()) continue;
    const item = RULE.test(line) ? null : ITEM.exec(line);
    const isSibling = item && item[1].length < indent.length + 2 && item[2].length > 1 === isNumbered;
    const isBelow = line.search(/\S/) >= indent.length + 2;
    if (isSibling) {
      items.push([item[4]]);
      width = item[1].length + item[2].length + 1;
    } else if (!isBelow) break;
    else items.at(-1).push(...lines.slice(end, next).map(() => ""), dedented(line, width));
    end = next + 1;
  }
  return {
    kind: "list",
    start: isNumbered ? Number.parseInt(marker, 10) : null,
    items: items.map((bare) => blocksOf(bare, depth + 1)),
    end,
  };
}

function tableAt(lines, at) {
  let end = at + 2;
  while (end < lines.length && lines[end].includes("|")) end++;
  const align = cellsOf(lines[at + 1]).map((cell) => {
    if (!cell.endsWith(":")) return "start";
    return cell.startsWith(":") ? "center" : "end";
  });
  const [head, , ...rows] = lines.slice(at, end).map((line) => cellsOf(line));
  return { kind: "table", align, head, rows, end };
}

function cellsOf(line) {
  const bare = line.trim().replace(/^\|/, "").replace(/(?<!\\)\|$/, "");
  return bare.split(/(?<!\\)\|/).map((cell) => cell.trim().replaceAll("\\|", "|"));
}

/** Return a line without as many spaces at its beginning as it has of these. */
const dedented = (line, width) => line.slice(Math.min(width, Math.max(line.search(/\S/), 0)));
