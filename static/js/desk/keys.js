// The keyboard: the parts of the desk are asked in turn what a key does; what they leave is the same for every task.

export function listenToKeys(desk, signal) {
  document.addEventListener("keydown", (event) => onKey(desk, event), { signal });
}

function onKey(desk, event) {
  if (document.querySelector("dialog[open]") || event.altKey || event.isComposing) return;
  const act = event.key === "Enter" && (event.ctrlKey || event.metaKey) ? () => desk.submit() : actionFor(desk, event);
  if (!act) return;
  event.preventDefault();
  act();
}

function actionFor(desk, event) {
  const isTyping = event.target.matches?.("textarea, select, input:not([type=radio], [type=checkbox])");
  const isInside = isTyping || event.target.closest?.(".flag-list");
  if (event.key === "Escape" && isInside) return () => desk.answers.goTo(desk.answers.marked);
  if (isTyping || event.ctrlKey || event.metaKey) return null;
  for (const part of desk.keys) {
    const act = part.key(event.key, event);
    if (act) return act;
  }
  return event.target.closest?.(".flag-list") ? null : common(desk, event);
}

function common(desk, event) {
  const { key } = event;
  if (event.shiftKey && /^[A-Z]$/.test(key)) {
    const index = desk.answers.at(key);
    return index >= 0 ? () => desk.answers.mark(index, { focus: true }) : null;
  }
  // On a button, a link or a fold Enter does what it always does.
  if (key === "Enter") return event.target.matches("a, button, summary") ? null : () => desk.submit();
  const actions = {
    j: () => desk.answers.step(1),
    ArrowDown: () => desk.answers.step(1),
    ArrowRight: () => desk.answers.step(1),
    k: () => desk.answers.step(-1),
    ArrowUp: () => desk.answers.step(-1),
    ArrowLeft: () => desk.answers.step(-1),
    n: () => desk.toggleNone(),
    s: () => document.getElementById("skip").showModal(),
    m: () => document.getElementById("report").showModal(),
    z: () => document.querySelector("[data-recent]").click(),
    "?": () => document.getElementById("keys").showModal(),
  };
  return Object.hasOwn(actions, key) ? actions[key] : null;
}
