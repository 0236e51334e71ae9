// Keeps the page fresh: by the daemon's event stream where there is one, else by asking every three seconds.
// An event only says that something changed; what it is, the next look at the API tells.

import { address } from "./api.js";

const POLL = 3000; // milliseconds between two looks without a stream
const LIVE = 5000; // between two looks with one: times go on, and nothing stays wrong for long
const GAP = 250; // from an event to the look; events come in crowds
const AGAIN = 30_000; // until a stream that the daemon refused is asked for again

// What the stream tells of; EventSource hears only names that it was told of. `reset`: some changes were missed.
const EVENTS = ["message", "job", "guest", "queue", "daemon", "reset"];

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

  /** `look()` refreshes the page and tells whether the daemon answered; `show(state)` gets live, polling, off or lost. */
  constructor(look, show) {
    this.#look = look;
    this.#show = show;
    document.addEventListener("visibilitychange", () => {
      // A hidden page holds no connection: browsers have six for each site.
      if (this.#on && document.hidden) this.#close();
      else if (this.#on) this.#begin();
    });
  }

  start() {
    this.#on = true;
    this.#begin();
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

  #begin() {
    if (!this.#stream) this.#open();
    this.now();
  }

  #open() {
    const stream = new EventSource(address("events"));
    this.#stream = stream;
    for (const name of EVENTS) stream.addEventListener(name, () => this.#soon());
    stream.addEventListener("open", () => {
      this.#live = true;
      this.#soon();
    });
    stream.addEventListener("error", () => {
      this.#live = false;
      this.#soon();
      if (stream.readyState === EventSource.CLOSED) this.#reopen = setTimeout(() => this.#open(), AGAIN);
    });
  }

  #close() {
    this.#stream?.close();
    this.#stream = null;
    this.#live = false;
    this.#unschedule();
    clearTimeout(this.#reopen);
  }

  /** A stream that is open while a look has no answer may be what keeps the look waiting: a browser has six connections. */
  #yield() {
    if (this.#stream?.readyState !== 1) return;
    this.#stream.close();
    this.#live = false;
    this.#reopen = setTimeout(() => this.#open(), AGAIN);
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
    let answered = false;
    try {
      answered = await this.#look();
    } finally {
      this.#looking = null;
      if (!answered) this.#yield();
      if (!answered) this.#show("lost");
      else if (!this.#on) this.#show("off");
      else this.#show(this.#live ? "live" : "polling");
      if (this.#wanted) this.#schedule(GAP);
      else if (this.#on && !document.hidden) this.#schedule(this.#live ? LIVE : POLL);
    }
  }
}
