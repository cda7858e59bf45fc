// The messages of a conversation's path as an array: in order, none left out between two of them, and
// never changed in place. Their positions ascend, and may have gaps.

/** A message from the server replaces what was known at its position and after it. */
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
  // What a known message follows does not change. Before an unknown one, there is no telling.
  const kept = items.slice(0, Math.max(0, items.findIndex(({ id }) => id === page[0]?.id)));
  return [...kept, ...page.map((message) => newer(known.get(message.id), message, stopped))];
}

/** A draft is saved now and then: what was shown of it is not taken back meanwhile. */
function newer(known, message, stopped) {
  if (!known) return message;
  if (message.status !== "streaming") return isSame(known, message) ? known : message;
  if (stopped.has(message.id)) return known;
  return known.content.startsWith(message.content) ? { ...message, content: known.content } : message;
}

const isSame = (one, other) => JSON.stringify(one) === JSON.stringify(other);
