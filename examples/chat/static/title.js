// The head of a conversation: its title, renamed in place, and the way to delete it.

import * as api from "./api.js";
import { h, icon } from "./dom.js";

export class Title {
  #thread = null;
  #isEditing = false;
  #changed = () => this.#render();

  /** `onrename` and `ondelete` are told the thread; `notify` shows what was not saved. */
  constructor({ parent, onrename, ondelete, notify }) {
    Object.assign(this, { parent, onrename, ondelete, notify });
  }

  show(thread) {
    this.#thread?.removeEventListener("change", this.#changed);
    this.#thread = thread;
    this.#isEditing = false;
    this.parent.source = null;
    thread.addEventListener("change", this.#changed);
    this.#render();
  }

  #render() {
    const { conversation, phase, isNew } = this.#thread;
    const title = conversation?.title ?? (isNew ? "New chat" : "");
    document.title = title ? `${title} · faceplate chat` : "faceplate chat";
    const source = JSON.stringify([title, phase, isNew]);
    if (this.#isEditing || this.parent.source === source) return;
    this.parent.source = source;
    this.parent.replaceChildren(h("h1", {}, title || (phase === "broken" ? "Not available" : "…")));
    if (!conversation) return;
    const button = (name, label, onclick) =>
      h("button", { type: "button", class: "icon-button", "aria-label": label, title: label, onclick }, icon(name));
    this.parent.append(
      button("edit", "Rename", () => this.#edit()),
      button("delete", "Delete", () => this.ondelete(this.#thread)),
    );
  }

  #edit() {
    this.#isEditing = true;
    const thread = this.#thread;
    const attributes = { type: "text", maxlength: "255", "aria-label": "Title", required: true };
    const input = h("input", attributes);
    input.value = thread.conversation.title;
    const leave = () => {
      if (thread !== this.#thread || !this.#isEditing) return;
      this.#isEditing = false;
      this.parent.source = null;
      this.#render();
      this.parent.querySelector("[aria-label=Rename]").focus();
    };
    const save = (event) => {
      event.preventDefault();
      const title = input.value.trim();
      if (title && title !== thread.conversation.title) this.#rename(thread, title);
      leave();
    };
    input.addEventListener("keydown", (event) => {
      if (event.key !== "Escape") return;
      event.stopPropagation();
      leave();
    });
    this.parent.replaceChildren(
      h("h1", { class: "visually-hidden" }, thread.conversation.title),
      h(
        "form",
        { class: "title-form", onsubmit: save },
        input,
        h("button", { type: "submit", class: "button primary" }, "Save"),
        h("button", { type: "button", class: "button", onclick: leave }, "Cancel"),
      ),
    );
    input.select();
  }

  /** Show the new title at once, and the old one again where the server refuses it. */
  async #rename(thread, title) {
    const before = thread.conversation;
    this.#put(thread, { ...before, title });
    try {
      this.#put(thread, await api.conversations.rename(thread.user, thread.id, title));
    } catch (error) {
      this.#put(thread, before);
      const problem = api.asProblem(error);
      this.notify("The title was not saved.", problem, () => this.#rename(thread, title));
    }
  }

  #put(thread, conversation) {
    thread.conversation = conversation;
    this.onrename(thread);
    if (thread === this.#thread) this.#render();
  }
}
