// What was read: seconds with an answer in view, and long answers folded until they are opened.

import { letters } from "./answers.js";
import { word } from "./words.js";

const TICK_MS = 500;
const FOLD_OVER_PX = 480;
const IN_VIEW = 0.5; // of the answer, or of the window where the answer is taller

export class Reading {
  constructor(answers, signal) {
    this.answers = answers;
    this.inView = new Set();
    this.observer = new IntersectionObserver((entries) => this.look(entries), { threshold: [0, 0.25, 0.5, 0.75, 1] });
    for (const answer of answers.all) {
      this.fold(answer, signal);
      this.observer.observe(answer.querySelector(".answer-text"));
    }
    this.beat = setInterval(() => this.tick(), TICK_MS);
  }

  look(entries) {
    for (const { target, intersectionRatio, intersectionRect } of entries) {
      const isRead = intersectionRatio >= IN_VIEW || intersectionRect.height >= IN_VIEW * window.innerHeight;
      if (isRead) this.inView.add(target.closest(".answer"));
      else this.inView.delete(target.closest(".answer"));
    }
  }

  tick() {
    if (document.hidden) return;
    for (const answer of this.inView) {
      const field = seenField(answer);
      field.value = (Number(field.value || 0) + TICK_MS / 1000).toFixed(1);
    }
  }

  fold(answer, signal) {
    const text = answer.querySelector(".answer-text");
    if (heightOf(text) <= FOLD_OVER_PX) return;
    const button = answer.querySelector(".unfold");
    button.hidden = false;
    button.addEventListener("click", () => this.toggle(answer), { signal });
    answer.querySelector(".unopened").hidden = false;
    this.setFolded(answer, true);
  }

  setFolded(answer, isFolded) {
    const text = answer.querySelector(".answer-text");
    const button = answer.querySelector(".unfold");
    text.classList.toggle("folded", isFolded);
    button.setAttribute("aria-expanded", String(!isFolded));
    button.textContent = word(isFolded ? "unfold" : "fold", { num: text.textContent.trim().split(/\s+/).length });
  }

  toggle(answer) {
    if (answer.querySelector(".unfold").hidden) return;
    const isFolded = answer.querySelector(".answer-text").classList.contains("folded");
    this.setFolded(answer, !isFolded);
    answer.querySelector(".unopened").hidden = true;
    answer.scrollIntoView({ block: "nearest" });
  }

  key(key) {
    return key === "o" ? () => this.toggle(this.answers.marked) : null;
  }

  // Asked once: an answer may be judged by its beginning, but not by oversight.
  gap() {
    const unopened = this.answers.all.filter((answer) => !answer.querySelector(".unopened").hidden);
    if (!unopened.length || this.wasAsked) return null;
    this.wasAsked = true;
    return { text: word("unopened", { letters: letters(unopened) }), answer: unopened[0] };
  }

  leave() {
    clearInterval(this.beat);
    this.observer.disconnect();
  }
}

// Of what is written, not of its box: that is as tall as the tallest answer beside it.
function heightOf(text) {
  const range = document.createRange();
  range.selectNodeContents(text);
  return range.getBoundingClientRect().height;
}

function seenField(answer) {
  return answer.querySelector(`[name="seen-${answer.dataset.id}"]`);
}
