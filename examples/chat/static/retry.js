// A request that may be sent again, as the server tells by an id that it is the same one.

import { Problem } from "./api.js";

const RETRY_AFTER_MS = [300, 1000, 3000];

/** Yield the events of `open()`. While nothing has come of a lost attempt, there is another one. */
export async function* retried(open, signal) {
  for (let attempt = 0; ; attempt++) {
    let hasBegun = false;
    try {
      for await (const event of open()) {
        hasBegun = true;
        yield event;
      }
      return;
    } catch (error) {
      const isLost = error instanceof Problem && error.isUnreachable && !hasBegun;
      if (!isLost || attempt === RETRY_AFTER_MS.length) throw error;
      await pause(RETRY_AFTER_MS[attempt], signal);
    }
  }
}

/** Wait; rejects as fetch does when the signal is aborted. */
export function pause(ms, signal) {
  return new Promise((resolve, reject) => {
    const timer = setTimeout(resolve, ms);
    signal?.addEventListener("abort", () => {
      clearTimeout(timer);
      reject(new DOMException("stopped", "AbortError"));
    });
  });
}
