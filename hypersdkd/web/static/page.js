// Puts the page together: what is refreshed when, and what the buttons do.

import { Access } from "./access.js";
import { get, post } from "./api.js";
import { Builder } from "./builder.js";
import { byId, element, notice, say } from "./elements.js";
import { Feed } from "./feed.js";
import { JobView } from "./job.js";
import { JobList } from "./jobs.js";
import { showStatus } from "./status.js";
import { visible } from "./text.js";

const FEED = {
  live: ["Live", "good"],
  polling: ["Polling every 3 s", "good"],
  off: ["Auto-refresh off", "warn"],
  lost: ["No answer", "bad"],
  locked: ["Token needed", "warn"],
};

const refresh = () => feed.now();
const access = new Access(refresh);
const jobs = new JobList(act, refresh);
const job = new JobView(act, refresh);
const feed = new Feed(look, (state) => {
  const [word, kind] = FEED[state];
  say(byId("feed"), word);
  byId("feed").className = `badge ${kind}`;
});

/** Refresh everything: "seen", "lost" without an answer, or "locked" for want of a token. */
async function look() {
  try {
    const status = await get("status"); // alone: one question without a token, or with a wrong one, is enough
    access.judge(null);
    const [page] = await Promise.all([jobs.load(), job.refresh()]);
    showStatus(status);
    jobs.show(page);
    alarm(status.last_error, notInForce(status.config));
    return "seen";
  } catch (refusal) {
    if (refusal.status === undefined) throw refusal; // a mistake of this page
    const locked = access.judge(refusal);
    showStatus(null, locked ? "Token needed" : "Not reachable");
    alarm(...(locked ? [""] : [refusal.message, refusal.remedy]));
    return locked ? "locked" : "lost";
  }
}

/** What an operator has to do so that the configuration's file is in force; empty if it is. */
function notInForce(config) {
  const [first, ...more] = config?.problems ?? [];
  if (first) {
    const place = first.path ? `${first.path}: ` : "";
    return `The configuration was not reloaded: ${place}${first.message}${more.length ? ` and ${more.length} more` : ""}.`;
  }
  const keys = config?.needs_restart ?? [];
  return keys.length ? `Restart the daemon to apply ${keys.join(", ")}.` : "";
}

/** A trouble that lasts; one that is told already is not told again. */
function alarm(message, remedy = "") {
  const box = byId("alarm");
  const text = [message, remedy].filter(Boolean).join(" ");
  if (box.textContent === visible(text)) return;
  notice(box, ...(text ? [visible(text)] : []));
}

/** Make a call and say how it went. */
async function act(done, call) {
  try {
    await call();
    notice(byId("notice"), done);
    byId("notice").classList.remove("bad");
  } catch (refusal) {
    notice(byId("notice"), element("p", {}, visible(refusal.message)), element("p", {}, visible(refusal.remedy ?? "")));
    byId("notice").classList.add("bad");
  }
  refresh();
}

byId("pause").addEventListener("click", () => act("Paused: what runs goes on, nothing more is started.", () => post("pause")));
byId("resume").addEventListener("click", () => act("Resumed.", () => post("resume")));
byId("refresh").addEventListener("click", refresh);
byId("auto").addEventListener("change", (event) => (event.target.checked ? feed.start() : feed.stop()));

new Builder(refresh);
job.follow();
feed.start();
