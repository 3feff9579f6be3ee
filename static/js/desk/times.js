// Times of day by the reader's own clock, in the server's form: the server does not know where its readers are and
// writes UTC.

export function timeOfDay(moment) {
  const form = { hour: "2-digit", minute: "2-digit", hourCycle: "h23" };
  return new Date(moment).toLocaleTimeString(document.documentElement.lang, form);
}

export function showOwnTimes(root) {
  for (const time of root.querySelectorAll("time[datetime]")) time.textContent = timeOfDay(time.dateTime);
}
