// The ranking page. The radio buttons of each answer are the truth; the board, the keys and the drag only press them.

const RENEW_EVERY_MS = 60_000;
const SAVE_AFTER_MS = 1_500;
const UNRANKABLE = "unrankable";

let page = null; // the desk that is on the screen now; htmx brings a new one after each submit

class Desk {
  constructor(work) {
    this.work = work;
    this.form = work.querySelector("#ranking");
    this.words = this.form.dataset;
    this.answers = [...work.querySelectorAll(".answer")];
    this.chips = new Map([...work.querySelectorAll(".chip")].map((chip) => [chip.dataset.letter, chip]));
    this.slots = [...work.querySelectorAll(".slot")];
    this.said = work.querySelector("#said");
    this.tally = work.querySelector("#tally");
    this.off = new AbortController();
    this.current = 0;
    this.activeMs = Number(this.secondsField.value || 0) * 1000;
    this.visibleSince = document.hidden ? null : performance.now();
    this.sortables = this.slots.map((slot) => this.makeSortable(slot));
    this.listen();
    this.openGuidelines();
    this.show();
    const refused = work.querySelector("#refused, .answer.missing");
    this.mark(Math.max(0, this.answers.findIndex((answer) => !this.rankOf(answer))), { focus: true, scroll: Boolean(refused) });
  }

  get secondsField() {
    return this.form.elements.active_seconds;
  }

  listen() {
    const options = { signal: this.off.signal };
    document.addEventListener("keydown", (event) => this.onKey(event), options);
    document.addEventListener("visibilitychange", () => this.onVisibility(), options);
    // SortableJS sends a bubbling "change" of its own from its lists; only a field's counts.
    this.form.addEventListener("change", (event) => event.target.matches("input, select, textarea") && this.changed(), options);
    this.form.addEventListener("input", () => this.saveSoon(), options);
    this.form.addEventListener("submit", (event) => this.onSubmit(event), { ...options, capture: true });
    this.form.addEventListener("htmx:error", () => (this.isSent = false), options);
    for (const [index, answer] of this.answers.entries()) {
      answer.addEventListener("focusin", () => this.mark(index), options);
      answer.addEventListener("pointerdown", () => this.mark(index), options);
    }
    this.beat = setInterval(() => this.renew(), RENEW_EVERY_MS);
  }

  leave() {
    this.off.abort();
    clearInterval(this.beat);
    clearTimeout(this.saving);
    for (const sortable of this.sortables) sortable?.destroy();
  }

  // Reading and setting ranks

  rankOf(answer) {
    return answer.querySelector(".place input:checked")?.value ?? "";
  }

  place(answer, rank) {
    const before = this.rankOf(answer);
    for (const input of answer.querySelectorAll(".place input")) input.checked = input.value === rank;
    this.changed();
    this.say(this.describe(answer));
    return before;
  }

  describe(answer) {
    const rank = this.rankOf(answer);
    const letter = answer.dataset.letter;
    const others = this.answers.filter((other) => other !== answer && this.rankOf(other) === rank).map((other) => other.dataset.letter);
    if (rank === UNRANKABLE) return fill(this.words.cannot, { letter });
    if (!rank) return fill(this.words.missing, { letters: letter });
    return fill(others.length ? this.words.tied : this.words.placed, { letter, rank, others: others.join(", ") });
  }

  missing() {
    return this.answers.filter((answer) => !this.rankOf(answer));
  }

  changed() {
    this.show();
    this.saveSoon();
  }

  show() {
    for (const answer of this.answers) {
      const rank = this.rankOf(answer);
      const chip = this.chips.get(answer.dataset.letter);
      const slot = this.slots.find((found) => found.dataset.rank === rank);
      if (chip && slot && chip.parentElement !== slot) slot.append(chip);
      answer.classList.toggle("placed", Boolean(rank) && rank !== UNRANKABLE);
      answer.classList.toggle("unrankable", rank === UNRANKABLE);
      if (rank) answer.classList.remove("missing");
    }
    const left = this.missing().length;
    const all = this.answers.length;
    this.tally.textContent = left ? fill(this.words.count, { done: all - left, all }) : this.words.all;
    this.tally.classList.remove("nudge");
  }

  say(text) {
    this.said.textContent = text;
  }

  // Which answer the keys act on

  mark(index, { focus = false, scroll = true } = {}) {
    this.current = index;
    for (const [i, answer] of this.answers.entries()) {
      answer.classList.toggle("current", i === index);
      answer.tabIndex = i === index ? 0 : -1;
      this.chips.get(answer.dataset.letter)?.classList.toggle("current", i === index);
    }
    if (focus) {
      this.answers[index].focus({ preventScroll: true });
      if (scroll) this.answers[index].scrollIntoView({ block: "nearest" });
    }
  }

  step(by) {
    const count = this.answers.length;
    this.mark((this.current + by + count) % count, { focus: true });
  }

  // A first placement moves on to the next answer without a place; a correction stays where it is.
  key(rank) {
    const before = this.place(this.answers[this.current], rank);
    const next = this.answers.findIndex((answer) => !this.rankOf(answer));
    if (!before && rank && next >= 0) this.mark(next, { focus: true });
  }

  onKey(event) {
    if (document.querySelector("dialog[open]") || event.altKey || event.isComposing) return;
    const isTyping = event.target.matches?.("textarea, select, input:not([type=radio], [type=checkbox])");
    if (event.key === "Enter" && (event.ctrlKey || event.metaKey)) return this.submit(event);
    if (isTyping || event.ctrlKey || event.metaKey) return;
    const act = this.actionFor(event);
    if (!act) return;
    event.preventDefault();
    act();
  }

  actionFor(event) {
    const { key } = event;
    if (/^[1-9]$/.test(key)) return Number(key) <= this.answers.length ? () => this.key(key) : null;
    if (event.shiftKey && /^[A-Z]$/.test(key)) return this.letterAction(key);
    const actions = {
      j: () => this.step(1),
      ArrowDown: () => this.step(1),
      ArrowRight: () => this.step(1),
      k: () => this.step(-1),
      ArrowUp: () => this.step(-1),
      ArrowLeft: () => this.step(-1),
      u: () => this.key(UNRANKABLE),
      0: () => this.key(""),
      Backspace: () => this.key(""),
      n: () => this.toggleNone(),
      g: () => this.toggleGuidelines(),
      s: () => document.getElementById("skip").showModal(),
      "?": () => document.getElementById("keys").showModal(),
    };
    // On a button, a link or a fold Enter does what it always does.
    if (key === "Enter" && !event.target.matches("a, button, summary")) return () => this.submit(event);
    return Object.hasOwn(actions, key) ? actions[key] : null;
  }

  letterAction(letter) {
    const index = this.answers.findIndex((answer) => answer.dataset.letter === letter);
    return index >= 0 ? () => this.mark(index, { focus: true }) : null;
  }

  toggleNone() {
    const box = this.form.elements.none_acceptable;
    box.checked = !box.checked;
    this.changed();
    this.say(box.checked ? this.words.noneOn : this.words.noneOff);
  }

  openGuidelines() {
    const fold = this.work.querySelector("#guidelines");
    if (!fold) return;
    const kept = remember("guidelines");
    fold.open = kept ? kept === "open" : matchMedia("(width >= 75rem)").matches;
    fold.addEventListener("toggle", () => remember("guidelines", fold.open ? "open" : "closed"), { signal: this.off.signal });
  }

  toggleGuidelines() {
    const fold = this.work.querySelector("#guidelines");
    if (fold) fold.open = !fold.open;
  }

  // Drag

  makeSortable(slot) {
    if (!window.Sortable) return null;
    return new window.Sortable(slot, {
      group: "board",
      sort: false,
      draggable: ".chip",
      // A finger on the letter scrolls the page; only the grip drags.
      handle: matchMedia("(pointer: coarse)").matches ? ".grip" : undefined,
      forceFallback: true,
      fallbackTolerance: 4,
      animation: matchMedia("(prefers-reduced-motion: reduce)").matches ? 0 : 120,
      onMove: ({ to }) => this.highlight(to),
      onEnd: (event) => this.dropped(event),
    });
  }

  highlight(slot) {
    for (const known of this.slots) known.classList.toggle("over", known === slot);
  }

  dropped({ item, to }) {
    this.highlight(null);
    const index = this.answers.findIndex((answer) => answer.dataset.letter === item.dataset.letter);
    this.mark(index);
    this.place(this.answers[index], to.dataset.rank);
  }

  // Time, draft, lease

  onVisibility() {
    if (document.hidden) {
      this.activeMs = this.elapsed();
      this.visibleSince = null;
      this.save();
    } else {
      this.visibleSince = performance.now();
      this.renew();
    }
  }

  elapsed() {
    return this.activeMs + (this.visibleSince === null ? 0 : performance.now() - this.visibleSince);
  }

  post(url, body) {
    const token = this.form.elements.csrfmiddlewaretoken.value;
    return fetch(url, { method: "POST", body, headers: { "X-CSRFToken": token }, keepalive: true });
  }

  async renew() {
    if (document.hidden) return;
    try {
      const answer = await this.post(this.work.dataset.renew);
      if (!answer.ok) return;
      const until = new Date((await answer.json()).expires_at);
      const held = this.work.querySelector("#held-until");
      if (held) held.textContent = until.toLocaleTimeString([], { hour: "2-digit", minute: "2-digit" });
    } catch {
      // Offline for a moment: the next beat tries again, and a late submit is still taken where a place is free.
    }
  }

  saveSoon() {
    clearTimeout(this.saving);
    this.saving = setTimeout(() => this.save(), SAVE_AFTER_MS);
  }

  save() {
    clearTimeout(this.saving);
    if (this.isSent) return;
    this.secondsField.value = (this.elapsed() / 1000).toFixed(1);
    this.post(this.work.dataset.draft, new FormData(this.form)).catch(() => {});
  }

  // Submit

  submit(event) {
    event.preventDefault();
    this.form.requestSubmit();
  }

  onSubmit(event) {
    const missing = this.missing();
    if (missing.length) {
      event.preventDefault();
      event.stopImmediatePropagation();
      const text = fill(this.words.missing, { letters: missing.map((answer) => answer.dataset.letter).join(", ") });
      this.tally.textContent = text;
      this.tally.classList.add("nudge");
      this.say(text);
      this.mark(this.answers.indexOf(missing[0]), { focus: true });
      return;
    }
    clearTimeout(this.saving);
    this.isSent = true;
    this.secondsField.value = (this.elapsed() / 1000).toFixed(1);
  }
}

function fill(text, values) {
  return text.replace(/%\((\w+)\)s/g, (whole, name) => values[name] ?? whole);
}

function remember(name, value) {
  try {
    if (value === undefined) return localStorage.getItem(name);
    localStorage.setItem(name, value);
  } catch {
    // Storage may be refused; nothing depends on it.
  }
  return null;
}

function arrive() {
  const work = document.getElementById("work");
  if (page?.work === work) return;
  const isNext = Boolean(page);
  page?.leave();
  page = work ? new Desk(work) : null;
  if (isNext && page && !work.querySelector("#refused")) window.scrollTo({ top: 0 });
}

document.addEventListener("htmx:after:swap", arrive);
document.addEventListener("htmx:after:settle", arrive);
arrive();
