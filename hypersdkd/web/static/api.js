// The daemon's API, as this page calls it. A call that fails throws a Refusal with words for the reader.

const ROOT = new URL("../../api/workflow/", import.meta.url);
const PATIENCE = 15_000; // milliseconds until a call counts as not answered

export class Refusal extends Error {
  constructor(document, status = 0) {
    super(document.detail || document.title || `The daemon answered ${status}.`);
    this.status = status; // 0: no answer
    this.code = document.code ?? "";
    this.remedy = document.remedy ?? "";
    this.problems = document.problems ?? [];
  }
}

export const address = (path) => new URL(path, ROOT);

// The token that the daemon asked for: kept as long as this page is open, and nowhere else.
let token = "";
export const setToken = (text) => (token = text);
export const authorization = () => (token ? { Authorization: `Bearer ${token}` } : {});

/** Text that can be encoded: what is half a character becomes a mark, instead of an error that stops the page. */
export const wellFormed = (text) => (text.toWellFormed ? text.toWellFormed() : text.replace(/\p{Surrogate}/gu, "\ufffd"));
export const jobPath = (id, rest = "") => `jobs/${encodeURIComponent(wellFormed(id))}${rest}`;
export const get = (path) => call("GET", path);
export const post = (path, body, headers) => call("POST", path, body, headers);

async function call(method, path, body, headers = {}) {
  headers = { ...(body === undefined ? {} : { "Content-Type": "application/json" }), ...authorization(), ...headers };
  let reply;
  try {
    reply = await fetch(address(path), { method, body, headers, signal: AbortSignal.timeout(PATIENCE) });
  } catch {
    throw new Refusal({ detail: "The daemon does not answer.", remedy: "Start it: systemctl start hypersdkd" });
  }
  let document;
  try {
    document = await reply.json();
  } catch {
    document = {};
  }
  if (!reply.ok) throw new Refusal(document, reply.status);
  return document;
}

/** Whether the daemon wants a token, or another one. */
export const wantsToken = (refusal) => refusal.status === 401 || refusal.code === "token-attempts";
