// One conversation of one user, as far as this tab knows it. It knows no element: what shows it
// listens to "change", to "settled" when a reply has ended, and to "discarded" when a message was
// given up. A reply that streams keeps its thread, whatever is looked at meanwhile, so that nothing of it can land in another one.

import * as api from "./api.js";
import { merged, placed, withLast } from "./history.js";
import { outbox } from "./kept.js";

const PAGE = 50;
const RETRY_AFTER_MS = [300, 1000, 3000];
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
    /** What is stored, in order, without a gap. */
    this.items = [];
    /** The user's message whose arrival is not known: {id, content, problem}. */
    this.pending = outbox.get(user, id);
    if (this.pending) this.pending.problem = new api.Problem({ title: "It was not sent" });
    /** What went wrong last, until the next reply begins: {problem, again}. */
    this.trouble = null;
    this.isConnected = true;
    this.isShown = false;
    this.isClosed = false;
    this.isLoadingEarlier = false;
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

  get isEmpty() {
    return !this.items.length && !this.pending;
  }

  get hasEarlier() {
    return this.items.length > 0 && this.items[0].position > 1;
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
    if (this.isLoadingEarlier || !this.hasEarlier) return;
    this.isLoadingEarlier = true;
    this.trouble = null;
    this.#changed();
    try {
      const before = this.items[0].position;
      const page = await api.messages.page(this.user, this.id, { before, limit: PAGE });
      if (this.items[0]?.position === before) this.items = [...page.items, ...this.items];
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
    await this.#receive((signal) => this.#deliver({ id, content }, signal), {
      again: () => this.regenerate(),
    });
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

  async regenerate() {
    if (this.reply) return;
    const asked = this.items.findLast((message) => message.role === "user");
    await this.#receive((signal) => api.messages.regenerate(this.user, this.id, signal), {
      from: (asked?.position ?? 0) + 1,
      again: () => this.regenerate(),
    });
  }

  async edit(message, content) {
    if (this.reply) return;
    // Shown at once; where it fails, what the server has comes back.
    this.items = this.items.map((item) => (item.id === message.id ? { ...item, content } : item));
    const open = (signal) => api.messages.edit(this.user, this.id, message.id, content, signal);
    await this.#receive(open, {
      from: message.position,
      again: () => this.edit(message, content),
    });
  }

  /** End the reply. What has arrived stays. */
  stop() {
    this.reply?.abort();
  }

  /** Yield the events of a sent message. While nothing has come, an attempt may be repeated. */
  async *#deliver(message, signal) {
    for (let attempt = 0; ; attempt++) {
      let hasBegun = false;
      try {
        if (this.isNew) await this.#create(message.content, signal);
        for await (const event of api.messages.reply(this.user, this.id, message, signal)) {
          hasBegun = true;
          yield event;
        }
        return;
      } catch (error) {
        const isLost = error instanceof api.Problem && error.isUnreachable && !hasBegun;
        if (!isLost || attempt === RETRY_AFTER_MS.length) throw error;
        await pause(RETRY_AFTER_MS[attempt], signal);
      }
    }
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
   * goes wrong, `again` is what a person may try; once it has begun, that is to regenerate.
   */
  async #receive(open, { from = Infinity, again }) {
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
        if (!hasBegun) this.items = this.items.filter((message) => message.position < from);
        hasBegun = true;
        hasEnded = this.#take(event, data);
        this.#changed();
      }
      this.isUnsettled = !hasEnded;
    } catch (error) {
      this.isUnsettled = !this.isNew;
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
        this.items = withLast(this.items, { content: this.items.at(-1)?.content + data.text });
        return false;
      case "message":
      case "draft":
      case "done":
        if (data.role === "user") this.#acknowledge();
        if (data.role === "tool") this.usedTools = true;
        this.items = placed(this.items, data);
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
    const problem = api.asProblem(error);
    if (this.pending) this.pending.problem = problem;
    else if (!(problem.isUnreachable && hasBegun)) {
      this.#endDraft("failed");
      this.trouble = { problem, again };
    }
  }

  /** Show how the draft has ended, before the server is asked; return it, if there is one. */
  #endDraft(status) {
    const last = this.items.at(-1);
    if (last?.status !== "streaming") return null;
    this.items = withLast(this.items, { status });
    return last;
  }

  #acknowledge() {
    this.pending = null;
    outbox.put(this.user, this.id, null);
  }

  /** Ask for the newest page, and take it in unless a stream has told something newer meanwhile. */
  async #refresh() {
    const { version } = this;
    const page = await api.messages.page(this.user, this.id, { limit: PAGE });
    if (version !== this.version) return;
    this.items = merged(this.items, page.items, this.stopped);
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

/** Return the first line of a text, short enough for a side bar. */
function titleOf(content) {
  const line = [...content.trim().split("\n", 1)[0]]; // by characters, as a cut pair is none
  return line.length > 60 ? `${line.slice(0, 59).join("").trimEnd()}…` : line.join("");
}

/** Wait; rejects as fetch does when the signal is aborted. */
function pause(ms, signal) {
  return new Promise((resolve, reject) => {
    const timer = setTimeout(resolve, ms);
    signal?.addEventListener("abort", () => {
      clearTimeout(timer);
      reject(new DOMException("stopped", "AbortError"));
    });
  });
}
