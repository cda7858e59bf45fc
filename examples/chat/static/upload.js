// A file on its way to the server, and what the server tells of its import. It is an
// XMLHttpRequest, since fetch does not tell how much was sent.

import { eventReader, Problem, unreachable } from "./api.js";

/**
 * Send a file, and return the data of the event `done`. `onsent(bytes)` is told how much has gone,
 * `onevent({event, data})` what the server says meanwhile. Rejects with a Problem or an AbortError.
 */
export function upload(user, file, { isPreview, signal, onsent, onevent }) {
  return new Promise((resolve, reject) => {
    const request = new XMLHttpRequest();
    const query = new URLSearchParams({ name: file.name.slice(-255), preview: isPreview });
    request.open("POST", `/api/imports?${query}`);
    request.setRequestHeader("Accept", "text/event-stream");
    request.setRequestHeader("Content-Type", "application/octet-stream");
    request.setRequestHeader("X-Demo-User", user);

    const take = eventReader();
    let takenChars = 0;
    const read = () => {
      if (request.status !== 200) return;
      const text = request.responseText.slice(takenChars);
      takenChars += text.length;
      for (const { event, data } of take(text)) {
        if (event === "done") resolve(data);
        else if (event === "error") reject(new Problem(data));
        else onevent({ event, data });
      }
    };
    request.upload.addEventListener("progress", ({ loaded }) => onsent(loaded));
    request.addEventListener("progress", read);
    request.addEventListener("load", () => {
      read();
      reject(request.status === 200 ? unreachable() : refusal(request)); // unless it is settled
    });
    request.addEventListener("error", () => reject(unreachable()));
    request.addEventListener("abort", () => reject(new DOMException("stopped", "AbortError")));
    signal.addEventListener("abort", () => request.abort());
    request.send(file);
  });
}

function refusal({ status, responseText }) {
  try {
    return new Problem({ ...JSON.parse(responseText), status });
  } catch {
    return new Problem({ status });
  }
}
