// A choice made with one key: a point between two answers, or the best of all. The radio buttons are the truth.

import { say, word } from "./words.js";

class OneChoice {
  constructor(work, answers, changed) {
    this.answers = answers;
    this.changed = changed;
    this.options = [...work.querySelectorAll("[data-key] input[type=radio]")];
    this.none = work.querySelector("[name=none_acceptable]");
    this.show();
  }

  get chosen() {
    return this.options.find((input) => input.checked);
  }

  choose(input) {
    for (const option of this.options) option.checked = option === input;
    this.changed();
    say(this.summary());
  }

  key(key) {
    if (key === "0" || key === "Backspace") return () => this.choose(null);
    const option = this.options.find((input) => input.closest("[data-key]").dataset.key === key);
    return option ? () => this.choose(option) : null;
  }

  // Where none is acceptable nobody has to choose.
  gap() {
    return this.chosen || this.none.checked ? null : { text: this.missing, answer: null };
  }

  tally() {
    return this.summary() || word("all");
  }

  show() {
    const letter = this.letter;
    for (const answer of this.answers.all) answer.classList.toggle("placed", answer.dataset.letter === letter);
  }

  leave() {}
}

export class Preference extends OneChoice {
  missing = word("unchosen");

  get letter() {
    return this.chosen && "AB"[this.chosen.value[0]];
  }

  summary() {
    const input = this.chosen;
    if (!input) return "";
    const name = input.parentElement.querySelector(".point-name")?.textContent;
    return name ?? word("chosen", { letter: this.letter, label: input.parentElement.dataset.label });
  }
}

export class Best extends OneChoice {
  missing = word("unpicked");

  get letter() {
    return this.chosen?.closest(".answer").dataset.letter;
  }

  key(key) {
    if (key === "b") return () => this.choose(this.answers.marked.querySelector(".best input"));
    return super.key(key);
  }

  summary() {
    return this.chosen ? word("best", { letter: this.letter }) : "";
  }
}
