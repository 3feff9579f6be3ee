// Times of day by the reader's own clock, in the server's form: the server does not know where its readers are and
// writes UTC.

const FORM = { hour: "2-digit", minute: "2-digit", hourCycle: "h23" };

export function showOwnTimes(root) {
  for (const time of root.querySelectorAll("time[datetime]")) {
    time.textContent = new Date(time.dateTime).toLocaleTimeString(document.documentElement.lang, FORM);
  }
}
