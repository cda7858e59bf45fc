// The dialog in which files are chosen and their import is followed. It may be closed meanwhile: the
// import goes on, and the button that opens it says how far it is.

import * as api from "./api.js";
import { h } from "./dom.js";
import { ImportRun, shareOf } from "./import-run.js";
import { besides, describe, refusedInWords, shareInWords } from "./import-words.js";

const ANNOUNCE_MS = 5_000;
const LIST_MS = 1_000;

export class ImportDialog {
  #user = null;
  #run = null;
  #views = [];
  #frame = 0;
  #announcedAt = 0;
  #listedAt = 0;

  /** `onstored(user)` is called when there are new chats of that user. */
  constructor({ opener, dialog, announcer, onstored }) {
    Object.assign(this, { opener, dialog, announcer, onstored });
    for (const name of ["formats", "files", "preview", "problem", "list", "status", "close", "stop", "start"]) {
      this[name] = dialog.querySelector(`#import-${name}`);
    }
    opener.addEventListener("click", () => this.#open());
    this.close.addEventListener("click", () => dialog.close());
    this.stop.addEventListener("click", () => this.#run.stop());
    this.files.addEventListener("change", () => (this.problem.textContent = ""));
    dialog.querySelector("form").addEventListener("submit", (event) => {
      event.preventDefault();
      this.#start();
    });
  }

  /** Import for this user from now on. An import of another one goes on. */
  set user(name) {
    this.#user = name;
    this.opener.disabled = false;
    if (!this.isRunning) this.#forget();
  }

  get isRunning() {
    return this.#run !== null && !this.#run.hasEnded;
  }

  #open() {
    this.dialog.showModal();
    (this.isRunning ? this.stop : this.files).focus();
    this.#render();
    this.#learn();
  }

  /** Say which formats can be read. */
  async #learn() {
    try {
      this.rules ??= await api.getImportRules(this.#user);
      this.formats.textContent = `${this.rules.formats.join(", ")}: JSON or JSON lines, as they are or in a zip or gzip file.`;
    } catch (error) {
      api.asProblem(error); // the server says the same when a file comes
    }
  }

  async #start() {
    const files = [...this.files.files];
    if (this.isRunning) return;
    if (!files.length) {
      this.problem.textContent = "Choose a file first.";
      this.files.focus();
      return;
    }
    const options = { isPreview: this.preview.checked, maxBytes: this.rules?.max_bytes ?? Infinity };
    const run = new ImportRun(this.#user, files, options);
    this.#run = run;
    this.#views = run.items.map((item) => new FileView(item, run.isPreview));
    this.list.replaceChildren(...this.#views.map(({ element }) => element));
    run.addEventListener("change", () => (this.#frame ||= requestAnimationFrame(() => this.#render())));
    run.addEventListener("stored", () => this.#relist());
    run.start().then(() => this.#end());
    this.#render();
    this.stop.focus();
  }

  #end() {
    this.files.value = "";
    const hadFocus = this.stop === document.activeElement;
    this.#render();
    if (hadFocus) this.close.focus();
    const told = this.#views.map(({ text }) => text).join(" ");
    (this.dialog.open ? this.status : this.announcer).textContent = told;
    if (!this.#run.isPreview) this.onstored(this.#run.user);
    if (this.#run.user !== this.#user) this.#forget();
  }

  /** Show nothing of the last import any more. */
  #forget() {
    this.#views = [];
    this.list.replaceChildren();
    this.problem.textContent = this.status.textContent = "";
    this.#render();
  }

  /** Have the list show what is new, but not several times a second. */
  #relist() {
    if (this.#run.isPreview || Date.now() - this.#listedAt < LIST_MS) return;
    this.#listedAt = Date.now();
    this.onstored(this.#run.user);
  }

  #render() {
    cancelAnimationFrame(this.#frame);
    this.#frame = 0;
    const { isRunning } = this;
    for (const view of this.#views) view.update();
    this.list.hidden = !this.#views.length;
    this.stop.hidden = !isRunning;
    this.start.hidden = isRunning;
    this.files.disabled = this.preview.disabled = isRunning;
    const label = isRunning ? `Importing, ${shareInWords(this.#run.share)}` : "Import chats";
    this.opener.querySelector("span").textContent = label;
    if (isRunning) this.#announce();
  }

  /** Tell a screen reader how far it is, now and then. */
  #announce() {
    if (Date.now() - this.#announcedAt < ANNOUNCE_MS) return;
    this.#announcedAt = Date.now();
    const current = this.#views.find(({ isAtWork }) => isAtWork);
    if (current) this.status.textContent = current.text;
  }
}

class FileView {
  #shown = 0; // of the refusals

  constructor(item, isPreview) {
    Object.assign(this, { item, isPreview });
    this.bar = h("progress", { max: "1", "aria-label": `Progress of ${item.file.name}` });
    this.line = h("p");
    this.besides = h("p", { class: "import-besides", hidden: true });
    this.summary = h("summary");
    this.refusals = h("ul");
    this.details = h("details", { hidden: true }, this.summary, this.refusals);
    const name = h("p", { class: "import-name" }, item.file.name);
    this.element = h("li", {}, name, this.bar, this.line, this.besides, this.details);
  }

  get isAtWork() {
    return ["sending", "reading"].includes(this.item.phase);
  }

  get text() {
    return `${this.item.file.name}: ${describe(this.item, this.isPreview)}`;
  }

  update() {
    const { item } = this;
    this.element.dataset.phase = item.phase;
    this.bar.hidden = !this.isAtWork;
    this.bar.value = shareOf(item);
    this.line.textContent = describe(item, this.isPreview);
    const beside = besides(item.result);
    this.besides.hidden = beside === null;
    this.besides.textContent = beside;
    const refused = refusedInWords(item);
    this.details.hidden = refused === null;
    this.summary.textContent = refused;
    const fresh = item.refusals.slice(this.#shown);
    this.refusals.append(...fresh.map(({ place, reason }) => h("li", {}, `${place}: ${reason}`)));
    this.#shown = item.refusals.length;
  }
}
