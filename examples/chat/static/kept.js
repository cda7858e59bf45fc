// What a tab keeps for itself until the server has it: text that was not sent, and messages whose
// arrival is not known. Everything else is the server's.

const key = (kind, user, id) => `faceplate ${kind} ${user} ${id}`;

function put(name, value) {
  try {
    if (value) sessionStorage.setItem(name, value);
    else sessionStorage.removeItem(name);
  } catch (error) {
    // Full, or forbidden by the browser's settings: the page works, and a reload forgets.
    console.info("not kept for a reload:", error.name);
  }
}

function get(name) {
  try {
    return sessionStorage.getItem(name);
  } catch {
    return null;
  }
}

/** The text in the composer of one conversation; `id` is "new" before there is one. */
export const unsent = {
  get: (user, id) => get(key("unsent", user, id)) ?? "",
  put: (user, id, text) => put(key("unsent", user, id), text),
};

/** The one message of a conversation that was sent and not yet acknowledged: `{id, content}`. */
export const outbox = {
  get: (user, id) => JSON.parse(get(key("outbox", user, id)) ?? "null"),
  put: (user, id, message) => put(key("outbox", user, id), message && JSON.stringify(message)),
};

/** Who was signed in last in this tab. */
export const lastUser = {
  get: () => get("faceplate user"),
  put: (user) => put("faceplate user", user),
};
