// How the desk looks in this browser: answers side by side or stacked, size of their text, guidelines open or not.

import { keep, recall } from "./memory.js";

const SIZES = 5;
const USUAL = 1;

export class Look {
  constructor(desk) {
    this.desk = desk;
    this.layout = desk.querySelector("#layout");
    this.layout.addEventListener("click", () => this.toggleLayout());
    desk.querySelector("#smaller").addEventListener("click", () => this.resize(-1));
    desk.querySelector("#larger").addEventListener("click", () => this.resize(1));
    this.show();
  }

  get isStacked() {
    return recall("desk:stacked", false);
  }

  get size() {
    return recall("desk:size", USUAL);
  }

  show() {
    this.desk.dataset.layout = this.isStacked ? "stacked" : "beside";
    this.desk.dataset.size = this.size;
    this.layout.setAttribute("aria-pressed", String(this.isStacked));
  }

  toggleLayout() {
    keep("desk:stacked", !this.isStacked);
    this.show();
  }

  resize(by) {
    keep("desk:size", Math.min(SIZES - 1, Math.max(0, this.size + by)));
    this.show();
  }

  // Guidelines are open where there is room, until somebody says otherwise; new ones are open once.
  showGuidelines(work, signal) {
    this.fold = work.querySelector("#guidelines");
    if (!this.fold) return;
    const isOpen = recall("guidelines") ?? matchMedia("(width >= 75rem)").matches;
    this.fold.open = isOpen || Boolean(this.fold.querySelector(".changes"));
    this.fold.querySelector("summary").addEventListener("click", () => keep("guidelines", !this.fold.open), { signal });
  }

  toggleGuidelines() {
    if (!this.fold?.isConnected) return;
    this.fold.open = !this.fold.open;
    keep("guidelines", this.fold.open);
  }

  key(key) {
    const actions = { l: () => this.toggleLayout(), g: () => this.toggleGuidelines(), "+": () => this.resize(1), "-": () => this.resize(-1) };
    return Object.hasOwn(actions, key) ? actions[key] : null;
  }
}
