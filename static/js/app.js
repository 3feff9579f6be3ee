// What every page shares: theme, menus, dialogs, confirmations, times.

import { showOwnTimes } from "./times.js";

const root = document.documentElement;

function isDark() {
  const chosen = root.dataset.theme;
  return chosen ? chosen === "dark" : matchMedia("(prefers-color-scheme: dark)").matches;
}

function toggleTheme() {
  const theme = isDark() ? "light" : "dark";
  root.dataset.theme = theme;
  try {
    localStorage.setItem("theme", theme);
  } catch {
    // The choice then lasts for this page.
  }
  document.dispatchEvent(new CustomEvent("themechange"));
}

function openDialog(button) {
  const dialog = document.getElementById(button.dataset.open);
  if (dialog && !dialog.open) dialog.showModal();
}

// On a phone the rooms scroll sideways: the one that is open is in sight.
document.querySelector(".site-nav [aria-current]")?.scrollIntoView({ block: "nearest", inline: "center" });

document.addEventListener("click", (event) => {
  const target = event.target instanceof Element ? event.target : null;
  if (!target) return;
  if (target.closest("[data-theme-toggle]")) toggleTheme();
  const opener = target.closest("[data-open]");
  if (opener) openDialog(opener);
  if (target.closest("[data-close]")) target.closest("dialog")?.close();
  for (const menu of document.querySelectorAll("details.menu[open]")) {
    if (!menu.contains(target)) menu.open = false;
  }
});

document.addEventListener("keydown", (event) => {
  if (event.key !== "Escape") return;
  const menu = document.querySelector("details.menu[open]");
  if (!menu) return;
  menu.open = false;
  menu.querySelector("summary").focus();
});

showOwnTimes();
document.addEventListener("htmx:after:swap", () => showOwnTimes());

// A form marked data-confirm asks first; without JavaScript it simply goes through.
document.addEventListener("submit", (event) => {
  const question = event.target.dataset.confirm;
  if (question && !window.confirm(question)) event.preventDefault();
});
