// What an import is and has done, in words.

const number = new Intl.NumberFormat();
const percent = new Intl.NumberFormat(undefined, { style: "percent", maximumFractionDigits: 0 });

export const shareInWords = (share) => percent.format(share);

const count = (value, noun) => `${number.format(value)} ${noun}${value === 1 ? "" : "s"}`;

const megabytes = (bytes) => number.format(Math.round(bytes / 2 ** 18) / 4);

/** Return what was stored, and what was not. */
function stored({ imported, messages, continued, skipped, refused }) {
  const parts = [`${count(imported, "new chat")} with ${count(messages, "message")}`];
  if (continued) parts.push(`${number.format(continued)} continued`);
  if (skipped) parts.push(`${number.format(skipped)} already there`);
  if (refused) parts.push(`${number.format(refused)} refused`);
  return parts.join(", ");
}

function found({ chats, messages, refused }) {
  const parts = Object.entries(chats).map(([format, value]) => `${count(value, "chat")} (${format})`);
  const what = parts.length ? `${parts.join(", ")} with ${count(messages, "message")}` : "No chats";
  return `${what}${refused ? `, ${number.format(refused)} refused` : ""}. Nothing was stored.`;
}

const hasStored = ({ imported, messages }) => imported > 0 || messages > 0;

/** Return what a file's import is at, or how it has ended. */
export function describe({ phase, file, sentBytes, progress, result, problem }, isPreview) {
  const { read_bytes: readBytes, total_bytes: totalBytes } = progress;
  switch (phase) {
    case "waiting":
      return "Waiting for the file before it";
    case "sending":
      return `Sending: ${megabytes(sentBytes)} of ${megabytes(file.size)} MB`;
    case "reading": {
      const read = `${shareInWords(totalBytes ? readBytes / totalBytes : 1)} read`;
      return isPreview ? read : `${read}: ${stored(progress)}`;
    }
    case "done":
      return isPreview ? found(result) : `${isEmpty(result) ? "Nothing was imported" : "Imported"}: ${stored(result)}.`;
    case "stopped":
      return `Stopped. ${aftermath(progress, isPreview)}`;
    default:
      return `${problem.title}. ${reason(problem)}${aftermath(progress, isPreview)}`;
  }
}

/** What a failing server says is about the one batch of chats that it could not store. */
const reason = ({ status, detail }) => (detail && status < 500 ? `${detail} ` : "");

function aftermath(progress, isPreview) {
  if (isPreview) return "Nothing was stored.";
  if (!hasStored(progress)) return "The file can be imported again: what is stored already is skipped.";
  return `At least ${stored(progress)}: these stay. Import the file again to go on from there.`;
}

/** Whether a file had no chats at all. */
const isEmpty = ({ imported, continued, skipped }) => imported + continued + skipped === 0;

/** Return what is kept beside the text, or null. */
export function besides(result) {
  const kinds = Object.entries(result?.asides ?? {});
  if (!kinds.length) return null;
  return `Kept beside the text: ${kinds.map(([kind, value]) => `${number.format(value)} × ${kind}`).join(", ")}.`;
}

/** Return how many refusals there are, or null. */
export function refusedInWords({ progress, result, refusals }) {
  const refused = result?.refused ?? progress.refused;
  if (!refused) return null;
  const shown = refused > refusals.length ? `, the first ${number.format(refusals.length)} of them here` : "";
  return `${number.format(refused)} refused or not understood${shown}`;
}
