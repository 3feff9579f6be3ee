// Ratings from 1 to 7. `r` says what the digits do; when every answer is rated they rank.

import { letters } from "./answers.js";
import { say, word } from "./words.js";

export class Ratings {
  constructor(work, answers, changed, isRequired) {
    this.answers = answers;
    this.changed = changed;
    this.isRequired = isRequired;
    this.button = work.querySelector("#digits");
    this.isOn = isRequired && this.missing().length > 0;
    this.button?.addEventListener("click", () => this.toggle());
    this.show();
  }

  static of(work, answers, changed) {
    const isRequired = work.querySelector(".answers").dataset.rating === "required";
    return work.querySelector(".rating") ? new Ratings(work, answers, changed, isRequired) : null;
  }

  ratingOf(answer) {
    return answer.querySelector(".rate input:checked")?.value ?? "";
  }

  // An answer that cannot be ranked needs no rating.
  missing() {
    return this.answers.all.filter((answer) => !this.ratingOf(answer) && !answer.querySelector(".cannot input:checked"));
  }

  turn(isOn) {
    this.isOn = isOn;
    this.show();
  }

  toggle() {
    this.turn(!this.isOn);
    say(this.button.textContent.trim());
  }

  press(rating) {
    const answer = this.answers.marked;
    const before = this.ratingOf(answer);
    for (const input of answer.querySelectorAll(".rate input")) input.checked = input.value === rating;
    say(word("rated", { letter: answer.dataset.letter, rating }));
    const missing = this.missing();
    if (!before && rating) {
      if (!missing.length) this.turn(false);
      this.answers.goTo(missing[0] ?? this.answers.all[0]);
    }
    this.changed();
  }

  key(key) {
    if (key === "r") return () => this.toggle();
    if (!this.isOn) return null;
    if (/^[1-7]$/.test(key)) return () => this.press(key);
    return key === "0" || key === "Backspace" ? () => this.press("") : null;
  }

  gap() {
    const missing = this.isRequired ? this.missing() : [];
    if (!missing.length) return null;
    return { text: word("unrated", { letters: letters(missing) }), answer: missing[0], turn: () => this.turn(true) };
  }

  show() {
    if (!this.button) return;
    this.button.querySelector("span").textContent = word(this.isOn ? "digitsRate" : "digitsRank");
    this.button.setAttribute("aria-pressed", String(this.isOn));
    this.button.closest("#work").classList.toggle("rating-now", this.isOn);
  }
}
