// One user's tasks beside the chat. A tick shows at once, and goes back where it was not saved.

import * as api from "./api.js";
import { h, icon, keyed, trouble, waiting } from "./dom.js";

export class TaskList {
  #items = [];
  #cursor = null;
  #closing = new AbortController();

  /** `notify(text, problem, again)` shows what could not be saved. */
  constructor(user, { parent, count, notify }) {
    Object.assign(this, { user, parent, count, notify });
    this.list = h("ul", { class: "task-items" });
    this.more = h("button", { type: "button", class: "button more", hidden: true }, "Older tasks");
    this.more.addEventListener("click", () => this.#loadMore());
    this.empty = h("p", { class: "empty-list", hidden: true }, "Nothing to do.");
    count.textContent = "";
  }

  /** Stop showing this user's tasks, whatever is still on the way. */
  close() {
    this.#closing.abort();
  }

  async load() {
    this.parent.replaceChildren(waiting("Loading tasks", 3));
    try {
      this.#take(await api.tasks.page(this.user, null, this.#closing.signal));
      this.parent.replaceChildren(this.list, this.empty, this.more);
    } catch (error) {
      if (api.isAbort(error)) return;
      this.parent.replaceChildren(trouble(api.asProblem(error), () => this.load()));
    }
  }

  /** Take in what something else than this list has changed. */
  async refresh() {
    try {
      const page = await api.tasks.page(this.user, null, this.#closing.signal);
      const known = new Set(this.#items.map(({ id }) => id));
      this.#items.unshift(...page.items.filter(({ id }) => !known.has(id)));
      for (const task of page.items) this.#put(task);
    } catch (error) {
      if (!api.isAbort(error)) {
        this.notify("The tasks may have changed.", api.asProblem(error), () => this.refresh());
      }
    }
  }

  /** Add a task; return whether it is stored. */
  async add(title) {
    try {
      this.#items.unshift(await api.tasks.create(this.user, title));
    } catch (error) {
      this.notify("The task was not added.", api.asProblem(error));
      return false;
    }
    this.#render();
    return true;
  }

  async #loadMore() {
    this.more.disabled = true;
    try {
      this.#take(await api.tasks.page(this.user, this.#cursor, this.#closing.signal));
    } catch (error) {
      if (!api.isAbort(error)) {
        this.notify("Older tasks could not be loaded.", api.asProblem(error), () => this.#loadMore());
      }
    }
    this.more.disabled = false;
  }

  #take(page) {
    const known = new Set(this.#items.map(({ id }) => id));
    this.#items.push(...page.items.filter(({ id }) => !known.has(id)));
    this.#cursor = page.next_cursor;
    this.#render();
  }

  async #tick(task, completed) {
    this.#put({ ...task, completed });
    try {
      this.#put(await api.tasks.change(this.user, task.id, { completed }));
    } catch (error) {
      this.#put(task);
      this.notify("The task was not saved.", api.asProblem(error), () => this.#tick(task, completed));
    }
  }

  async #remove(task) {
    const before = this.#items;
    const at = before.findIndex(({ id }) => id === task.id);
    this.#items = before.filter(({ id }) => id !== task.id);
    this.#render();
    this.#focusNear(at);
    try {
      await api.tasks.remove(this.user, task.id);
    } catch (error) {
      const problem = api.asProblem(error);
      if (problem.status === 404) return; // it is gone, which was the wish
      this.#items.splice(at, 0, task);
      this.#render();
      this.notify("The task was not deleted.", problem, () => this.#remove(task));
    }
  }

  /** Keep the keyboard where it was when the row under it has gone. */
  #focusNear(index) {
    if (this.#closing.signal.aborted) return;
    const row = this.list.children[Math.min(index, this.#items.length - 1)];
    (row?.querySelector("button") ?? document.getElementById("task-title")).focus();
  }

  #put(task) {
    this.#items = this.#items.map((item) => (item.id === task.id ? task : item));
    this.#render();
  }

  #render() {
    if (this.#closing.signal.aborted) return;
    const open = this.#items.filter(({ completed }) => !completed).length;
    this.count.textContent = open ? `${open}${this.#cursor ? "+" : ""} open` : "";
    this.empty.hidden = this.#items.length > 0;
    this.more.hidden = !this.#cursor;
    keyed(this.list, this.#items, ({ id }) => id, (task, old) => this.#row(task, old));
  }

  #row(task, old) {
    const row = old ?? this.#build(task);
    row.task = task;
    row.querySelector("input").checked = task.completed;
    return row;
  }

  #build(task) {
    const tick = (event) => this.#tick(row.task, event.target.checked);
    const row = h(
      "li",
      {},
      h(
        "label",
        {},
        h("input", { type: "checkbox", onchange: tick }),
        h(
          "span",
          { class: "task-text" },
          h("span", { class: "task-title" }, task.title),
          task.description ? h("span", { class: "task-description" }, task.description) : null,
        ),
      ),
      h(
        "button",
        {
          type: "button",
          class: "icon-button",
          "aria-label": `Delete task ${task.title}`,
          onclick: () => this.#remove(row.task),
        },
        icon("close"),
      ),
    );
    return row;
  }
}
