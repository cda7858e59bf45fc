// The messages of a conversation as an array: in order, without a gap, and never changed in place.

/** The server's word on a position holds for what was known at it and after it. */
export function placed(items, message) {
  const before = items.filter(
    ({ id, position }) => id !== message.id && position < message.position,
  );
  return [...before, message];
}

/** Return the messages with this change to the last one. */
export function withLast(items, change) {
  return items.length ? [...items.slice(0, -1), { ...items.at(-1), ...change }] : items;
}

/** Take in the newest page. Of drafts that were stopped here, what is known is kept meanwhile. */
export function merged(items, page, stopped) {
  const known = new Map(items.map((message) => [message.id, message]));
  const first = page[0]?.position ?? 0;
  const kept = items.filter((message) => message.position < first);
  // Where more came than a page holds, what is between is not known.
  const isGapless = kept.at(-1)?.position === first - 1;
  const fresh = page.map((message) => newer(known.get(message.id), message, stopped));
  return [...(isGapless ? kept : []), ...fresh];
}

/** A draft is saved now and then: what was shown of it is not taken back meanwhile. */
function newer(known, message, stopped) {
  if (!known) return message;
  if (message.status !== "streaming") return isSame(known, message) ? known : message;
  if (stopped.has(message.id)) return known;
  return known.content.startsWith(message.content) ? { ...message, content: known.content } : message;
}

const isSame = (one, other) => JSON.stringify(one) === JSON.stringify(other);
