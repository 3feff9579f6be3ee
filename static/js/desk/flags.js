// Flags of an answer or of the prompt: their fold opens by a key, and inside each has a key of its own.

import { say, word } from "./words.js";

const KEYS = "123456789ab";

export class Flags {
  constructor(work, answers, signal) {
    this.work = work;
    this.answers = answers;
    for (const fold of work.querySelectorAll(".flags")) {
      for (const [index, label] of fold.querySelectorAll(".flag").entries()) {
        label.querySelector("kbd").textContent = KEYS[index] ?? "";
      }
    }
    work.addEventListener("change", (event) => event.target.closest(".flag") && this.show(), { signal });
    this.show();
  }

  show() {
    for (const fold of this.work.querySelectorAll(".flags")) {
      const count = fold.querySelectorAll("input:checked").length;
      const shown = fold.querySelector(".flag-count");
      shown.textContent = count;
      shown.hidden = !count;
    }
  }

  open(fold) {
    if (!fold) return;
    fold.open = true;
    fold.querySelector("input").focus();
  }

  key(key, event) {
    const inside = event.target.closest?.(".flag-list");
    if (inside) return this.keyInside(inside, key);
    if (key === "f") return () => this.open(this.answers.marked.querySelector(".flags"));
    return key === "p" ? () => this.open(this.work.querySelector("#prompt-flags")) : null;
  }

  keyInside(list, key) {
    if (key === "Enter" || key === "f" || key === "p") return () => this.answers.goTo(this.answers.marked);
    const inputs = [...list.querySelectorAll("input")];
    const at = inputs.indexOf(document.activeElement);
    if (key === "ArrowDown" || key === "ArrowUp") {
      return () => inputs[(at + (key === "ArrowDown" ? 1 : -1) + inputs.length) % inputs.length].focus();
    }
    const input = inputs[KEYS.indexOf(key)];
    return input && KEYS.includes(key) ? () => this.toggle(input) : null;
  }

  toggle(input) {
    input.checked = !input.checked;
    input.focus();
    input.dispatchEvent(new Event("change", { bubbles: true }));
    const flag = input.closest(".flag").querySelector("span").textContent.trim();
    say(word(input.checked ? "flagOn" : "flagOff", { flag }));
  }
}
