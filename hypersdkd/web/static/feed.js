// Keeps the page fresh: by the daemon's event stream where there is one, else by asking every three seconds.
// An event only says that something changed; what it is, the next look at the API tells.

import { address, authorization } from "./api.js";

const POLL = 3000; // milliseconds between two looks without a stream
const LIVE = 5000; // between two looks with one: times go on, and nothing stays wrong for long
const GAP = 250; // from an event to the look; events come in crowds
const SOON = 1000; // until a stream that ended is asked for again
const AGAIN = 30_000; // until one that the daemon refused is

export class Feed {
  #look;
  #show;
  #on = false;
  #live = false;
  #stream = null;
  #timer = 0;
  #due = Infinity;
  #reopen = 0;
  #looking = null;
  #wanted = false;

  /** `look()` refreshes the page and tells whether it has seen the daemon (seen, lost or locked); `show(state)` gets
   *  live, polling, off, lost or locked. */
  constructor(look, show) {
    this.#look = look;
    this.#show = show;
    document.addEventListener("visibilitychange", () => {
      // A hidden page holds no connection: browsers have six for each site.
      if (this.#on && document.hidden) this.#close();
      else if (this.#on) this.now();
    });
  }

  start() {
    this.#on = true;
    this.now();
  }

  stop() {
    this.#on = false;
    this.#close();
    this.#show("off");
  }

  /** Look now; while a look is under way, once more after it. */
  now() {
    if (this.#looking) this.#wanted = true;
    else this.#looking = this.#tick();
    return this.#looking;
  }

  /** Listen. Not by EventSource, which cannot show a token; and since a look tells all, no event has to be read. */
  async #open() {
    this.#again(0);
    const stream = new AbortController();
    this.#stream = stream;
    let pause = SOON;
    try {
      const reply = await fetch(address("events"), { headers: authorization(), signal: stream.signal });
      if (!reply.ok) pause = AGAIN;
      const reader = reply.ok && reply.body.getReader();
      while (reader && !(await reader.read()).done && this.#stream === stream) {
        this.#live = true;
        this.#soon();
      }
    } catch {
      // cut off, or closed by us
    }
    stream.abort(); // the body of a refusal is not waited for
    if (this.#stream !== stream) return;
    this.#live = false;
    this.#soon();
    this.#again(pause);
  }

  /** Listen after a pause; 0: not by itself. */
  #again(pause) {
    clearTimeout(this.#reopen);
    this.#reopen = pause && setTimeout(() => this.#open(), pause);
  }

  #close() {
    this.#shut();
    this.#unschedule();
  }

  #shut() {
    this.#stream?.abort();
    this.#stream = null;
    this.#live = false;
    this.#again(0);
  }

  /** A stream that is open while a look has no answer may be what keeps the look waiting: a browser has six connections. */
  #yield() {
    if (!this.#live) return;
    this.#shut();
    this.#again(AGAIN);
  }

  #soon() {
    if (this.#looking) this.#wanted = true;
    else this.#schedule(GAP);
  }

  /** Look after `delay`, or at an earlier time that is set: a steady stream of events must not put it off for ever. */
  #schedule(delay) {
    const due = performance.now() + delay;
    if (this.#due <= due) return;
    clearTimeout(this.#timer);
    this.#due = due;
    this.#timer = setTimeout(() => this.now(), delay);
  }

  #unschedule() {
    clearTimeout(this.#timer);
    this.#due = Infinity;
  }

  async #tick() {
    this.#unschedule();
    this.#wanted = false;
    let seen = "lost";
    try {
      seen = await this.#look();
    } finally {
      this.#looking = null;
      if (seen === "lost") this.#yield();
      if (seen === "locked") this.#close(); // until there is another token
      else this.#goOn();
      this.#show(seen !== "seen" ? seen : !this.#on ? "off" : this.#live ? "live" : "polling");
    }
  }

  #goOn() {
    const listens = this.#on && !document.hidden;
    if (listens && !this.#stream && !this.#reopen) this.#open();
    if (this.#wanted) this.#schedule(GAP);
    else if (listens) this.#schedule(this.#live ? LIVE : POLL);
  }
}
