// The task after this one, fetched while this one is on the screen.

import { post } from "./form.js";

export class Ahead {
  constructor(url, token) {
    Object.assign(this, { url, token });
    this.ready = null;
    this.asking = null;
  }

  // Fetches the next task, unless it is here or on its way.
  ask(current) {
    if (!this.ready) this.asking ??= this.fetch(current).finally(() => (this.asking = null));
    return this.asking;
  }

  async fetch(current) {
    try {
      const answer = await post(this.url, this.token);
      if (answer.status !== 200 || answer.redirected) return;
      const page = new DOMParser().parseFromString(await answer.text(), "text/html");
      const work = document.importNode(page.getElementById("work"), true);
      if (work.dataset.lease !== current) this.ready = work;
    } catch {
      // No connection: it is asked for again after the next ranking.
    }
  }

  // That task has come to the screen by another way.
  forget() {
    this.ready = null;
  }

  // The page goes: others need not wait until the task runs out.
  release() {
    if (!this.ready) return;
    post(this.ready.dataset.release, this.token, "", { keepalive: true, redirect: "manual" }).catch(() => {});
    this.ready = null;
  }

  // The next task as an element, or null.
  async take() {
    if (!this.ready) await this.asking;
    const work = this.ready;
    this.ready = null;
    return work;
  }
}
