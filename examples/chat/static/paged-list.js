// A list of one user's rows, the newest first, a page at a time. A subclass says whose list it is
// and what a row looks like: `getPage(cursor, signal)` and `row(item, old)`.

import * as api from "./api.js";
import { h, keyed, trouble, waiting } from "./dom.js";

export class PagedList {
  items = [];
  cursor = null;
  #closing = new AbortController();

  /** `older` and `none` are the words for the next page and for an empty list. */
  constructor(user, { parent, list, older, none }) {
    Object.assign(this, { user, parent, list });
    this.more = h("button", { type: "button", class: "button more", hidden: true }, older);
    this.more.addEventListener("click", () => this.#loadMore());
    this.empty = h("p", { class: "empty-list", hidden: true }, none);
  }

  /** Show nothing of it any more, whatever is still on the way. */
  close() {
    this.#closing.abort();
  }

  get isClosed() {
    return this.#closing.signal.aborted;
  }

  async load() {
    this.parent.replaceChildren(waiting("Loading", 4));
    try {
      this.#take(await this.getPage(null, this.#closing.signal));
      this.parent.replaceChildren(this.list, this.empty, this.more);
    } catch (error) {
      if (api.isAbort(error)) return;
      this.parent.replaceChildren(trouble(api.asProblem(error), () => this.load()));
    }
  }

  /** Take in what has changed on the newest page. */
  async refresh() {
    const page = await this.getPage(null, this.#closing.signal);
    const fresh = new Map(page.items.map((item) => [item.id, item]));
    const others = this.items.filter(({ id }) => !fresh.has(id));
    this.items = [...page.items, ...others];
    this.render();
  }

  /** Show the newest page alone, since much may have come between the rows that are shown. */
  async reload() {
    const page = await this.getPage(null, this.#closing.signal);
    this.items = page.items;
    this.cursor = page.next_cursor;
    this.render();
  }

  render() {
    if (this.isClosed) return;
    this.empty.hidden = this.items.length > 0;
    this.more.hidden = !this.cursor;
    keyed(this.list, this.items, ({ id }) => id, (item, old) => this.row(item, old));
  }

  async #loadMore() {
    this.more.disabled = true;
    this.problem?.remove();
    try {
      const count = this.items.length;
      this.#take(await this.getPage(this.cursor, this.#closing.signal));
      this.list.children[count]?.querySelector("a, input").focus();
    } catch (error) {
      if (api.isAbort(error)) return;
      this.problem = trouble(api.asProblem(error), () => this.#loadMore());
      this.more.after(this.problem);
    }
    this.more.disabled = false;
  }

  #take(page) {
    const known = new Set(this.items.map(({ id }) => id));
    this.items.push(...page.items.filter(({ id }) => !known.has(id)));
    this.cursor = page.next_cursor;
    this.render();
  }
}
