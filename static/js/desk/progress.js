// The day's figures: counted on here with each ranking, and asked of the server now and then.

const ASK_EVERY = 10;
let num = 0;

export function countOne() {
  const place = document.getElementById("progress");
  bump(place.querySelector("[data-num=today]"), 1);
  bump(place.querySelector("[data-num=left]"), -1);
  if (++num % ASK_EVERY === 0) place.dispatchEvent(new Event("ask"));
}

function bump(shown, by) {
  if (shown) shown.textContent = Math.max(0, Number(shown.textContent) + by);
}
