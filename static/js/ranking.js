// The ranking page: one task after the other, each shown at once, each ranking sent behind the next task's back.

import { Ahead } from "./desk/ahead.js";
import { Desk } from "./desk/desk.js";
import { Look } from "./desk/look.js";
import { Outbox } from "./desk/outbox.js";
import { showOutbox } from "./desk/outbox_view.js";
import { countOne } from "./desk/progress.js";
import { Tabs } from "./desk/tabs.js";
import { say, word } from "./desk/words.js";

const room = document.getElementById("desk");
const next = document.getElementById("next");
const outbox = new Outbox(document.getElementById("outbox"));
const ahead = new Ahead(next.dataset.ahead, outbox.token);
const look = new Look(room);
const tabs = new Tabs(standStill);
const WAIT_BEFORE_SAYING_SO_MS = 250;
const ASK_AGAIN_MS = 3_000;
let desk = null; // the task on the screen; none between two of them
let seen = null; // the part of the page that was looked at last
let isLeaving = false; // a ranking was handed in, and the next task may be here in a moment
let isAsking = false; // the server was asked for the next task
let isElsewhere = false; // another tab has the task
let fresh = null; // the part of the page that came from ahead, and may have waited for long

// The ranking waits in the outbox before anything else happens; then the next task is shown, and the ranking sent.
async function handIn(entry) {
  outbox.add(entry);
  isLeaving = true;
  const sending = outbox.flush();
  countOne();
  leave();
  const work = ahead.ready ? await ahead.take() : await withPatience(ahead.take());
  isLeaving = false;
  if (work) return show(work);
  await sending;
  askForNext();
}

function leave() {
  desk.leave();
  desk.work.inert = true;
  desk = null;
}

// Says that it takes a moment, where it does.
function withPatience(promise) {
  const timer = setTimeout(showWaiting, WAIT_BEFORE_SAYING_SO_MS);
  return promise.finally(() => clearTimeout(timer));
}

// With nothing at hand the server is asked, once it has what was said. How a training task was meant stays until it is
// read: from there the labeler goes on.
function askForNext() {
  if (desk || isLeaving || isAsking || isElsewhere || seen?.matches(".feedback")) return;
  if (outbox.waiting.length) {
    showWaiting();
    return;
  }
  isAsking = true;
  next.requestSubmit();
}

function showWaiting() {
  if (!desk) document.getElementById("work").replaceWith(document.getElementById("waiting").content.cloneNode(true));
}

function show(work) {
  document.getElementById("work").replaceWith(work);
  history.replaceState(history.state, "", work.dataset.page);
  fresh = work;
  arrive();
  window.htmx?.process(work);
  desk?.draft.renew();
}

// A new task is on the screen: from the server with the page, by htmx, or from ahead.
function arrive() {
  const work = document.getElementById("work");
  if (!work || seen === work) return;
  const isNext = Boolean(seen);
  seen = work;
  isAsking = false;
  desk?.leave();
  desk = null;
  for (const dialog of document.querySelectorAll("dialog[open]")) dialog.close();
  if ("waiting" in work.dataset) return;
  if (outbox.waiting.some(({ lease }) => lease === work.dataset.lease)) return goOn();
  if (ahead.ready?.dataset.lease === work.dataset.lease || "revises" in work.dataset) ahead.forget();
  desk = new Desk(work, { outbox, look, handIn, onRanOut });
  tabs.show(desk.lease);
  if (isNext && !work.querySelector("#refused")) {
    window.scrollTo({ top: 0 });
    say(word("next"));
  }
  askAhead();
}

// This task's ranking was on its way when the page went down: it is sent first.
async function goOn() {
  showWaiting();
  await outbox.flush();
  askForNext();
}

// A task that ran out before it was looked at is left for another one.
function onRanOut(found) {
  if (found !== desk || found.work !== fresh || found.isTouched) return false;
  leave();
  askForNext();
  return true;
}

// The task after a revision is the one that was left for it, with what was entered there.
function askAhead() {
  if (desk && !outbox.waiting.length && !("revises" in desk.work.dataset)) ahead.ask(desk.lease);
}

function standStill() {
  if (!desk) return;
  const { work } = desk;
  isElsewhere = true;
  ahead.forget(); // the other tab has this one too
  desk.draft.save();
  leave();
  const notice = document.getElementById("elsewhere").content.cloneNode(true);
  notice.querySelector("button").addEventListener("click", () => location.reload());
  work.before(notice);
}

async function showRecent() {
  await outbox.flush();
  document.getElementById("recent").showModal();
  document.getElementById("recent-list").dispatchEvent(new Event("ask"));
}

next.addEventListener("htmx:error", () => {
  isAsking = false;
  setTimeout(askForNext, ASK_AGAIN_MS);
});
outbox.addEventListener("sent", () => (desk ? askAhead() : askForNext()));
document.querySelector("[data-recent]").addEventListener("click", showRecent);
document.querySelector("[data-compare]").addEventListener("click", () => desk?.comparing.open());
window.addEventListener("pagehide", () => ahead.release());
window.addEventListener("pageshow", ({ persisted }) => persisted && askAhead());
document.addEventListener("htmx:after:swap", arrive);
document.addEventListener("htmx:after:settle", arrive);
showOutbox(outbox, document.getElementById("outbox"), document.getElementById("outbox-state"));
arrive();
if (desk) outbox.flush();
