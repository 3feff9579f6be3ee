// The list of work: what was said before the connection broke is sent from here as well.

import { Outbox } from "./desk/outbox.js";
import { showOutbox } from "./desk/outbox_view.js";

const place = document.getElementById("outbox");
const outbox = new Outbox(place);
showOutbox(outbox, place, document.getElementById("outbox-state"));
outbox.flush();
