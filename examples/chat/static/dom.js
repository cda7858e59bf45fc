// Elements are built from nodes and text, never from markup.

/** Return an element with these attributes; `onclick` and its like are listeners. */
export function h(tag, attributes = {}, ...children) {
  const element = document.createElement(tag);
  for (const [name, value] of Object.entries(attributes)) {
    if (value === false || value === null || value === undefined) continue;
    if (name.startsWith("on")) element.addEventListener(name.slice(2), value);
    else element.setAttribute(name, value === true ? "" : value);
  }
  element.append(...children.filter((child) => child !== null));
  return element;
}

const SVG = "http://www.w3.org/2000/svg";

/** Return one of the icons in index.html, which says nothing to a screen reader. */
export function icon(name) {
  const svg = document.createElementNS(SVG, "svg");
  svg.setAttribute("class", "icon");
  svg.setAttribute("aria-hidden", "true");
  const use = document.createElementNS(SVG, "use");
  use.setAttribute("href", `#icon-${name}`);
  svg.append(use);
  return svg;
}

/**
 * Give `parent` one child for each item, in their order. What is there under the item's key stays
 * the same element, with its focus and its selection; `render(item, element)` returns the child.
 */
export function keyed(parent, items, keyOf, render) {
  const keys = new Set(items.map(keyOf));
  for (const child of [...parent.children]) if (!keys.has(child.dataset.key)) child.remove();
  const known = new Map([...parent.children].map((child) => [child.dataset.key, child]));
  let next = parent.firstElementChild;
  for (const item of items) {
    const old = known.get(keyOf(item)) ?? null;
    const element = render(item, old);
    element.dataset.key = keyOf(item);
    if (old === next) next = next?.nextElementSibling ?? null;
    if (old === element && element.nextElementSibling === next) continue;
    if (old !== element) old?.remove();
    parent.insertBefore(element, next);
  }
}

/** Return what a screen shows while it waits: nothing at first, so that a fast answer never flickers. */
export function waiting(label, rows) {
  const bars = Array.from({ length: rows }, () => h("span", { class: "bar" }));
  return h("div", { class: "waiting", role: "status", "aria-label": label }, ...bars);
}

/** Return an explained problem with a button for what helps. */
export function trouble(problem, again, label = "Try again") {
  return h(
    "div",
    { class: "trouble", role: "alert" },
    h("p", { class: "trouble-title" }, icon("warning"), problem.title),
    problem.detail ? h("p", { class: "trouble-detail" }, problem.detail) : null,
    h("button", { type: "button", class: "button", onclick: again }, label),
  );
}

const day = new Intl.DateTimeFormat(undefined, { day: "numeric", month: "short" });
const weekday = new Intl.DateTimeFormat(undefined, { weekday: "short" });
const hour = new Intl.DateTimeFormat(undefined, { hour: "numeric", minute: "2-digit" });
const WEEK_MS = 6 * 24 * 60 * 60 * 1000;

/** Return a time element: the hour for today, the weekday for this week, else the date. */
export function when(iso) {
  const date = new Date(iso);
  const now = new Date();
  const isToday = date.toDateString() === now.toDateString();
  const format = isToday ? hour : Math.abs(now - date) < WEEK_MS ? weekday : day;
  return h("time", { datetime: iso, title: date.toLocaleString() }, format.format(date));
}
