// The side bar of one user's conversations, newest activity first.

import * as api from "./api.js";
import { h, when } from "./dom.js";
import { PagedList } from "./paged-list.js";

export class ConversationList extends PagedList {
  #selected = null;

  constructor(user, parent) {
    const list = h("ol", { class: "conversations" });
    super(user, { parent, list, older: "Older chats", none: "No conversations yet." });
  }

  getPage(cursor, signal) {
    return api.conversations.page(this.user, cursor, signal);
  }

  select(id) {
    this.#selected = id;
    this.render();
  }

  /** Show a conversation as it is now, at the place that its last activity gives it. */
  put(conversation) {
    const others = this.items.filter(({ id }) => id !== conversation.id);
    const at = others.findIndex((other) => activityOf(other) <= activityOf(conversation));
    // One that is older than all of these comes with its page.
    if (at >= 0 || !this.cursor) others.splice(at < 0 ? others.length : at, 0, conversation);
    this.items = others;
    this.render();
  }

  remove(id) {
    this.items = this.items.filter((item) => item.id !== id);
    this.render();
  }

  row(item, old) {
    const row = old ?? h("li", {}, h("a", { href: `#${this.user}/${item.id}` }));
    const link = row.firstElementChild;
    const source = `${item.title} ${item.updated_at}`;
    if (row.source !== source) {
      const title = h("span", { class: "conversation-title", title: item.title }, item.title);
      link.replaceChildren(title, when(item.updated_at));
      row.source = source;
    }
    if (item.id === this.#selected) link.setAttribute("aria-current", "page");
    else link.removeAttribute("aria-current");
    return row;
  }
}

const activityOf = ({ updated_at }) => Date.parse(updated_at);
