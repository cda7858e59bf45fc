// The side bar of one user's conversations, newest activity first, a page at a time.

import * as api from "./api.js";
import { h, keyed, trouble, waiting, when } from "./dom.js";

export class ConversationList {
  #items = [];
  #cursor = null;
  #closing = new AbortController();
  #selected = null;

  constructor(user, parent) {
    this.user = user;
    this.parent = parent;
    this.list = h("ol", { class: "conversations" });
    this.more = h("button", { type: "button", class: "button more", hidden: true }, "Older chats");
    this.more.addEventListener("click", () => this.#loadMore());
    this.empty = h("p", { class: "empty-list", hidden: true }, "No conversations yet.");
  }

  /** Stop showing this user's conversations, whatever is still on the way. */
  close() {
    this.#closing.abort();
  }

  async load() {
    this.parent.replaceChildren(waiting("Loading conversations", 5));
    try {
      this.#take(await api.conversations.page(this.user, null, this.#closing.signal));
      this.parent.replaceChildren(this.list, this.empty, this.more);
    } catch (error) {
      if (api.isAbort(error)) return;
      this.parent.replaceChildren(trouble(api.asProblem(error), () => this.load()));
    }
  }

  select(id) {
    this.#selected = id;
    this.#render();
  }

  /** Show a conversation as it is now, at the place that its last activity gives it. */
  put(conversation) {
    const others = this.#items.filter(({ id }) => id !== conversation.id);
    const at = others.findIndex((other) => activityOf(other) <= activityOf(conversation));
    // One that is older than all of these comes with its page.
    if (at >= 0 || !this.#cursor) others.splice(at < 0 ? others.length : at, 0, conversation);
    this.#items = others;
    this.#render();
  }

  remove(id) {
    this.#items = this.#items.filter((item) => item.id !== id);
    this.#render();
  }

  async #loadMore() {
    this.more.disabled = true;
    try {
      const count = this.#items.length;
      this.#take(await api.conversations.page(this.user, this.#cursor, this.#closing.signal));
      this.list.children[count]?.querySelector("a").focus();
    } catch (error) {
      if (!api.isAbort(error)) this.more.after(trouble(api.asProblem(error), (event) => {
        event.target.closest(".trouble").remove();
        this.#loadMore();
      }));
    }
    this.more.disabled = false;
  }

  #take(page) {
    const known = new Set(this.#items.map(({ id }) => id));
    this.#items.push(...page.items.filter(({ id }) => !known.has(id)));
    this.#cursor = page.next_cursor;
    this.#render();
  }

  #render() {
    if (this.#closing.signal.aborted) return;
    this.empty.hidden = this.#items.length > 0;
    this.more.hidden = !this.#cursor;
    keyed(this.list, this.#items, ({ id }) => id, (item, old) => this.#row(item, old));
  }

  #row(item, old) {
    const row = old ?? h("li", {}, h("a", { href: `#${this.user}/${item.id}` }));
    const link = row.firstElementChild;
    if (row.source !== `${item.title} ${item.updated_at}`) {
      link.replaceChildren(h("span", { class: "conversation-title" }, item.title), when(item.updated_at));
      row.source = `${item.title} ${item.updated_at}`;
    }
    if (item.id === this.#selected) link.setAttribute("aria-current", "page");
    else link.removeAttribute("aria-current");
    return row;
  }
}

const activityOf = ({ updated_at }) => Date.parse(updated_at);
