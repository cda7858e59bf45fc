// The page: who is signed in, which conversation is looked at, and what changes with that.
// The address says both, as #user/conversation, so that a reload and a link come back to them.

import * as api from "./api.js";
import { Composer } from "./composer.js";
import { ConversationList } from "./conversation-list.js";
import { h, trouble, waiting } from "./dom.js";
import { ImportDialog } from "./import-dialog.js";
import { lastUser } from "./kept.js";
import { setUpConfirmation, setUpDrawers, setUpNotices } from "./panels.js";
import { TaskList } from "./task-list.js";
import { Thread } from "./thread.js";
import { ThreadView } from "./thread-view.js";
import { Title } from "./title.js";

const $ = (id) => document.getElementById(id);

const ADDRESS = /^#([\w.-]+)(?:\/([0-9a-f]{8}(?:-[0-9a-f]{4}){3}-[0-9a-f]{12}))?$/i;

const closeDrawers = setUpDrawers($("layout"), $("backdrop"));
const notify = setUpNotices($("notices"));
const ask = setUpConfirmation({
  dialog: $("confirm"),
  text: $("confirm-text"),
  problem: $("confirm-problem"),
  button: $("confirm-delete"),
});
const composer = new Composer({
  form: $("composer"),
  text: $("text"),
  send: $("send"),
  stop: $("stop"),
  onsend: whenSent,
});
const view = new ThreadView({
  scroller: $("scroller"),
  parent: $("thread"),
  latest: $("latest"),
  announcer: $("announcer"),
  composer,
});
const title = new Title({ parent: $("title"), onrename: list, ondelete: askToDelete, notify });

const importing = new ImportDialog({
  opener: $("import"),
  dialog: $("import-dialog"),
  announcer: $("announcer"),
  onstored: relist,
});

let users = [];
let user = null;
let conversations = null;
let tasks = null;
let thread = null;
/** The threads that are looked at or receive a reply, by user and id. */
const threads = new Map();

const nameOf = ({ user: owner, id }) => `${owner}/${id}`;

async function start() {
  $("thread").replaceChildren(waiting("Loading", 4));
  try {
    users = await api.getUsers();
  } catch (error) {
    $("thread").replaceChildren(trouble(api.asProblem(error), start));
    return;
  }
  $("users").replaceChildren(...users.map(userButton));
  addEventListener("hashchange", navigate);
  navigate();
}

function userButton({ name, title: shown }) {
  return h(
    "button",
    { type: "button", "data-user": name, onclick: () => (location.hash = `#${name}`) },
    h("span", { class: "avatar", "aria-hidden": "true" }, shown[0]),
    shown,
  );
}

/** Go where the address points. One that points nowhere leads to the last user's new chat. */
function navigate() {
  const [, name, id] = ADDRESS.exec(location.hash) ?? [];
  const known = (candidate) => users.some((other) => other.name === candidate);
  if (!known(name)) {
    const fallback = known(lastUser.get()) ? lastUser.get() : users[0].name;
    history.replaceState(null, "", `#${fallback}`);
    navigate();
    return;
  }
  if (name !== user) signIn(name);
  look(id);
}

function signIn(name) {
  user = name;
  lastUser.put(name);
  for (const button of $("users").children) {
    button.setAttribute("aria-pressed", button.dataset.user === name);
  }
  $("new-chat").href = `#${name}`;
  importing.user = name;
  conversations?.close();
  tasks?.close();
  conversations = new ConversationList(name, $("conversations"));
  tasks = new TaskList(name, {
    parent: $("task-list"),
    count: $("task-count"),
    field: $("task-title"),
    notify,
  });
  conversations.load();
  tasks.load();
}

/** Look at a conversation, or at a new one. */
function look(id) {
  if (thread && !thread.isReplying) threads.delete(nameOf(thread));
  const isKnown = threads.has(`${user}/${id}`);
  thread = threads.get(`${user}/${id}`) ?? open(id);
  composer.show(thread);
  view.show(thread);
  title.show(thread);
  conversations.select(thread.isNew ? null : thread.id);
  const hadDrawer = $("layout").dataset.drawer;
  closeDrawers({ returnFocus: false });
  if (!isKnown && !thread.isNew) thread.load();
  if (hadDrawer || thread.isNew) land();
}

/** Put the focus where one goes on; on a touch screen that must not call up the keyboard. */
function land() {
  if (matchMedia("(pointer: fine)").matches) composer.focus();
  else $("scroller").focus({ preventScroll: true });
}

function open(id) {
  const opened = new Thread(user, id ?? crypto.randomUUID(), { isNew: !id });
  opened.addEventListener("settled", () => whenSettled(opened));
  opened.addEventListener("discarded", () => {
    // There is nothing at its address now.
    if (opened.isNew && opened === thread) history.replaceState(null, "", `#${user}`);
  });
  opened.addEventListener("forked", ({ detail }) => {
    list({ user: opened.user, conversation: detail });
    if (opened !== thread) return;
    location.hash = `#${opened.user}/${detail.id}`;
    land();
  });
  threads.set(nameOf(opened), opened);
  return opened;
}

/** A new chat gets its address with its first message. */
function whenSent(sent) {
  if (sent.isNew) history.replaceState(null, "", `#${nameOf(sent)}`);
  view.toEnd();
  const first = () => {
    if (!sent.conversation) return;
    sent.removeEventListener("change", first);
    // Its activity is now, as the server will say when the reply has ended.
    sent.conversation = { ...sent.conversation, updated_at: new Date().toISOString() };
    list(sent);
    if (sent === thread) conversations.select(sent.id);
  };
  sent.addEventListener("change", first);
}

async function whenSettled(settled) {
  if (settled !== thread) threads.delete(nameOf(settled));
  if (settled.isNew) return;
  if (settled.usedTools && settled.user === user) tasks.refresh();
  try {
    settled.conversation = await api.conversations.get(settled.user, settled.id);
    list(settled);
  } catch (error) {
    // The list shows the state before the reply until it is asked again; the thread says the rest.
    api.asProblem(error);
  }
}

/** Show a thread's conversation in the side bar, if it is this user's. */
function list({ user: owner, conversation }) {
  if (owner === user) conversations.put(conversation);
}

/** Show what an import has stored, if it is this user's. */
async function relist(owner) {
  if (owner !== user) return;
  try {
    await conversations.reload();
  } catch (error) {
    // The next look at the list shows it.
    if (!api.isAbort(error)) api.asProblem(error);
  }
}

function askToDelete(doomed) {
  ask(doomed.conversation.title, async () => {
    doomed.close();
    try {
      await api.conversations.remove(doomed.user, doomed.id);
    } catch (error) {
      const problem = api.asProblem(error);
      // One that is gone already is what was wished.
      if (problem.status !== 404) {
        doomed.reopen();
        return problem;
      }
    }
    doomed.forget();
    threads.delete(nameOf(doomed));
    if (doomed.user === user) conversations.remove(doomed.id);
    if (doomed === thread) location.hash = `#${user}`;
    return null;
  });
}

$("skip").addEventListener("click", () => composer.focus());
$("new-chat").addEventListener("click", (event) => {
  // The address may be this one already.
  event.preventDefault();
  if (location.hash === `#${user}`) look();
  else location.hash = `#${user}`;
});
$("task-form").addEventListener("submit", (event) => {
  event.preventDefault();
  tasks?.add();
});

start();
