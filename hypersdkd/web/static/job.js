// One job whole, at #job/ID: an address that can be kept, sent and reloaded.

import { get, jobPath } from "./api.js";
import { byId, element, facts, keyed, say } from "./elements.js";
import { jobActions, offerActions, showState } from "./jobs.js";
import { bytes, clock, duration, visible } from "./text.js";

const LINES = 200; // of the log

export class JobView {
  #id = null;
  #parts = null;
  #ended = ""; // of which end the report is shown
  #act;
  #changed;

  constructor(act, changed) {
    this.#act = act;
    this.#changed = changed;
    window.addEventListener("hashchange", () => this.follow());
  }

  /** Open or close the job that the page's address names. */
  follow() {
    const id = idIn(location.hash);
    if (id === this.#id) return;
    this.#id = id;
    const box = byId("job");
    box.hidden = id === null;
    box.replaceChildren();
    if (id === null) return;
    this.#parts = this.#build(box, id);
    this.#ended = "";
    this.#parts.title.focus();
    box.scrollIntoView({ block: "nearest" });
    this.#changed();
  }

  /** Look at the open job; a job that is not there is said in its place. */
  async refresh() {
    const id = this.#id;
    if (id === null) return;
    const parts = this.#parts;
    try {
      const job = await get(jobPath(id));
      if (parts !== this.#parts) return;
      this.#show(parts, job);
      if (parts.log.open) await showLog(parts, id);
      await this.#showReport(parts, job);
    } catch (refusal) {
      if (refusal.status === 0) throw refusal;
      if (parts !== this.#parts) return;
      parts.problem.replaceChildren(element("p", {}, refusal.message), element("p", {}, refusal.remedy));
      parts.problem.hidden = false;
    }
  }

  #build(box, id) {
    const parts = {
      title: element("h3", { id: "job-title", tabindex: "-1" }, visible(id)),
      state: element("span", { class: "badge" }),
      actions: jobActions(id, "job-title", this.#act),
      problem: element("div", { class: "notice bad", hidden: true }),
      facts: element("div"),
      guests: element("ul", { class: "guests" }),
      report: element("div"),
      logText: element("pre", { tabindex: "0", "aria-label": "Log" }),
    };
    parts.log = element("details", { on: { toggle: () => parts.log.open && this.#changed() } },
      element("summary", {}, "Log"), parts.logText);
    offerActions(parts.actions, {});
    parts.actions.append(element("a", { href: "#workflow", class: "button" }, "Close"));
    box.append(
      element("div", { class: "heading" }, parts.title, parts.state, parts.actions),
      parts.problem, parts.guests, parts.facts, parts.report, parts.log,
    );
    return parts;
  }

  #show(parts, job) {
    showState(parts.state, job);
    offerActions(parts.actions, job);
    parts.problem.hidden = !job.problem;
    if (job.problem) parts.problem.replaceChildren(...problem(job.problem));
    parts.facts.replaceChildren(facts([
      ["Stage", visible(job.stage)],
      ["Progress", `${job.progress}%`],
      ["Started", clock(job.started_at)],
      ["Finished", job.finished_at ? clock(job.finished_at) : ""],
      ["Elapsed", duration(job.elapsed_seconds)],
      ["Attempts", String(job.attempts)],
      ["File", visible(job.path)],
      ["With it", job.companions.map(visible).join(", ")],
    ]));
    keyed(parts.guests, job.vms, { key: (guest) => guest.vm, make: guestRow, update: updateGuest });
  }

  async #showReport(parts, job) {
    const end = job.finished_at && `${job.status} ${job.finished_at}`;
    if (!end || end === this.#ended) {
      if (!end) parts.report.replaceChildren();
      return;
    }
    let report;
    try {
      report = await get(jobPath(job.id, "/report"));
    } catch (refusal) {
      if (refusal.status === 0) throw refusal;
      return; // a record of another daemon may be missing
    }
    if (parts !== this.#parts) return;
    this.#ended = end;
    parts.report.replaceChildren(
      facts([["Input", lines(report.artifacts?.input)], ["Output", lines(report.artifacts?.outputs)]]),
      ...warnings(report.vms ?? []),
    );
  }
}

function idIn(hash) {
  if (!hash.startsWith("#job/")) return null;
  const text = hash.slice("#job/".length);
  try {
    return decodeURIComponent(text) || null;
  } catch {
    return text; // typed by hand
  }
}

async function showLog(parts, id) {
  const { lines: log } = await get(jobPath(id, `/log?lines=${LINES}`));
  say(parts.logText, log.length ? log.map(visible).join("\n") : "The log is empty.");
}

function problem(found) {
  return [
    element("p", {}, element("strong", {}, visible(found.message))),
    element("p", {}, "What to do: ", visible(found.remedy)),
    element("p", { class: "quiet" }, element("code", {}, visible(found.code))),
    ...(found.detail ? [element("pre", { tabindex: "0", "aria-label": "Details" }, found.detail)] : []),
  ];
}

function guestRow(guest) {
  return element("li", {},
    element("span", { class: "name" }, visible(guest.vm || "guest")),
    element("span", { class: "quiet", "data-part": "stage" }),
    element("progress", { max: "100", "aria-label": `Progress of ${visible(guest.vm || "the guest")}` }),
    element("span", { class: "quiet", "data-part": "numbers" }));
}

function updateGuest(row, guest) {
  row.querySelector("progress").value = guest.percent;
  say(row.querySelector('[data-part="stage"]'), visible(guest.stage || guest.status));
  const known = (value, text) => (Number.isFinite(value) ? text(value) : null);
  const numbers = [
    `${guest.percent}%`,
    known(guest.bytes_total, (total) => `${bytes(guest.bytes_done ?? 0)} of ${bytes(total)}`),
    known(guest.bytes_per_second, (speed) => `${bytes(speed)}/s`),
    known(guest.eta_seconds, (seconds) => `${duration(seconds)} left`),
  ];
  say(row.querySelector('[data-part="numbers"]'), numbers.filter(Boolean).join(" · "));
}

const lines = (paths) => (paths ?? []).map(visible).join("\n");

function warnings(guests) {
  const rows = guests.flatMap((guest) => guest.warnings.map((found) =>
    element("li", {}, `${visible(guest.vm)}: ${visible(found.message)}`)));
  return rows.length ? [element("h4", {}, "Warnings"), element("ul", {}, ...rows)] : [];
}
