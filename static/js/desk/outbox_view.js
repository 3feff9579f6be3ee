// What is seen of the outbox: a line while something waits, and a notice with the work in it where the server refused.

import { fill } from "./words.js";

export function showOutbox(outbox, place, line) {
  const refused = document.getElementById("outbox-refused");

  function show() {
    const num = outbox.waiting.length;
    const names = { sending: "waits", offline: "offline", signedOut: "signedOut" };
    const name = names[outbox.state];
    line.hidden = !num || !name;
    line.className = `outbox-state ${outbox.state}`;
    if (!line.hidden) line.textContent = fill(place.dataset[name], { num });
    place.replaceChildren(...outbox.refused.map(notice));
  }

  function notice(entry) {
    const shown = refused.content.cloneNode(true);
    shown.querySelector(".message").textContent = entry.refused.message ?? place.dataset.gone;
    shown.querySelector(".code").textContent = entry.refused.code;
    shown.querySelector(".said").textContent = entry.said;
    shown.querySelector("a").href = entry.page;
    shown.querySelector("button").addEventListener("click", () => outbox.drop(entry.lease));
    return shown;
  }

  outbox.addEventListener("change", show);
  show();
}
