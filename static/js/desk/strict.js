// Ranking without ties: two answers that have places change them; a place that is taken is refused, and that is seen.

import { Ranks, UNRANKABLE } from "./ranks.js";
import { say, word } from "./words.js";

export class StrictRanks extends Ranks {
  constructor(work, answers, changed, refuse) {
    super(work, answers, changed);
    this.refuse = refuse;
    this.before = this.reading();
    // A radio button has changed before anybody can say no: what stood there before is remembered.
    for (const answer of answers.all) {
      for (const input of answer.querySelectorAll(".place input")) {
        input.addEventListener("change", (event) => {
          event.stopPropagation();
          this.chosen(answer, input.value);
        });
      }
    }
  }

  reading() {
    return new Map(this.answers.all.map((answer) => [answer, this.rankOf(answer)]));
  }

  chosen(answer, rank) {
    this.set(answer, this.before.get(answer) ?? "");
    this.place(answer, rank);
  }

  place(answer, rank) {
    const before = this.rankOf(answer);
    const other = this.at(rank).find((found) => found !== answer);
    const isTaken = other && rank && rank !== UNRANKABLE;
    const letter = answer.dataset.letter;
    if (isTaken && (!before || before === UNRANKABLE)) {
      this.refuse(word("noTie", { rank, other: other.dataset.letter }));
      return false;
    }
    if (isTaken) this.set(other, before);
    super.place(answer, rank);
    if (isTaken) say(word("swapped", { letter, rank, other: other.dataset.letter, before }));
    return true;
  }

  show() {
    super.show();
    this.before = this.reading();
  }
}
