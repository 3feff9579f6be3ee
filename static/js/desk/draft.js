// Unfinished work: kept in this browser at once and on the server soon after, so that no crash and no dead line loses it.

import { bodyOf, fillForm, post, refusalIn } from "./form.js";
import { keep, recall } from "./memory.js";
import { showOwnTimes } from "../times.js";

const SAVE_AFTER_MS = 1_500;
const RENEW_EVERY_MS = 60_000;
const MAX_KEPT = 20;

export class Draft {
  constructor({ work, form, outbox, beforeSave, onRanOut }) {
    Object.assign(this, { work, form, token: outbox.token, beforeSave, onRanOut });
    this.store = `drafts:${outbox.user}`;
    this.lease = work.dataset.lease;
    showOwnTimes(work);
    this.beat = setInterval(() => this.renew(), RENEW_EVERY_MS);
    const kept = recall(this.store, {})[this.lease];
    if (kept) {
      fillForm(form, kept);
      this.saveSoon();
    }
  }

  saveSoon() {
    clearTimeout(this.timer);
    this.timer = setTimeout(() => this.save(), SAVE_AFTER_MS);
    this.keepHere(bodyOf(this.form));
  }

  keepHere(body) {
    const { [this.lease]: _old, ...others } = recall(this.store, {});
    const newest = Object.entries(others).slice(-(MAX_KEPT - 1));
    keep(this.store, Object.fromEntries(body === null ? newest : [...newest, [this.lease, body]]));
  }

  async save() {
    clearTimeout(this.timer);
    if (this.isOver) return;
    this.beforeSave();
    const body = bodyOf(this.form);
    try {
      const answer = await post(this.work.dataset.draft, this.token, body);
      if (answer.ok && !answer.redirected && !this.isOver) this.keepHere(null);
    } catch {
      // No connection: it is kept here, and sent with the next change or on the next visit.
    }
  }

  async renew() {
    if (document.hidden || this.isOver) return;
    try {
      const answer = await post(this.work.dataset.renew, this.token);
      if (answer.ok) this.showUntil((await answer.json()).expires_at);
      else if ((await refusalIn(answer))?.code === "lease_over" && !this.isOver) this.onRanOut();
    } catch {
      // Offline for a moment: the next beat tries again, and a late submit is still taken where a place is free.
    }
  }

  showUntil(expiresAt) {
    const held = this.work.querySelector(".hold time");
    if (!held) return;
    held.dateTime = expiresAt;
    showOwnTimes(this.work);
  }

  // Handed in: there is nothing left to keep.
  end() {
    this.leave();
    this.keepHere(null);
  }

  leave() {
    this.isOver = true;
    clearTimeout(this.timer);
    clearInterval(this.beat);
  }
}
