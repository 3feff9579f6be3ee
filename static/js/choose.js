// Choosing runs to compare: says how many are chosen, and keeps the choice when polling replaces the table.

const MIN = 2;
const MAX = 8;
const choices = new Map(); // run's id -> chosen, as the reader last left it

function boxes() {
  return [...document.querySelectorAll('input[name="run"]')];
}

function tell() {
  const button = document.querySelector("[data-compare]");
  if (!button) return;
  const chosen = boxes().filter((box) => box.checked).length;
  button.querySelector(".count").textContent = chosen || "";
  button.disabled = chosen < MIN || chosen > MAX;
}

function keep() {
  for (const box of boxes()) box.checked = choices.get(box.value) ?? box.checked;
  tell();
}

document.addEventListener("change", ({ target }) => {
  if (target.name !== "run") return;
  choices.set(target.value, target.checked);
  tell();
});
document.addEventListener("htmx:after:swap", keep);
// A page that comes back by the browser's Back button has its boxes as they were left.
addEventListener("pageshow", tell);
tell();
