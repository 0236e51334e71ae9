// The list of jobs: filters, rows with stage and progress, and what can be done with each.

import { get, jobPath, post, wellFormed } from "./api.js";
import { byId, element, keyed, say } from "./elements.js";
import { duration, plural, shortClock, visible } from "./text.js";

const PAGE = 50; // rows shown at first, and with each "Show more"

const LOOKS = { pending: "", processing: "busy", completed: "good", failed: "bad", cancelled: "warn" };

/** The address of a job on this page. */
export const jobAddress = (id) => `#job/${encodeURIComponent(wellFormed(id))}`;

export class JobList {
  #status = "active";
  #limit = PAGE;
  #rows = 0; // made so far; each has a number of its own
  #act;
  #changed;

  /** `act(words, call)` makes a call and tells how it went; `changed()` asks for a fresh look. */
  constructor(act, changed) {
    this.#act = act;
    this.#changed = changed;
    for (const button of document.querySelectorAll("button[data-status]")) {
      button.addEventListener("click", () => this.#choose(button.dataset.status));
    }
    byId("more").addEventListener("click", () => {
      this.#limit += PAGE;
      this.#changed();
    });
  }

  /** The page of jobs that the filter asks for, with the filter it was asked by. */
  async load() {
    const status = this.#status;
    return { status, ...(await get(`jobs?status=${status}&limit=${this.#limit}`)) };
  }

  show(page) {
    if (page.status !== this.#status) return; // another filter was chosen meanwhile
    const kind = page.status === "all" ? "" : `${page.status} `;
    say(byId("jobs-count"), page.total ? plural(page.total, `${kind}job`) : `No ${kind}jobs.`);
    byId("more").hidden = page.total <= page.jobs.length;
    keyed(byId("jobs"), page.jobs, {
      key: (job) => `${job.status === "completed"}/${job.date}/${job.id}`,
      make: (job) => this.#row(job),
      update: updateRow,
    });
  }

  #choose(status) {
    this.#status = status;
    this.#limit = PAGE;
    for (const button of document.querySelectorAll("button[data-status]")) {
      button.setAttribute("aria-pressed", String(button.dataset.status === status));
    }
    this.#changed();
  }

  #row(job) {
    const name = element("a", { href: jobAddress(job.id), class: "name", id: `row-${++this.#rows}` }, visible(job.id));
    return element(
      "li",
      { class: "job" },
      name,
      element("span", { class: "badge", "data-part": "status" }),
      element("span", { class: "quiet", "data-part": "stage" }),
      element("progress", { max: "100", "aria-label": `Progress of ${visible(job.name)}` }),
      element("span", { class: "quiet", "data-part": "percent" }),
      element("span", { class: "quiet", "data-part": "time" }),
      element("span", { class: "error", "data-part": "error" }),
      jobActions(job.id, name.id, this.#act),
    );
  }
}

function updateRow(row, job) {
  const part = (name) => row.querySelector(`[data-part="${name}"]`);
  const runs = job.status === "processing";
  showState(part("status"), job);
  say(part("stage"), stageOf(job));
  const bar = row.querySelector("progress");
  const told = runs && job.vms_total > 0; // before its plan, and of another daemon's job, nothing is known
  bar.hidden = !told;
  bar.value = job.progress;
  say(part("percent"), told ? `${job.progress}%` : "");
  say(part("time"), runs ? duration(job.elapsed_seconds) : job.finished_at ? shortClock(job.finished_at) : "");
  say(part("error"), visible(job.error));
  offerActions(row, job);
}

/** Put a job's state on its badge. */
export function showState(badge, job) {
  say(badge, job.status);
  badge.className = `badge ${LOOKS[job.status] ?? ""}`;
}

function stageOf(job) {
  const words = [];
  if (job.stage && job.stage.toLowerCase() !== job.status) words.push(job.stage);
  if (job.vms_total > 1) words.push(`${job.vms_ended} of ${job.vms_total} guests`);
  if (job.foreign) words.push("another daemon's");
  return visible(words.join(" · "));
}

/** The buttons of a job; `offerActions` shows those that its state allows. `describedBy` is the element with its name. */
export function jobActions(id, describedBy, act) {
  const button = (action, word, done) =>
    element("button", {
      type: "button",
      "data-action": action,
      "aria-describedby": describedBy,
      on: { click: () => act(`${visible(id)} ${done}`, () => post(jobPath(id, `/${action}`))) },
    }, word);
  return element("span", { class: "actions" },
    button("cancel", "Cancel", "is being cancelled."), button("retry", "Retry", "is pending again."));
}

export function offerActions(box, job) {
  const allowed = {
    cancel: !job.foreign && ["pending", "processing"].includes(job.status),
    retry: !job.foreign && ["failed", "cancelled"].includes(job.status),
  };
  for (const button of box.querySelectorAll("button[data-action]")) button.hidden = !allowed[button.dataset.action];
}
