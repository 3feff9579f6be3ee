// Moments by the reader's clock, or in the zone of their account: the server does not know where its readers are.

const DAY = { year: "numeric", month: "2-digit", day: "2-digit" };
const CLOCK = { hour: "2-digit", minute: "2-digit", hourCycle: "h23" };
const SHOWS = { day: DAY, minute: { ...DAY, ...CLOCK }, clock: CLOCK, second: { ...CLOCK, second: "2-digit" } };
const timeZone = document.body.dataset.timeZone;

function formatter(shows) {
  // Swedish dates are those of ISO 8601, which the server writes too.
  try {
    return new Intl.DateTimeFormat("sv-SE", { ...SHOWS[shows], timeZone });
  } catch {
    // A zone that this browser does not know.
    return new Intl.DateTimeFormat("sv-SE", SHOWS[shows]);
  }
}

export function showOwnTimes(root = document) {
  for (const time of root.querySelectorAll("time[data-shows]")) {
    time.textContent = formatter(time.dataset.shows).format(new Date(time.dateTime));
  }
}
