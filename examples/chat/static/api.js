// The server's interface: requests, problem documents, and replies as a stream of events. A file is
// sent by upload.js.

const TITLES = {
  404: "This is not here any more",
  409: "This was changed in the meantime",
  413: "This is too long",
  422: "This cannot be saved",
  503: "The server is busy",
  504: "The server took too long",
};

/** What the server refused, said for a person. `status` is 0 where there was no answer. */
export class Problem extends Error {
  constructor({ status = 0, title = "", detail = "" }) {
    super(detail || title);
    this.name = "Problem";
    this.status = status;
    this.title = TITLES[status] ?? (status >= 500 || !title ? "Something went wrong" : title);
    this.detail = detail || (this.title === title ? "" : title);
  }

  get isUnreachable() {
    return this.status === 0;
  }

  /** Whether what the page shows is no longer what the server has. */
  get isStale() {
    return this.status === 404 || this.status === 409;
  }

  /** Whether the same request may succeed later without anybody changing it. */
  get isPassing() {
    return this.status === 0 || this.status >= 500;
  }
}

export function unreachable() {
  const problem = new Problem({ detail: "Check that it is running and that you are online." });
  problem.title = "The server cannot be reached";
  return problem;
}

/** Return what may be shown for an error. An error of the page's own is not hidden. */
export function asProblem(error) {
  if (error instanceof Problem) return error;
  console.error(error);
  return new Problem({ title: "Something went wrong", detail: String(error) });
}

export const isAbort = (error) => error?.name === "AbortError";

async function send(user, method, path, { body, signal, accept = "application/json" } = {}) {
  const headers = { Accept: accept };
  if (user !== null) headers["X-Demo-User"] = user;
  if (body !== undefined) headers["Content-Type"] = "application/json";
  let response;
  try {
    const text = body === undefined ? undefined : JSON.stringify(body);
    response = await fetch(path, { method, headers, body: text, signal, cache: "no-store" });
  } catch (error) {
    if (isAbort(error)) throw error;
    throw unreachable();
  }
  if (response.ok) return response;
  throw new Problem({ ...(await response.json().catch(() => ({}))), status: response.status });
}

async function json(...request) {
  const response = await send(...request);
  if (response.status === 204) return null;
  try {
    return await response.json();
  } catch (error) {
    if (isAbort(error)) throw error;
    throw unreachable();
  }
}

/** Yield `{event, data}` as they arrive. Leaving the loop closes the connection. */
async function* stream(user, method, path, body, signal) {
  const response = await send(user, method, path, { body, signal, accept: "text/event-stream" });
  const reader = response.body.pipeThrough(new TextDecoderStream()).getReader();
  const take = eventReader();
  try {
    for (;;) {
      const { done, value } = await reader.read();
      if (done) return;
      yield* take(value);
    }
  } catch (error) {
    if (isAbort(error) || error instanceof Problem) throw error;
    throw unreachable();
  } finally {
    reader.cancel().catch(() => {}); // it is at its end or broken already
  }
}

/** Return a function that takes the next text of a stream and returns the events that end in it. */
export function eventReader() {
  let rest = "";
  return (text) => {
    const blocks = (rest + text).split(/\r?\n\r?\n/);
    rest = blocks.pop();
    return blocks.map(parse).filter(Boolean);
  };
}

function parse(block) {
  let event = "message";
  const data = [];
  for (const line of block.split(/\r?\n/)) {
    const [, field, value] = /^([a-z]+): ?(.*)$/.exec(line) ?? [];
    if (field === "event") event = value;
    else if (field === "data") data.push(value);
  }
  return data.length ? { event, data: JSON.parse(data.join("\n")) } : null;
}

function query(parameters) {
  const given = Object.entries(parameters).filter(([, value]) => value ?? false);
  return given.length ? `?${new URLSearchParams(given)}` : "";
}

const chat = (id) => `/api/conversations/${id}`;

export const getUsers = () => json(null, "GET", "/api/users");

export const getImportRules = (user) => json(user, "GET", "/api/imports");

export const conversations = {
  page: (user, cursor, signal) =>
    json(user, "GET", `/api/conversations${query({ limit: 30, cursor })}`, { signal }),
  get: (user, id) => json(user, "GET", chat(id)),
  create: (user, body, signal) => json(user, "POST", "/api/conversations", { body, signal }),
  rename: (user, id, title) => json(user, "PATCH", chat(id), { body: { title } }),
  fork: (user, id, body) => json(user, "POST", `${chat(id)}/fork`, { body }),
  remove: (user, id) => json(user, "DELETE", chat(id)),
};

export const messages = {
  page: (user, id, { before, limit }) =>
    json(user, "GET", `${chat(id)}/messages${query({ before, limit })}`),
  reply: (user, id, body, signal) => stream(user, "POST", `${chat(id)}/replies`, body, signal),
  regenerate: (user, id, messageId, body, signal) =>
    stream(user, "POST", `${chat(id)}/messages/${messageId}/regenerate`, body, signal),
  edit: (user, id, messageId, body, signal) =>
    stream(user, "POST", `${chat(id)}/messages/${messageId}/edit`, body, signal),
  follow: (user, id, position) => json(user, "PUT", `${chat(id)}/path`, { body: { position } }),
};

export const tasks = {
  page: (user, cursor, signal) =>
    json(user, "GET", `/api/tasks${query({ limit: 50, cursor })}`, { signal }),
  create: (user, title) => json(user, "POST", "/api/tasks", { body: { title } }),
  change: (user, id, body) => json(user, "PATCH", `/api/tasks/${id}`, { body }),
  remove: (user, id) => json(user, "DELETE", `/api/tasks/${id}`),
};
