// What the page says: sentences come from the server, translated; this fills them in and says them aloud.

const words = document.getElementById("words")?.dataset ?? {};
const said = document.getElementById("said");

export function word(name, values = {}) {
  return fill(words[name] ?? "", values);
}

export function fill(text, values) {
  return text.replace(/%\((\w+)\)s/g, (whole, name) => values[name] ?? whole);
}

export function say(text) {
  if (said) said.textContent = text;
}
