// Two answers word by word, in a dialog: opened on the marked answer and the next; two letters choose two others.

export class Comparing {
  constructor(work, answers, signal) {
    this.answers = answers;
    this.dialog = work.querySelector("#compare");
    this.form = this.dialog.querySelector("form");
    this.turn = 0;
    this.dialog.addEventListener("keydown", (event) => this.letter(event), { signal });
  }

  open() {
    const count = this.answers.all.length;
    const { left, right } = this.form.elements;
    left.selectedIndex = this.answers.current;
    right.selectedIndex = (this.answers.current + 1) % count;
    this.turn = 0;
    this.dialog.showModal();
    this.dialog.querySelector("#compared-place").focus();
    this.form.requestSubmit();
  }

  letter(event) {
    const index = this.answers.at(event.key.toUpperCase());
    if (index < 0 || event.ctrlKey || event.metaKey || event.altKey) return;
    event.preventDefault();
    const { left, right } = this.form.elements;
    (this.turn++ % 2 ? right : left).selectedIndex = index;
    if (left.value !== right.value) this.form.requestSubmit();
  }

  key(key) {
    return key === "c" ? () => this.open() : null;
  }
}
