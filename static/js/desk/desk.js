// One task on the screen: puts its parts together, asks them what is still missing, and hands the ranking in.

import { Answers } from "./answers.js";
import { Best, Preference } from "./choice.js";
import { Clock } from "./clock.js";
import { Comparing } from "./comparing.js";
import { Draft } from "./draft.js";
import { Flags } from "./flags.js";
import { bodyOf, fillForm } from "./form.js";
import { listenToKeys } from "./keys.js";
import { Ranks } from "./ranks.js";
import { Ratings } from "./ratings.js";
import { Reading } from "./reading.js";
import { StrictRanks } from "./strict.js";
import { say, word } from "./words.js";
import { Writing } from "./writing.js";

const ORDERS = { ranking: Ranks, strict: StrictRanks, strength: Preference, scale: Preference, best: Best };

export class Desk {
  constructor(work, { outbox, look, handIn, onRanOut }) {
    Object.assign(this, { work, handIn, onRanOut, lease: work.dataset.lease });
    this.form = work.querySelector("#ranking");
    this.tally = work.querySelector("#tally");
    this.none = this.form.elements.none_acceptable;
    this.off = new AbortController();
    const { signal } = this.off;
    const refused = outbox.find(this.lease)?.body;
    if (refused) fillForm(this.form, refused);
    const beforeSave = () => this.clock.write();
    this.draft = new Draft({ work, form: this.form, outbox, beforeSave, onRanOut: () => this.ranOut() });
    this.clock = new Clock(this.form.elements.active_seconds);
    this.answers = new Answers(work, signal);
    this.order = new ORDERS[work.dataset.protocol](work, this.answers, () => this.changed(), (text) => this.refuse({ text }));
    this.ratings = Ratings.of(work, this.answers, () => this.changed());
    this.flags = new Flags(work, this.answers, signal);
    this.writing = new Writing(work, this.answers, signal);
    this.reading = new Reading(this.answers, signal);
    this.comparing = new Comparing(work, this.answers, signal);
    look.showGuidelines(work, signal);
    this.keys = [this.flags, this.ratings, this.order, this.writing, this.reading, this.comparing, look].filter(Boolean);
    this.listen(signal);
    this.show();
    this.begin();
  }

  listen(signal) {
    listenToKeys(this, signal);
    document.addEventListener("visibilitychange", () => this.seenOrNot(), { signal });
    // SortableJS sends a bubbling "change" of its own from its lists; only a field's counts.
    this.work.addEventListener("change", ({ target }) => this.isOurs(target) && this.changed(), { signal });
    this.work.addEventListener("input", ({ target }) => this.isOurs(target) && this.draft.saveSoon(), { signal });
    this.form.addEventListener("submit", (event) => this.onSubmit(event), { signal, capture: true });
  }

  isOurs(target) {
    return target.form === this.form;
  }

  begin() {
    const first = this.gaps().next().value?.answer ?? this.answers.all[0];
    const isTold = this.work.querySelector("#refused, .answer.missing");
    this.answers.goTo(first, { scroll: Boolean(isTold) });
  }

  changed() {
    this.isTouched = true;
    this.show();
    this.draft.saveSoon();
  }

  show() {
    this.order.show();
    const gap = this.gaps().next().value;
    this.tally.textContent = gap ? (gap.tally ?? gap.text) : this.order.tally();
    this.tally.classList.remove("nudge");
  }

  // What is still missing, in the order in which it is asked for.
  *gaps() {
    for (const part of [this.ratings, this.order, this.writing]) {
      const gap = part?.gap();
      if (gap) yield gap;
    }
  }

  refuse({ text, answer, go, turn }) {
    turn?.();
    this.tally.textContent = text;
    this.tally.classList.add("nudge");
    say(text);
    if (go) go();
    else this.answers.goTo(answer);
  }

  toggleNone() {
    this.none.checked = !this.none.checked;
    this.changed();
    say(word(this.none.checked ? "noneOn" : "noneOff"));
  }

  seenOrNot() {
    if (document.hidden) {
      this.clock.pause();
      this.draft.save();
    } else {
      this.clock.goOn();
      this.draft.renew();
    }
  }

  ranOut() {
    if (this.onRanOut(this)) return;
    if (document.getElementById("ran-out-notice")) return;
    this.work.prepend(document.getElementById("ran-out").content.cloneNode(true));
  }

  submit() {
    this.form.requestSubmit();
  }

  onSubmit(event) {
    const gap = this.gaps().next().value ?? this.reading.gap();
    if (gap || !("feedback" in this.work.dataset)) {
      event.preventDefault();
      event.stopImmediatePropagation();
    }
    if (gap) return this.refuse(gap);
    this.clock.write();
    this.writing.dropUntouched();
    // Of a training task the server's answer is what comes next: htmx sends it and shows what it says.
    if (!event.defaultPrevented) return;
    const { page, send } = this.work.dataset;
    this.draft.end();
    this.handIn({ lease: this.lease, url: send, page, body: bodyOf(this.form), said: this.order.summary() });
  }

  leave() {
    this.off.abort();
    this.draft.leave();
    this.reading.leave();
    this.order.leave();
  }
}
