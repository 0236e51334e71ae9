// The daemon and its queue in numbers.

import { byId, say } from "./elements.js";
import { bytes, duration, visible } from "./text.js";

/** Show a status reply; without one the numbers stay as they were, and the state says `why`. */
export function showStatus(status, why = "Not reachable") {
  const state = byId("state");
  const [word, look] = !status ? [why, "bad"] : stateOf(status);
  say(state, word);
  state.className = `badge ${look}`;
  for (const id of ["pause", "resume"]) byId(id).disabled = !status;
  if (!status) {
    document.title = `hypersdkd: ${why.toLowerCase()}`;
    return;
  }
  for (const [id, text] of Object.entries({
    mode: status.mode,
    workers: observes(status) ? "another daemon's" : `${status.workers_running} of ${status.max_workers}`,
    uptime: duration(status.uptime_seconds),
    eta: duration(status.eta_seconds ?? NaN),
    space: bytes(status.disk?.free_bytes ?? NaN),
    version: status.version,
    pending: status.queue_depth,
    processing: status.active_jobs,
    completed: status.processed_today,
    failed: status.failed_today,
  })) {
    say(byId(id), visible(text ?? "–"));
  }
  byId("mode").title = status.mode_reason ?? "";
  byId("space").title = status.base_dir ?? "";
  byId("failed").classList.toggle("some", status.failed_today > 0);
  swap(byId("pause"), byId("resume"), status.paused);
  document.body.classList.toggle("observing", observes(status)); // what only the owner of the queue can do is hidden
  document.title = status.active_jobs ? `hypersdkd: ${status.active_jobs} active` : "hypersdkd";
}

const observes = (status) => status.executor === "observe";

function stateOf(status) {
  if (status.draining) return ["Stopping", "warn"];
  if (observes(status)) return status.running ? ["Observing", "good"] : ["Waiting for the queue", "warn"];
  if (!status.running) return ["Stopping", "warn"];
  if (status.paused) return ["Paused", "warn"];
  return ["Running", "good"];
}

/** Of two opposite buttons only one can be pressed; the focus goes along. */
function swap(first, second, done) {
  const [off, on] = done ? [first, second] : [second, first];
  const focused = document.activeElement === off;
  on.disabled = false;
  off.disabled = true;
  if (focused) on.focus();
}
