// One user's tasks beside the chat. A tick shows at once, and goes back where it was not saved.

import * as api from "./api.js";
import { h, icon } from "./dom.js";
import { PagedList } from "./paged-list.js";

export class TaskList extends PagedList {
  /** `notify(text, problem, again)` shows what could not be saved; `field` is for a new task. */
  constructor(user, { parent, count, field, notify }) {
    const list = h("ul", { class: "task-items" });
    super(user, { parent, list, older: "Older tasks", none: "Nothing to do." });
    Object.assign(this, { count, field, notify });
    count.textContent = "";
    field.value = "";
    field.disabled = false;
  }

  getPage(cursor, signal) {
    return api.tasks.page(this.user, cursor, signal);
  }

  /** Take in what something else than this list has changed. */
  async refresh() {
    try {
      await super.refresh();
    } catch (error) {
      if (api.isAbort(error)) return;
      this.notify("The tasks may have changed.", api.asProblem(error), () => this.refresh());
    }
  }

  /** Add what is in the field. Where it is not stored, it stands there again. */
  async add() {
    const title = this.field.value.trim();
    if (!title) return;
    this.field.value = "";
    try {
      this.items.unshift(await api.tasks.create(this.user, title));
      this.render();
    } catch (error) {
      this.notify("The task was not added.", api.asProblem(error));
      if (!this.isClosed) this.field.value = title;
    }
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
    const at = this.items.findIndex(({ id }) => id === task.id);
    this.items = this.items.filter(({ id }) => id !== task.id);
    this.render();
    this.#focusNear(at);
    try {
      await api.tasks.remove(this.user, task.id);
    } catch (error) {
      const problem = api.asProblem(error);
      if (problem.status === 404) return; // it is gone, which was the wish
      this.items.splice(at, 0, task);
      this.render();
      this.notify("The task was not deleted.", problem, () => this.#remove(task));
    }
  }

  /** Keep the keyboard where it was when the row under it has gone. */
  #focusNear(index) {
    if (this.isClosed) return;
    const row = this.list.children[Math.min(index, this.items.length - 1)];
    (row?.querySelector("button") ?? this.field).focus();
  }

  #put(task) {
    this.items = this.items.map((item) => (item.id === task.id ? task : item));
    this.render();
  }

  render() {
    super.render();
    if (this.isClosed) return;
    const open = this.items.filter(({ completed }) => !completed).length;
    this.count.textContent = open ? `${open}${this.cursor ? "+" : ""} open` : "";
  }

  row(task, old) {
    const row = old ?? this.#build(task);
    row.task = task;
    row.querySelector("input").checked = task.completed;
    return row;
  }

  #build(task) {
    const tick = (event) => this.#tick(row.task, event.target.checked);
    const text = h("span", { class: "task-text" }, h("span", { class: "task-title" }, task.title));
    if (task.description) {
      text.append(h("span", { class: "task-description" }, task.description));
    }
    const remove = {
      type: "button",
      class: "icon-button",
      "aria-label": `Delete task ${task.title}`,
      onclick: () => this.#remove(row.task),
    };
    const row = h(
      "li",
      {},
      h("label", {}, h("input", { type: "checkbox", onchange: tick }), text),
      h("button", remove, icon("close")),
    );
    return row;
  }
}
