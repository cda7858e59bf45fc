// The field for the next message. Its text outlives a reload, for each conversation apart.

import { unsent } from "./kept.js";

export class Composer {
  #thread = null;

  /** `onsend` is told the thread whose message is about to go. */
  constructor({ form, text, send, stop, onsend }) {
    Object.assign(this, { form, text, send, stop, onsend });
    text.addEventListener("input", () => {
      this.#keep();
      this.update();
    });
    text.addEventListener("keydown", (event) => {
      if (event.key !== "Enter" || event.shiftKey || event.isComposing) return;
      event.preventDefault();
      this.#submit();
    });
    form.addEventListener("submit", (event) => {
      event.preventDefault();
      this.#submit();
    });
    stop.addEventListener("click", () => {
      this.#thread.stop();
      this.focus();
    });
  }

  show(thread) {
    this.#thread = thread;
    this.text.value = unsent.get(thread.user, this.#place);
    this.update();
  }

  update() {
    this.send.hidden = this.#thread.isReplying;
    this.stop.hidden = !this.#thread.isReplying;
    this.send.disabled = !this.#canSend;
    this.text.disabled = this.#thread.isMissing;
  }

  focus() {
    this.text.focus();
  }

  /** Put back the text of a message that did not go, before what was written since. */
  takeBack(content) {
    this.text.value = [content, this.text.value].filter(Boolean).join("\n");
    this.#keep();
    this.update();
    this.focus();
  }

  get #place() {
    return this.#thread.isNew && !this.#thread.pending ? "new" : this.#thread.id;
  }

  /** One message at a time: the next one waits until the last one's arrival is known. */
  get #isOpen() {
    const { phase, isReplying, pending } = this.#thread;
    return phase === "ready" && !isReplying && !pending;
  }

  get #canSend() {
    return this.#isOpen && this.text.value.trim() !== "";
  }

  #keep() {
    unsent.put(this.#thread.user, this.#place, this.text.value);
  }

  #submit() {
    if (!this.#canSend) return;
    const content = this.text.value.trim();
    this.text.value = "";
    this.#keep();
    this.say(content);
  }

  /** Send what did not come from the field, and leave that as it is. */
  say(content) {
    if (!this.#isOpen) return;
    this.onsend(this.#thread);
    this.#thread.send(content);
    this.focus();
  }
}
