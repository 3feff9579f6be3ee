// Loaded before the first paint: the theme that this browser chose, or none, which leaves it to the system.
try {
  const theme = localStorage.getItem("theme");
  if (theme === "light" || theme === "dark") document.documentElement.dataset.theme = theme;
} catch {
  // Storage may be refused; the system's theme then holds.
}
document.documentElement.classList.add("js");
