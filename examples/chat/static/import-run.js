// The import of some files, one after the other. It knows no element: what shows it listens to
// "change", to "stored" when there are new chats, and to "ended".

import * as api from "./api.js";
import { upload } from "./upload.js";

const NOTHING = { imported: 0, messages: 0, continued: 0, skipped: 0, refused: 0 };

export class ImportRun extends EventTarget {
  #controller = new AbortController();

  constructor(user, files, { isPreview, maxBytes }) {
    super();
    Object.assign(this, { user, isPreview, maxBytes });
    this.items = files.map((file) => ({
      file,
      /** waiting, sending, reading, done, stopped or broken; `problem` says why it is broken. */
      phase: "waiting",
      sentBytes: 0,
      progress: { ...NOTHING, read_bytes: 0, total_bytes: 0 },
      /** What was refused: {place, reason}. */
      refusals: [],
      /** What the server said at the end. */
      result: null,
      problem: null,
    }));
    this.hasEnded = false;
  }

  async start() {
    for (const item of this.items) {
      if (this.#controller.signal.aborted) this.#change(item, { phase: "stopped" });
      else await this.#import(item);
    }
    this.hasEnded = true;
    this.dispatchEvent(new Event("ended"));
  }

  /** Give up the file that is on its way, and those after it. What is stored stays. */
  stop() {
    this.#controller.abort();
  }

  /** How much of all files is done, from 0 to 1. */
  get share() {
    const done = this.items.map((item) => item.file.size * shareOf(item));
    const size = this.items.reduce((sum, { file }) => sum + file.size, 0);
    return size ? done.reduce((sum, bytes) => sum + bytes, 0) / size : 1;
  }

  async #import(item) {
    if (item.file.size > this.maxBytes) {
      const detail = `It may have ${Math.floor(this.maxBytes / 2 ** 20)} MB.`;
      this.#change(item, { phase: "broken", problem: titled(new api.Problem({ status: 413, detail })) });
      return;
    }
    this.#change(item, { phase: "sending" });
    try {
      const result = await upload(this.user, item.file, {
        isPreview: this.isPreview,
        signal: this.#controller.signal,
        onsent: (bytes) => this.#change(item, { sentBytes: Math.min(bytes, item.file.size) }),
        onevent: (event) => this.#take(item, event),
      });
      this.#change(item, { phase: "done", result });
    } catch (error) {
      if (api.isAbort(error)) this.#change(item, { phase: "stopped" });
      else this.#change(item, { phase: "broken", problem: titled(api.asProblem(error)) });
    }
    this.dispatchEvent(new Event("stored"));
  }

  #take(item, { event, data }) {
    const { progress } = item;
    if (event === "refused") item.refusals.push(data);
    if (event === "progress") item.progress = data;
    this.#change(item, { phase: "reading" });
    if (item.progress.messages > progress.messages) this.dispatchEvent(new Event("stored"));
  }

  #change(item, change) {
    Object.assign(item, change);
    this.dispatchEvent(new Event("change"));
  }
}

/** How much of a file is done, from 0 to 1: it is sent, and then read. */
export function shareOf({ phase, file, sentBytes, progress }) {
  if (phase === "waiting") return 0;
  if (phase === "sending") return file.size ? sentBytes / file.size / 2 : 0;
  if (phase === "reading") return 0.5 + progress.read_bytes / (progress.total_bytes || 1) / 2;
  return 1;
}

const TITLES = { 409: "Not now", 413: "This file is too large", 422: "This file cannot be read" };

function titled(problem) {
  problem.title = TITLES[problem.status] ?? problem.title;
  return problem;
}
