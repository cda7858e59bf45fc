// Shows one thread at a time: its messages, what is on the way, and where to scroll.

import { copy } from "./copy.js";
import { h, icon, keyed, trouble, waiting } from "./dom.js";
import { renderEditor, renderMessage } from "./message-view.js";
import { greeting, missing } from "./start.js";

const NEAR_END_PX = 80;

export class ThreadView {
  #thread = null;
  #editing = null; // the id of the message that is being edited
  #frame = 0;
  #changed = () => (this.#frame ||= requestAnimationFrame(() => this.#render()));

  constructor({ scroller, parent, latest, announcer, composer }) {
    Object.assign(this, { scroller, parent, latest, announcer, composer });
    this.isAtEnd = true;
    scroller.addEventListener("scroll", () => this.#follow(), { passive: true });
    parent.addEventListener("copied", ({ detail }) => (announcer.textContent = detail));
    new ResizeObserver(() => this.isAtEnd && this.toEnd()).observe(scroller);
    latest.addEventListener("click", () => {
      this.toEnd();
      scroller.focus({ preventScroll: true });
    });
  }

  show(thread) {
    this.#thread?.removeEventListener("change", this.#changed);
    this.#thread?.hide();
    this.#thread = thread;
    this.#editing = null;
    this.isAtEnd = true;
    this.spoken = null;
    this.announcer.textContent = "";
    delete this.parent.dataset.shows;
    this.parent.replaceChildren();
    thread.addEventListener("change", this.#changed);
    thread.show();
    this.#render();
  }

  toEnd() {
    this.isAtEnd = true;
    this.scroller.scrollTop = this.scroller.scrollHeight;
    this.#follow();
  }

  #follow() {
    const { scrollHeight, scrollTop, clientHeight } = this.scroller;
    this.isAtEnd = scrollHeight - scrollTop - clientHeight < NEAR_END_PX;
    this.latest.hidden = this.isAtEnd;
  }

  #render() {
    cancelAnimationFrame(this.#frame);
    this.#frame = 0;
    const { scrollHeight, scrollTop } = this.scroller;
    const first = this.list?.firstElementChild?.dataset.key;
    this.#fill();
    if (this.isAtEnd) this.scroller.scrollTop = this.scroller.scrollHeight;
    else if (first && first !== this.list?.firstElementChild?.dataset.key) {
      // What was in view stays there when something is put before it.
      this.scroller.scrollTop = scrollTop + this.scroller.scrollHeight - scrollHeight;
    }
    this.#follow();
    this.#announce();
    this.composer.update();
  }

  #fill() {
    const thread = this.#thread;
    const rest = `${thread.phase} ${thread.isEmpty}`;
    if (thread.phase !== "ready" || thread.isEmpty) {
      this.list = null;
      if (this.parent.dataset.shows !== rest) this.parent.replaceChildren(this.#placeholder());
      this.parent.dataset.shows = rest;
      return;
    }
    this.parent.dataset.shows = rest;
    if (!this.list?.isConnected) {
      this.earlier = h("button", { type: "button", class: "button more" }, "Earlier messages");
      this.earlier.addEventListener("click", () => this.#thread.loadEarlier());
      this.list = h("ol", { class: "messages" });
      this.tail = h("div", { class: "tail" });
      this.parent.replaceChildren(this.earlier, this.list, this.tail);
    }
    this.earlier.hidden = !thread.path.hasEarlier;
    this.earlier.disabled = thread.isLoadingEarlier;
    keyed(this.list, this.#rows(), (row) => row.key, (row, old) => this.#item(row, old));
    this.#fillTail();
  }

  #placeholder() {
    const thread = this.#thread;
    if (thread.phase === "loading") return waiting("Loading the conversation", 4);
    if (thread.isMissing) return missing(thread.user);
    if (thread.phase === "broken") return trouble(thread.problem, () => thread.load());
    return greeting((text) => this.composer.say(text));
  }

  #rows() {
    const { path, pending, trouble } = this.#thread;
    const results = new Map();
    const calls = new Set();
    for (const { tool_calls, tool_results } of path.items) {
      for (const call of tool_calls ?? []) calls.add(call.id);
      for (const result of tool_results ?? []) results.set(result.tool_call_id, result.content);
    }
    const rows = path.items
      // A result is shown with the call that it answers.
      .filter(({ tool_results }) => !tool_results?.length || tool_results.some((r) => !calls.has(r.tool_call_id)))
      .map((message) => ({ key: message.id, message, results, actions: [] }));
    if (pending) rows.push(this.#pendingRow(pending, results));
    const last = rows.at(-1);
    if (last?.message.status === "failed" && trouble) last.note = `The reply failed: ${trouble.problem.message}`;
    for (const row of rows) this.#offer(row, row === last);
    return rows;
  }

  /** Add what can be done with a message. A conversation that a reply is coming to is left alone. */
  #offer(row, isLast) {
    const thread = this.#thread;
    const { role, status, position, content, tool_calls } = row.message;
    const isLocked = thread.isReplying || thread.pending !== null;
    const places = thread.path.alternatives[position];
    if (places) {
      const choose = (index, arrow) => this.#choose(places[index], arrow);
      row.alternatives = { index: places.indexOf(position), count: places.length, isLocked, choose };
    }
    if (isLocked || status === "streaming") return;
    if (role === "user") {
      row.actions.push({ name: "Edit", icon: "edit", isQuiet: true, run: () => this.#edit(row.key) });
    }
    // The message that calls a tool is not the reply, unless nothing came after it.
    if (role === "assistant" && (isLast || !tool_calls)) {
      const isQuiet = status === "complete" || !isLast;
      const run = () => thread.regenerate(row.message);
      row.actions.push({ name: "Regenerate", icon: "again", isQuiet, run });
    }
    if (content && !tool_calls && navigator.clipboard) {
      const run = ({ currentTarget }) => copy(content, currentTarget);
      row.actions.push({ name: "Copy", icon: "copy", isQuiet: true, run });
    }
    if (!tool_calls) {
      const run = () => thread.fork(position);
      row.actions.push({ name: "Continue in a new chat", icon: "fork", isQuiet: true, run });
    }
  }

  /** Show another alternative, and leave the focus on its arrow. */
  async #choose(position, arrow) {
    const thread = this.#thread;
    await thread.follow(position);
    if (thread !== this.#thread) return;
    this.#render();
    const chosen = thread.path.items.find((message) => message.position === position);
    const places = thread.path.alternatives[position];
    if (!chosen || !places) return;
    this.announcer.textContent = `Alternative ${places.indexOf(position) + 1} of ${places.length}.`;
    if (document.activeElement !== document.body) return;
    const arrows = [...this.#elementOf(chosen.id).querySelectorAll(".arrow:enabled")];
    (arrows.find((each) => each.getAttribute("aria-label") === arrow) ?? arrows[0])?.focus();
  }

  #pendingRow({ id, content, problem }, results) {
    const thread = this.#thread;
    const actions = [
      problem?.isStale
        ? { name: "Reload", icon: "again", run: () => this.#reload() }
        : { name: "Send again", icon: "again", run: () => thread.resend() },
      { name: "Take it back", run: () => this.composer.takeBack(thread.discard()) },
    ];
    const message = { id, content, role: "user" };
    return { key: id, message, results, problem, actions: problem && !thread.isReplying ? actions : [] };
  }

  #reload() {
    this.#thread.reload();
    this.composer.focus();
  }

  #item(row, old) {
    const isEditor = old?.classList.contains("editing") ?? false;
    if (row.key !== this.#editing) return renderMessage(row, isEditor ? null : old);
    if (isEditor) return old;
    return renderEditor(row.message, {
      save: (content) => {
        this.#editing = null;
        this.#thread.edit(row.message, content);
        this.composer.focus();
      },
      leave: () => {
        this.#editing = null;
        this.#render();
        this.#elementOf(row.key)?.querySelector(".action")?.focus();
      },
    });
  }

  #edit(key) {
    this.#editing = key;
    this.#render();
    const text = this.#elementOf(key).querySelector("textarea");
    text.focus();
    text.setSelectionRange(text.value.length, text.value.length);
  }

  #elementOf(key) {
    return [...this.list.children].find((child) => child.dataset.key === key);
  }

  /** What stands after the last message: that a reply is awaited, or why there is none. */
  #fillTail() {
    const thread = this.#thread;
    const last = thread.path.last;
    const isAwaited = thread.isReplying && last?.status !== "streaming";
    const isUnanswered =
      !thread.isReplying && !thread.pending && !thread.isUnsettled && ["user", "tool"].includes(last?.role);
    const shows = JSON.stringify([isAwaited, isUnanswered, thread.isConnected, thread.trouble?.problem.message]);
    if (this.tail.dataset.shows === shows) return;
    this.tail.dataset.shows = shows;
    this.tail.replaceChildren();
    if (isAwaited) {
      this.tail.append(h("div", { class: "dots", "aria-hidden": "true" }, h("i"), h("i"), h("i")));
    }
    if (!thread.isConnected) {
      this.tail.append(h("p", { class: "note", role: "status" }, "Connection lost. Reconnecting…"));
    }
    if (thread.trouble && last?.status !== "failed") {
      const { problem, again } = thread.trouble;
      this.tail.append(
        problem.isStale ? trouble(problem, () => this.#reload(), "Reload") : trouble(problem, again),
      );
    } else if (isUnanswered) {
      const ask = { type: "button", class: "action", onclick: () => thread.regenerate() };
      this.tail.append(
        h("p", { class: "note" }, "This message has no reply."),
        h("button", ask, icon("again"), "Get a reply"),
      );
    }
  }

  /** Tell a screen reader that a reply begins, and the whole of it when it has ended. */
  #announce() {
    const last = this.#thread.path.last;
    const says = this.#thread.isReplying ? "begun" : (last?.status ?? null);
    const before = this.spoken;
    this.spoken = says;
    if (says === "begun" && before !== "begun") this.announcer.textContent = "The reply begins.";
    if (before !== "begun" || says === "begun") return;
    if (says === "complete" && last.role === "assistant") {
      this.announcer.textContent = `Assistant: ${last.content}`;
    } else this.announcer.textContent = "The reply has ended early.";
  }
}
