// Rankings on their way to the server. Each waits here until the server has it: through dead lines, reloads and crashes.
// A ranking may be sent twice; the server stores it once, because the lease is its key.

import { post, refusalIn } from "./form.js";
import { keep, recall } from "./memory.js";

const RETRY_MS = [1_000, 2_000, 5_000, 15_000];

export class Outbox extends EventTarget {
  constructor(element) {
    super();
    this.user = element.dataset.user;
    this.token = element.dataset.token;
    this.store = `outbox:${this.user}`;
    this.state = "quiet"; // or sending, offline, signedOut
    this.numFailed = 0;
    this.unkept = []; // where the browser keeps nothing
    window.addEventListener("online", () => this.flush());
    window.addEventListener("storage", ({ key }) => key === this.store && this.tell());
  }

  get entries() {
    return recall(this.store, this.unkept);
  }

  get waiting() {
    return this.entries.filter((entry) => !entry.refused);
  }

  get refused() {
    return this.entries.filter((entry) => entry.refused);
  }

  find(lease) {
    return this.entries.find((entry) => entry.lease === lease);
  }

  add(entry) {
    this.write([...this.entries.filter(({ lease }) => lease !== entry.lease), entry]);
  }

  drop(lease) {
    this.write(this.entries.filter((entry) => entry.lease !== lease));
  }

  write(entries) {
    this.unkept = keep(this.store, entries) ? [] : entries;
    this.tell();
  }

  tell(state = this.state) {
    this.state = state;
    this.dispatchEvent(new Event("change"));
  }

  // Sends what waits, oldest first; of several tabs one at a time.
  flush() {
    clearTimeout(this.timer);
    this.flushing ??= this.exclusively(() => this.sendAll()).finally(() => (this.flushing = null));
    return this.flushing;
  }

  exclusively(send) {
    return navigator.locks ? navigator.locks.request(this.store, send) : send();
  }

  async sendAll() {
    for (let entry = this.waiting[0]; entry; entry = this.waiting[0]) {
      this.tell("sending");
      const outcome = await this.send(entry);
      if (outcome.stop) return this.pause(outcome.stop);
      this.numFailed = 0;
      if (outcome.refused) this.write(this.entries.map((e) => (e.lease === entry.lease ? { ...e, refused: outcome.refused } : e)));
      else this.drop(entry.lease);
      this.dispatchEvent(new CustomEvent("sent", { detail: { ...entry, refused: outcome.refused } }));
    }
    this.tell("quiet");
  }

  async send({ url, body }) {
    let answer;
    try {
      answer = await post(url, this.token, body);
    } catch {
      return { stop: "offline" };
    }
    if (answer.redirected || answer.status === 403) return { stop: "signedOut" };
    if (answer.ok) return {};
    if (answer.status >= 500 || answer.status === 429) return { stop: "offline" };
    return { refused: (await refusalIn(answer)) ?? { code: String(answer.status), message: null } };
  }

  pause(state) {
    this.tell(state);
    const wait = RETRY_MS[Math.min(this.numFailed++, RETRY_MS.length - 1)];
    this.timer = setTimeout(() => this.flush(), wait);
  }
}
