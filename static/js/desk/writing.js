// What is written: the reason, and an answer made better. Esc leads back to the answers.

import { word } from "./words.js";

export class Writing {
  constructor(work, answers, signal) {
    this.work = work;
    this.answers = answers;
    work.addEventListener("click", (event) => {
      const button = event.target.closest("[data-from-answer]");
      if (button) this.startFromAnswer(button.closest(".rewrite").querySelector("textarea"));
    }, { signal });
  }

  get reason() {
    return this.work.querySelector(".rationale");
  }

  key(key) {
    if (key === "w") return () => this.open(this.reason);
    return key === "e" ? () => this.open(this.answers.marked.querySelector(".rewrite")) : null;
  }

  open(fold) {
    if (!fold) return;
    fold.open = true;
    const area = fold.querySelector("textarea");
    if (fold.matches(".rewrite") && !area.value) this.startFromAnswer(area);
    area.focus();
  }

  startFromAnswer(area) {
    area.value = area.dataset.original;
    area.dispatchEvent(new Event("input", { bubbles: true }));
    area.focus();
  }

  // An answer that was opened for writing and left as it is says nothing.
  dropUntouched() {
    for (const area of this.rewrites) {
      if (area.value === area.dataset.original) area.value = "";
    }
  }

  get rewrites() {
    return [...this.work.querySelectorAll(".rewrite textarea")];
  }

  gap() {
    const asked = this.work.querySelector(".answers").dataset;
    if (asked.rationale === "required" && !this.reason.querySelector("textarea").value.trim()) {
      return { text: word("unexplained"), go: () => this.open(this.reason) };
    }
    const isWritten = this.rewrites.some((area) => area.value.trim() && area.value !== area.dataset.original);
    if (asked.rewrite === "required" && !isWritten) {
      return { text: word("unwritten"), go: () => this.open(this.answers.marked.querySelector(".rewrite")) };
    }
    return null;
  }
}
