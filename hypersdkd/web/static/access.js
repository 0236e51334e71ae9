// The token that a daemon asks for: a field where there is need of one.

import { setToken, wantsToken } from "./api.js";
import { byId, notice } from "./elements.js";
import { visible } from "./text.js";

export class Access {
  /** `given()` is called when there is a token to try. */
  constructor(given) {
    byId("access").addEventListener("submit", (event) => {
      event.preventDefault();
      setToken(byId("token").value.trim());
      byId("token").value = "";
      given();
    });
  }

  /** What a look at the daemon said: ask for a token if it was that. A wrong one is not sent again. */
  judge(refusal) {
    const asked = Boolean(refusal && wantsToken(refusal));
    const box = byId("access");
    const wrong = asked && refusal.code !== "token-required";
    if (asked) setToken("");
    if (asked === !box.hidden && !wrong) return asked;
    notice(byId("access-problem"), ...(wrong ? [visible(`${refusal.message} ${refusal.remedy}`)] : []));
    box.hidden = !asked;
    byId("token").setAttribute("aria-invalid", String(wrong));
    if (asked) byId("token").focus();
    return asked;
  }
}
