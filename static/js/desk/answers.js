// The answers on the screen, and the one among them on which the keys act.

export class Answers {
  constructor(work, signal) {
    this.work = work;
    this.all = [...work.querySelectorAll(".answer")];
    this.current = 0;
    for (const [index, answer] of this.all.entries()) {
      answer.addEventListener("focusin", () => this.mark(index), { signal });
      answer.addEventListener("pointerdown", () => this.mark(index), { signal });
    }
  }

  get marked() {
    return this.all[this.current];
  }

  at(letter) {
    return this.all.findIndex((answer) => answer.dataset.letter === letter);
  }

  mark(index, { focus = false, scroll = true } = {}) {
    this.current = index;
    for (const [i, answer] of this.all.entries()) {
      answer.classList.toggle("current", i === index);
      answer.tabIndex = i === index ? 0 : -1;
    }
    for (const chip of this.work.querySelectorAll(".chip")) {
      chip.classList.toggle("current", chip.dataset.letter === this.marked.dataset.letter);
    }
    if (!focus) return;
    this.marked.focus({ preventScroll: true });
    if (scroll) this.marked.scrollIntoView({ block: "nearest" });
  }

  step(by) {
    const count = this.all.length;
    this.mark((this.current + by + count) % count, { focus: true });
  }

  // Moves on to the first answer that still lacks something, if any.
  goTo(answer, options = {}) {
    if (answer) this.mark(this.all.indexOf(answer), { focus: true, ...options });
  }
}

export function letters(answers) {
  return answers.map((answer) => answer.dataset.letter).join(", ");
}
