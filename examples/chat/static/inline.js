// The marks inside a line of Markdown: code, bold, emphasis, struck out, links. All else is text.

const LINK = /!?\[([^[\]\n]{1,300})\]\((https?:\/\/[^\s()<>]{1,2000})\)/y;
const ADDRESS = /https?:\/\/[^\s<>()"'`[\]]{0,2000}[^\s<>()"'`[\].,;:!?*_~]/y;
const ESCAPED = /\\([!-/:-@[-`{-~])/y;
const RUN = /([*_~])\1*/y;
const WORD = /[\p{L}\p{N}]/u;
const MARKS = [
  ["**", "strong"],
  ["__", "strong"],
  ["~~", "del"],
  ["*", "em"],
  ["_", "em"],
];
const MAX_DEPTH = 4;

/** Return text and `{tag, href, children}`. A mark without its second one is text. */
export const parseInline = (text) => parse(text, 0);

function parse(text, depth) {
  if (depth > MAX_DEPTH) return [text];
  const nodes = [];
  const unclosed = new Set(); // marks that no later one closes, so that no text is searched twice
  let plain = "";
  const push = (node) => {
    if (plain) nodes.push(plain);
    plain = "";
    nodes.push(node);
  };
  for (let at = 0; at < text.length; ) {
    const found = code(text, at, unclosed) ?? link(text, at) ?? marked(text, at, unclosed, depth);
    if (found) {
      push(found.node);
      at = found.end;
      continue;
    }
    const escaped = match(ESCAPED, text, at);
    plain += escaped ? escaped[1] : text[at];
    at += escaped ? 2 : 1;
  }
  if (plain) nodes.push(plain);
  return nodes;
}

/** Return what is left of parsed text without its marks. */
export function plainText(nodes) {
  return nodes.map((node) => (typeof node === "string" ? node : plainText(node.children))).join("");
}

function match(pattern, text, at) {
  pattern.lastIndex = at;
  return pattern.exec(text);
}

function code(text, at, unclosed) {
  if (text[at] !== "`") return null;
  const [marks] = match(/`+/y, text, at);
  if (unclosed.has(marks)) return null;
  const from = at + marks.length;
  const end = text.indexOf(marks, from);
  if (end < 0) unclosed.add(marks);
  if (end <= from) return null;
  return { node: { tag: "code", children: [text.slice(from, end)] }, end: end + marks.length };
}

function link(text, at) {
  if (text[at] === "[" || text.startsWith("![", at)) {
    const found = match(LINK, text, at);
    if (!found) return null;
    const [whole, label, href] = found;
    return { node: { tag: "a", href, children: [label] }, end: at + whole.length };
  }
  if (text[at] !== "h" || WORD.test(text[at - 1] ?? "")) return null;
  const found = match(ADDRESS, text, at);
  if (!found) return null;
  return { node: { tag: "a", href: found[0], children: [found[0]] }, end: at + found[0].length };
}

function marked(text, at, unclosed, depth) {
  const [mark, tag] = MARKS.find(([each]) => text.startsWith(each, at)) ?? [];
  if (!mark || unclosed.has(mark) || !/\S/.test(text[at + mark.length] ?? " ")) return null;
  const isInWord = WORD.test(text[at - 1] ?? "");
  if (mark[0] === "_" && isInWord) return null; // as in snake_case
  for (let from = at + mark.length + 1; ; ) {
    let end = text.indexOf(mark, from);
    if (end < 0) {
      unclosed.add(mark);
      return null;
    }
    const [run] = match(RUN, text, end);
    if (run.length > mark.length && run.length === 2) {
      from = end + 2; // of a strong text inside
      continue;
    }
    end += run.length - mark.length; // the last of ***, which closes two
    const after = text[end + mark.length] ?? "";
    if (/\S/.test(text[end - 1]) && !(mark[0] === "_" && WORD.test(after))) {
      const children = parse(text.slice(at + mark.length, end), depth + 1);
      return { node: { tag, children }, end: end + mark.length };
    }
    from = end + mark.length;
  }
}
