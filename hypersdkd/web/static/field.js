// One field of the form and the member of the manifest that it stands for.
//
// In the page: data-path is that member; data-absent what a manifest without it means (else on, or empty);
// data-drop the value that is left out of the manifest; data-needs the switches without which it has no effect.

import { element, say } from "./elements.js";
import { dropMember, member, setMember } from "./manifest.js";
import { visible } from "./text.js";

export class Field {
  #said;

  constructor(input) {
    this.input = input;
    this.path = input.dataset.path;
    this.needs = (input.dataset.needs ?? "").split(" ").filter(Boolean);
    this.#said = element("p", { class: "said", id: `said-${this.path.replaceAll(".", "-")}`, hidden: true });
    (input.closest("label") ?? input).after(this.#said);
  }

  get invalid() {
    return this.input.getAttribute("aria-invalid") === "true";
  }

  /** Show what the manifest says. */
  read(document) {
    const value = member(document, this.path) ?? undefined; // null counts as absent
    const absent = this.input.dataset.absent;
    if (this.input.type === "checkbox") this.input.checked = value === undefined ? absent !== "false" : value === true;
    else this.input.value = typeof value === "string" ? value : value === undefined ? absent ?? "" : JSON.stringify(value);
  }

  /** Put what is shown into the manifest. */
  write(document) {
    const value = this.input.type === "checkbox" ? this.input.checked : this.input.value;
    if (String(value) === this.input.dataset.drop) dropMember(document, this.path);
    else setMember(document, this.path, value);
  }

  /** Show what of the problems and warnings is about this field. */
  judge(problems, warnings) {
    const ours = (list) => list.filter((found) => found.path === this.path);
    const wrong = ours(problems);
    const said = wrong.length ? wrong : ours(warnings);
    this.input.setAttribute("aria-invalid", String(wrong.length > 0));
    this.#said.hidden = said.length === 0;
    this.#said.classList.toggle("error", wrong.length > 0);
    say(this.#said, said.map((found) => `${visible(found.message)}. ${visible(found.remedy)}`).join(" "));
    if (said.length) this.input.setAttribute("aria-describedby", this.#said.id);
    else this.input.removeAttribute("aria-describedby");
  }
}
