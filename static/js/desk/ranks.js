// Ranking with ties. The radio buttons of each answer are the truth; the board, the keys and the drag only press them.

import { letters } from "./answers.js";
import { makeBoard } from "./board.js";
import { say, word } from "./words.js";

export const UNRANKABLE = "unrankable";

export class Ranks {
  constructor(work, answers, changed) {
    this.answers = answers;
    this.changed = changed;
    this.board = makeBoard(work, (letter, rank) => this.drop(letter, rank));
    this.show();
  }

  rankOf(answer) {
    return answer.querySelector(".place input:checked")?.value ?? "";
  }

  set(answer, rank) {
    for (const input of answer.querySelectorAll(".place input")) input.checked = input.value === rank;
  }

  // Gives the answer a place; false where that is refused.
  place(answer, rank) {
    this.set(answer, rank);
    this.changed();
    say(this.describe(answer));
    return true;
  }

  drop(letter, rank) {
    const index = this.answers.at(letter);
    this.answers.mark(index);
    if (!this.place(this.answers.all[index], rank)) this.show();
  }

  // A first placement moves on to the next answer without a place; a correction stays where it is.
  press(rank) {
    const answer = this.answers.marked;
    const before = this.rankOf(answer);
    if (this.place(answer, rank) && !before && rank) this.answers.goTo(this.missing()[0]);
  }

  key(key) {
    if (/^[1-9]$/.test(key)) return Number(key) <= this.answers.all.length ? () => this.press(key) : null;
    if (key === "u") return () => this.press(UNRANKABLE);
    return key === "0" || key === "Backspace" ? () => this.press("") : null;
  }

  describe(answer) {
    const rank = this.rankOf(answer);
    const letter = answer.dataset.letter;
    const others = this.at(rank).filter((other) => other !== answer);
    if (rank === UNRANKABLE) return word("cannot", { letter });
    if (!rank) return word("missing", { letters: letter });
    return word(others.length ? "tied" : "placed", { letter, rank, others: letters(others) });
  }

  at(rank) {
    return this.answers.all.filter((answer) => this.rankOf(answer) === rank);
  }

  missing() {
    return this.at("");
  }

  gap() {
    const missing = this.missing();
    if (!missing.length) return null;
    return { text: word("missing", { letters: letters(missing) }), tally: this.tally(), answer: missing[0] };
  }

  tally() {
    const all = this.answers.all.length;
    const left = this.missing().length;
    return left ? word("count", { done: all - left, all }) : word("all");
  }

  show() {
    for (const answer of this.answers.all) {
      const rank = this.rankOf(answer);
      this.board?.move(answer.dataset.letter, rank);
      answer.classList.toggle("placed", Boolean(rank) && rank !== UNRANKABLE);
      answer.classList.toggle("unrankable", rank === UNRANKABLE);
    }
  }

  summary() {
    return this.answers.all.map((answer) => `${answer.dataset.letter} ${this.rankOf(answer).replace(UNRANKABLE, "–")}`).join(" · ");
  }

  leave() {
    this.board?.leave();
  }
}
