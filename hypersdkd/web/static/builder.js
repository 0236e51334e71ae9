// The Manifest Builder: a form and its JSON, kept in step; the text of the JSON is what is validated and sent.

import { post } from "./api.js";
import { byId, element, notice, say } from "./elements.js";
import { Field } from "./field.js";
import { jobAddress } from "./jobs.js";
import { INITIAL, readManifest } from "./manifest.js";
import { plural, visible } from "./text.js";

const PAUSE = 300; // milliseconds without typing until the daemon is asked
const SHOWN = 100; // problems listed at most

export class Builder {
  #json = byId("json");
  #form = byId("manifest");
  #fields;
  #submitted;
  #timer = 0;
  #turn = 0;
  #key = "";

  /** `submitted()` is called when a job was made. */
  constructor(submitted) {
    this.#submitted = submitted;
    this.#fields = [...this.#form.querySelectorAll("[data-path]")].map((input) => new Field(input));
    this.#json.setAttribute("aria-describedby", "problems");
    this.#write(INITIAL);
    this.#fill();
    this.#form.querySelector(".groups").addEventListener("input", (event) => this.#fromForm(event.target));
    this.#json.addEventListener("input", () => this.#fromText());
    this.#form.addEventListener("submit", (event) => {
      event.preventDefault();
      this.#submit();
    });
    byId("validate").addEventListener("click", async () => (await this.#validate()) || this.#goToProblem());
    byId("download").addEventListener("click", () => this.#download());
  }

  #fromForm(input) {
    const { document } = readManifest(this.#json.value);
    const field = this.#fields.find((each) => each.input === input);
    if (!document || !field) return;
    field.write(document);
    this.#write(document);
    this.#offer();
    this.#changed();
  }

  #fromText() {
    this.#fill();
    this.#changed();
  }

  #write(document) {
    this.#json.value = JSON.stringify(document, null, 2);
  }

  /** Make the form show the JSON, or say why it cannot. */
  #fill() {
    const { document, reason } = readManifest(this.#json.value);
    for (const group of this.#form.querySelectorAll("fieldset")) group.disabled = !document;
    notice(byId("locked"), ...(reason ? [reason] : []));
    if (!document) return;
    for (const field of this.#fields) field.read(document);
    this.#offer();
  }

  /** What is off takes its parts along. */
  #offer() {
    const on = new Set(this.#fields.filter((field) => field.input.checked).map((field) => field.path));
    for (const field of this.#fields) field.input.disabled = !field.needs.every((path) => on.has(path));
  }

  #changed() {
    this.#key = "";
    notice(byId("submitted"));
    clearTimeout(this.#timer);
    this.#timer = setTimeout(() => this.#validate(), PAUSE);
  }

  /** Ask the daemon; true when the manifest is valid. An answer that a later question overtook is dropped. */
  async #validate() {
    clearTimeout(this.#timer);
    const turn = ++this.#turn;
    try {
      const { problems, warnings } = await post("manifest/validate", this.#json.value);
      return turn === this.#turn && this.#judge(problems, warnings);
    } catch (refusal) {
      if (turn === this.#turn) this.#refused(refusal);
      return false;
    }
  }

  async #submit() {
    clearTimeout(this.#timer);
    const turn = ++this.#turn;
    const button = byId("submit");
    button.disabled = true;
    // The same key until something changes: a call whose answer was lost makes no second job.
    this.#key ||= [...crypto.getRandomValues(new Uint32Array(4))].join("-");
    try {
      const { job_id: id } = await post("manifest/submit", this.#json.value, { "Idempotency-Key": this.#key });
      this.#key = "";
      if (turn === this.#turn) this.#judge([], []);
      notice(byId("submitted"), "Submitted as ", element("a", { href: jobAddress(id) }, visible(id)));
      this.#submitted();
    } catch (refusal) {
      this.#refused(refusal);
      this.#goToProblem();
    } finally {
      button.disabled = false;
    }
  }

  #refused(refusal) {
    if (refusal.status === undefined) throw refusal; // a mistake of this page
    if (refusal.status && refusal.problems.length) this.#judge(refusal.problems, []);
    else this.#judge([{ path: "", message: refusal.message, remedy: refusal.remedy }], []);
  }

  /** Show every problem in the list and, where it has one, at its field; true when there is none. */
  #judge(problems, warnings) {
    for (const field of this.#fields) field.judge(problems, warnings);
    this.#json.setAttribute("aria-invalid", String(problems.length > 0));
    const row = (found, kind) =>
      element("li", { class: kind }, element("strong", {}, visible(found.message)), " ", visible(found.remedy));
    const rows = [...problems.map((found) => [found, "error"]), ...warnings.map((found) => [found, "warning"])];
    byId("problems").replaceChildren(...rows.slice(0, SHOWN).map(([found, kind]) => row(found, kind)));
    if (rows.length > SHOWN) byId("problems").append(element("li", {}, `and ${rows.length - SHOWN} more`));
    const words = problems.length ? [plural(problems.length, "problem")] : ["Valid"];
    if (warnings.length) words.push(plural(warnings.length, "warning"));
    say(byId("verdict"), `${words.join(", ")}.`);
    byId("verdict").className = problems.length ? "bad" : "good";
    return problems.length === 0;
  }

  #goToProblem() {
    const field = this.#fields.find((each) => each.invalid && !each.input.matches(":disabled"));
    (field?.input ?? this.#json).focus();
  }

  #download() {
    const link = element("a", { download: `manifest-${Date.now()}.json` });
    link.href = URL.createObjectURL(new Blob([this.#json.value, "\n"], { type: "application/json" }));
    link.click();
    setTimeout(() => URL.revokeObjectURL(link.href)); // the download has begun by then
  }
}
