// What lies over the page: the drawers of narrow screens, notices, and the question before a delete.

import { h, icon } from "./dom.js";

const NOTICE_MS = 12_000;

/** Wire the buttons that open and close the drawers; return the function that closes them. */
export function setUpDrawers(layout, backdrop) {
  let opener = null;

  const close = ({ returnFocus = true } = {}) => {
    const name = layout.dataset.drawer;
    if (!name) return;
    delete layout.dataset.drawer;
    for (const part of layout.children) part.inert = false;
    opener?.setAttribute("aria-expanded", "false");
    if (returnFocus) opener?.focus();
    opener = null;
  };

  const open = (button) => {
    opener = button;
    const drawer = document.getElementById(button.dataset.open);
    layout.dataset.drawer = drawer.id;
    for (const part of layout.children) part.inert = part !== drawer && part !== backdrop;
    button.setAttribute("aria-expanded", "true");
    drawer.querySelector(".drawer-close").focus();
  };

  for (const button of layout.querySelectorAll("[data-open]")) {
    button.addEventListener("click", () => open(button));
  }
  for (const button of layout.querySelectorAll("[data-close]")) {
    button.addEventListener("click", () => close());
  }
  backdrop.addEventListener("click", () => close());
  document.addEventListener("keydown", (event) => {
    if (event.key === "Escape" && !document.querySelector("dialog[open]")) close();
  });
  // On a screen that has become wide enough there is nothing to close.
  for (const width of ["(min-width: 50rem)", "(min-width: 75rem)"]) {
    matchMedia(width).addEventListener("change", () => close({ returnFocus: false }));
  }
  return close;
}

/** Return `notify(text, problem, again)`, which tells of something that could not be done. */
export function setUpNotices(parent) {
  return (text, problem, again = null) => {
    const leave = () => notice.remove();
    const retry = () => {
      leave();
      again();
    };
    const notice = h(
      "div",
      { class: "notice", role: "alert" },
      h("p", {}, h("strong", {}, text), ` ${problem.title}${problem.detail ? `: ${problem.detail}` : "."}`),
      again ? h("button", { type: "button", class: "button", onclick: retry }, "Try again") : null,
      h("button", { type: "button", class: "icon-button", "aria-label": "Dismiss", onclick: leave }, icon("close")),
    );
    parent.append(notice);
    if (!again) setTimeout(leave, NOTICE_MS);
  };
}

/** Return `ask(title, act)`: a dialog that closes when `act` has succeeded, and says why if not. */
export function setUpConfirmation({ dialog, text, problem, button }) {
  let act = null;
  button.addEventListener("click", async () => {
    button.disabled = true;
    problem.textContent = "";
    const refusal = await act();
    button.disabled = false;
    if (refusal) problem.textContent = `${refusal.title}. ${refusal.detail}`;
    else dialog.close("done");
  });
  return (title, action) => {
    act = action;
    problem.textContent = "";
    text.textContent = `“${title}” and all of its messages will be gone for good.`;
    dialog.showModal();
  };
}
