// One conversation of one user, as far as this tab knows it. It knows no element: what shows it
// listens to "change", to "settled" when a reply has ended, to "discarded" when a message was given
// up, and to "forked". A reply that streams keeps its thread, whatever is looked at meanwhile, so
// that nothing of it can land in another one.

import * as api from "./api.js";
import { outbox } from "./kept.js";
import { firstLine } from "./markdown.js";
import { Path } from "./path.js";
import { pause, retried } from "./retry.js";

const PAGE = 50;
const POLL_MS = 700;
const POLL_AT_MOST_MS = 5000;

export class Thread extends EventTarget {
  /** `isNew`: the server does not know this id yet; it will with the first message. */
  constructor(user, id, { isNew = false } = {}) {
    super();
    this.user = user;
    this.id = id;
    this.isNew = isNew;
    this.conversation = null;
    /** loading, ready or broken; `problem` says why it is broken. */
    this.phase = isNew ? "ready" : "loading";
    this.problem = null;
    /** What is stored of it. Its end goes with every change, so that none is made to another path. */
    this.path = new Path();
    /** The user's message whose arrival is not known: {id, content, problem}. */
    this.pending = outbox.get(user, id);
    this.#markUnsent();
    /** What went wrong last, until the next reply begins: {problem, again}. */
    this.trouble = null;
    this.isConnected = true;
    this.isShown = false;
    this.isClosed = false;
    this.isLoadingEarlier = false;
    this.isSwitching = false;
    this.reply = null; // the AbortController of the reply that this tab receives
    this.usedTools = false; // in the last reply
    this.stopped = new Set(); // drafts that were stopped here, which the server may not know yet
    this.isUnsettled = false; // the server has to be asked how something ended
    this.isWatching = false;
    this.version = 0; // counts what a stream has changed, so that an older answer is told apart
  }

  get isReplying() {
    return this.reply !== null;
  }

  /** Whether the user has no such conversation, or has it no longer. */
  get isMissing() {
    return this.phase === "broken" && this.problem.status === 404;
  }

  get isEmpty() {
    return !this.path.last && !this.pending;
  }

  async load() {
    this.phase = "loading";
    this.#changed();
    try {
      const [conversation] = await Promise.all([
        api.conversations.get(this.user, this.id),
        this.#refresh(),
      ]);
      this.conversation = conversation;
      this.isNew = false;
      this.phase = "ready";
    } catch (error) {
      const problem = api.asProblem(error);
      // Its first message may have been on the way when the page was reloaded.
      this.isNew = problem.status === 404 && this.pending !== null;
      this.phase = this.isNew ? "ready" : "broken";
      this.problem = problem;
    }
    this.#changed();
    this.#watch();
  }

  /** Show what the server has now, after it has refused something because of that. */
  async reload() {
    if (this.reply) return;
    this.trouble = null;
    this.#markUnsent();
    await this.load();
  }

  show() {
    this.isShown = true;
    this.#watch();
  }

  hide() {
    this.isShown = false;
  }

  /** Ask the server for nothing any more, as the conversation is about to be deleted. */
  close() {
    this.isClosed = true;
    this.stop();
  }

  /** Go on after all: it could not be deleted. */
  reopen() {
    this.isClosed = false;
    this.#watch();
  }

  /** Keep nothing of a conversation that has been deleted. */
  forget() {
    this.#acknowledge();
  }

  async loadEarlier() {
    if (this.isLoadingEarlier || !this.path.hasEarlier) return;
    this.isLoadingEarlier = true;
    this.trouble = null;
    this.#changed();
    try {
      const before = this.path.items[0].position;
      const page = await api.messages.page(this.user, this.id, { before, limit: PAGE });
      if (this.path.items[0]?.position === before) this.path.takeEarlier(page);
    } catch (error) {
      this.trouble = { problem: api.asProblem(error), again: () => this.loadEarlier() };
    }
    this.isLoadingEarlier = false;
    this.#changed();
  }

  /** Send what the user wrote; the same `id` may be sent again and is stored once. */
  async send(content, id = crypto.randomUUID()) {
    if (this.reply) return;
    this.pending = { id, content, problem: null };
    outbox.put(this.user, this.id, { id, content });
    const message = { id, content, path_end: this.path.end };
    const open = (signal) => retried(() => this.#deliver(message, signal), signal);
    await this.#receive(open, { again: () => this.regenerate() });
  }

  async resend() {
    if (this.pending) await this.send(this.pending.content, this.pending.id);
  }

  /** Give up a message that was not sent, and return its text. */
  discard() {
    const { content } = this.pending;
    this.#acknowledge();
    this.dispatchEvent(new Event("discarded"));
    this.#changed();
    return content;
  }

  /** Ask for another reply beside this one, or beside what follows this question. */
  async regenerate(message = this.path.last) {
    if (this.reply) return;
    const body = { path_end: this.path.end };
    const open = (signal) =>
      api.messages.regenerate(this.user, this.id, message.id, body, signal);
    await this.#receive(open, { isBranch: true, again: () => this.regenerate(message) });
  }

  /** Ask something else in the place of a question; the same `id` is stored once. */
  async edit(message, content, id = crypto.randomUUID()) {
    if (this.reply) return;
    const body = { id, content, path_end: this.path.end };
    this.path.change(message.id, { content }); // shown at once
    await this.#receive(
      (signal) => api.messages.edit(this.user, this.id, message.id, body, signal),
      {
        from: message.position,
        isBranch: true,
        again: () => this.edit(message, content, id),
        undo: () => this.path.change(message.id, { content: message.content }),
      },
    );
  }

  /** Go on with the alternative at a position. */
  async follow(position) {
    if (this.reply || this.isSwitching) return;
    this.isSwitching = true;
    this.trouble = null;
    try {
      const page = await api.messages.follow(this.user, this.id, position);
      if (!this.reply) this.#takeIn(page);
      this.version++; // an answer that was on its way tells of the path before
    } catch (error) {
      this.trouble = this.#troubleOf(api.asProblem(error), () => this.follow(position));
    }
    this.isSwitching = false;
    this.#changed();
    this.#watch();
  }

  /** Copy what leads to a message into a conversation of its own. */
  async fork(position, id = crypto.randomUUID()) {
    this.trouble = null;
    try {
      const detail = await api.conversations.fork(this.user, this.id, { position, id });
      this.dispatchEvent(new CustomEvent("forked", { detail }));
    } catch (error) {
      this.trouble = this.#troubleOf(api.asProblem(error), () => this.fork(position, id));
    }
    this.#changed();
  }

  /** End the reply. What has arrived stays. */
  stop() {
    this.reply?.abort();
  }

  async *#deliver(message, signal) {
    if (this.isNew) await this.#create(message.content, signal);
    yield* api.messages.reply(this.user, this.id, message, signal);
  }

  async #create(content, signal) {
    const title = titleOf(content);
    const body = title ? { id: this.id, title } : { id: this.id };
    this.conversation = await api.conversations.create(this.user, body, signal);
    this.isNew = false;
    this.#changed();
  }

  /**
   * Take in a stream to its end. Its first event removes what is at `from` and after it. Where it
   * goes wrong, `again` is what a person may try; once it has begun, that is to regenerate. Where it
   * does not begin, `undo` takes back what was shown of it.
   */
  async #receive(open, { from = Infinity, isBranch = false, again, undo = () => {} }) {
    const controller = new AbortController();
    this.reply = controller;
    this.trouble = null;
    this.usedTools = false;
    this.version++;
    this.#changed();
    let hasBegun = false;
    let hasEnded = false;
    try {
      for await (const { event, data } of open(controller.signal)) {
        if (!hasBegun) this.path.cut(from);
        hasBegun = true;
        hasEnded = this.#take(event, data);
        this.#changed();
      }
      this.isUnsettled ||= isBranch || !hasEnded; // the alternatives are known to the server
    } catch (error) {
      if (!hasBegun) undo();
      this.isUnsettled = !this.isNew && !error.isStale; // a person says when to look again
      this.#lose(error, hasBegun ? () => this.regenerate() : again, hasBegun);
    }
    this.reply = null;
    this.version++;
    this.#changed();
    if (!this.isClosed) this.dispatchEvent(new Event("settled"));
    this.#watch();
  }

  /** Apply one event; return whether it is the last one. */
  #take(event, data) {
    this.version++;
    this.isConnected = true;
    switch (event) {
      case "delta":
        this.#changeLast({ content: this.path.last.content + data.text });
        return false;
      case "message":
      case "draft":
      case "done":
        if (data.role === "user") this.#acknowledge();
        if (data.role === "tool") this.usedTools = true;
        this.path.place(data);
        return event === "done";
      case "error":
        throw new api.Problem(data);
      default:
        return false;
    }
  }

  #lose(error, again, hasBegun) {
    if (api.isAbort(error)) {
      const last = this.#endDraft("interrupted");
      if (last) this.stopped.add(last.id);
      if (this.pending) this.pending.problem = new api.Problem({ title: "Stopped before it arrived" });
      return;
    }
    const trouble = this.#troubleOf(api.asProblem(error), again);
    if (this.pending) this.pending.problem = trouble.problem;
    else if (!(trouble.problem.isUnreachable && hasBegun)) {
      this.#endDraft("failed");
      this.trouble = trouble;
    }
  }

  #troubleOf(problem, again) {
    if (problem.status === 409) {
      problem.title = "This conversation has moved on";
      problem.detail = "It was changed elsewhere, perhaps in another tab. Reload it to see how.";
    }
    return { problem, again: problem.isStale ? () => this.reload() : again };
  }

  #markUnsent() {
    if (this.pending) this.pending.problem = new api.Problem({ title: "It was not sent" });
  }

  /** Show how the draft has ended, before the server is asked; return it, if there is one. */
  #endDraft(status) {
    const { last } = this.path;
    if (last?.status !== "streaming") return null;
    this.#changeLast({ status });
    return last;
  }

  #changeLast(change) {
    this.path.change(this.path.last.id, change);
  }

  #acknowledge() {
    this.pending = null;
    outbox.put(this.user, this.id, null);
  }

  /** Ask for the newest page, and take it in unless a stream has told something newer meanwhile. */
  async #refresh() {
    const { version } = this;
    const page = await api.messages.page(this.user, this.id, { limit: PAGE });
    if (version === this.version) this.#takeIn(page);
  }

  /** Take in the last messages of the path. */
  #takeIn(page) {
    this.path.takeLast(page, this.stopped);
    if (this.pending && page.items.some(({ id }) => id === this.pending.id)) this.#acknowledge();
    this.isUnsettled = page.items.some(({ status }) => status === "streaming");
  }

  /** While it is looked at, ask the server until it has said how everything ended. */
  async #watch() {
    if (this.isWatching) return;
    this.isWatching = true;
    for (let wait = POLL_MS; this.isShown && !this.isClosed && this.isUnsettled && !this.reply; ) {
      try {
        await this.#refresh();
        this.isConnected = true;
        wait = POLL_MS;
      } catch (error) {
        const problem = api.asProblem(error);
        this.isConnected = !problem.isUnreachable;
        wait = Math.min(wait * 2, POLL_AT_MOST_MS);
        // One that is not there (any more) has nothing to wait for.
        if (!problem.isPassing) this.isUnsettled = false;
      }
      this.#changed();
      if (this.isUnsettled) await pause(wait);
    }
    this.isWatching = false;
  }

  #changed() {
    this.dispatchEvent(new Event("change"));
  }
}

/** Return the first line of a text without its marks, short enough for a side bar. */
function titleOf(content) {
  const line = [...firstLine(content)]; // by characters, as a cut pair is none
  return line.length > 60 ? `${line.slice(0, 59).join("").trimEnd()}…` : line.join("");
}
