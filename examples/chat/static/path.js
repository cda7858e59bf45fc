// The messages of a conversation from some message to the end of its path, as they are shown: in
// order, none left out between two of them. Their positions ascend, and may have gaps.

export class Path {
  /** Never changed in place. */
  items = [];
  /** Whether there are messages before them. */
  hasEarlier = false;
  /** The positions at the place of a message, by its position; none where there is only one. */
  alternatives = {};

  get last() {
    return this.items.at(-1) ?? null;
  }

  /** The position of the last message; 0 if there is none. */
  get end() {
    return this.last?.position ?? 0;
  }

  /** Put a message of the server in its place. What was known at it and after it is gone. */
  place(message) {
    const isBefore = ({ id, position }) => id !== message.id && position < message.position;
    this.items = [...this.items.filter(isBefore), message];
  }

  /** Remove the message at a position and all after it. */
  cut(position) {
    this.items = this.items.filter((message) => message.position < position);
  }

  /** Change what is shown of one message. */
  change(id, change) {
    this.items = this.items.map((item) => (item.id === id ? { ...item, ...change } : item));
  }

  /** Take in the last messages. Of drafts that were stopped here, what is known is kept meanwhile. */
  takeLast(page, stopped) {
    const known = new Map(this.items.map((message) => [message.id, message]));
    // What a known message follows does not change. Before an unknown one, there is no telling.
    const index = this.items.findIndex(({ id }) => id === page.items[0]?.id);
    const kept = this.items.slice(0, Math.max(0, index));
    if (!kept.length) this.hasEarlier = page.has_earlier;
    const fresh = page.items.map((message) => newer(known.get(message.id), message, stopped));
    this.items = [...kept, ...fresh];
    const older = kept.map(({ position }) => [position, this.alternatives[position]]);
    this.alternatives = { ...Object.fromEntries(older), ...page.alternatives };
  }

  /** Take in the messages before the first one. */
  takeEarlier(page) {
    this.items = [...page.items, ...this.items];
    this.hasEarlier = page.has_earlier;
    this.alternatives = { ...this.alternatives, ...page.alternatives };
  }
}

/** A draft is saved now and then: what was shown of it is not taken back meanwhile. */
function newer(known, message, stopped) {
  if (!known) return message;
  if (message.status !== "streaming") return isSame(known, message) ? known : message;
  if (stopped.has(message.id)) return known;
  return known.content.startsWith(message.content) ? { ...message, content: known.content } : message;
}

const isSame = (one, other) => JSON.stringify(one) === JSON.stringify(other);
