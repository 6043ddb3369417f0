// What is said about a scan: at once by the list on the phone, then by the server.
// kind: "in" | "already" | "refused" | "kept" | "checking" (`kept`: nobody could tell yet)

const REFUSED = {
  unknown_ticket: ["Unknown ticket", "It isn't on the list of this event."],
  ticket_revoked: ["Not valid", "This person was removed from the event."],
  wrong_event: ["Wrong event", "This ticket is for another event."],
  invalid: ["Not a ticket", "This code is something else."],
  point_closed: ["Closed", "This check-in point isn't open now."],
  event_closed: ["Cancelled", "This event is cancelled."],
  throttled: ["Please wait", "Too many unknown tickets."],
  busy: ["Please wait", "The server is busy. The scan is sent again."],
};

/** Here the server's sentence has a name in it. */
const TOLD_BETTER = new Set(["wrong_event", "point_closed"]);

function refused(code, detail) {
  const [word, text] = REFUSED[code] ?? ["Refused", detail];
  return { kind: "refused", code, word, text: TOLD_BETTER.has(code) && detail ? detail : text };
}

function person({ name, photo_url, plus_ones, status }) {
  return { name, photo: photo_url, plus: plus_ones, late: status === "late" };
}

/** By the list on the phone. `isIn`: {at, by, waiting} or null. `shut`: {code, text} where nobody can be let in. */
export function judge(row, { isIn, at, loaded, online, shut }) {
  if (shut) return { ...refused(shut.code, shut.text), ...(row?.name ? person(row) : {}), late: false };
  if (!row && online) return { kind: "checking", word: "Checking…", text: "Not on this phone's list." };
  if (!row && !loaded) return { kind: "kept", word: "Kept", text: "No list on this phone yet. It's checked when the network is back." };
  if (!row) return refused("unknown_ticket");
  if (row.removed) return refused("ticket_revoked");
  if (isIn) return { kind: "already", word: "Already in", at: isIn.at, by: isIn.by, ...person(row) };
  // Whether somebody is late is the server's to say.
  return { kind: "in", word: "Welcome", at, by: "you", ...person({ ...row, status: null }) };
}

/** By the server. `row` fills in a name where the answer has none. */
export function answered(answer, row) {
  const who = answer.attendee ?? (row?.name ? row : null);
  const about = who ? person(who) : {};
  const when = { at: answer.checked_in_at, by: answer.checked_in_by, checkIn: answer.check_in_id };
  if (answer.result === "checked_in") return { kind: "in", word: "Welcome", ...about, ...when };
  if (answer.result === "already_checked_in") return { kind: "already", word: "Already in", ...about, ...when, late: false };
  if (answer.result === "flagged") {
    const why = refused(answer.code, answer.detail).text;
    return { kind: "kept", word: "Kept for the organisers", text: why, ...about, late: false };
  }
  return { ...refused(answer.code, answer.detail), ...(answer.code === "unknown_ticket" ? {} : about), late: false };
}

/** One sentence for who can't see the screen, and for notices. */
export function sentence({ word, name, plus, late, text }, when) {
  const guests = plus ? `, plus ${plus}` : "";
  return [`${word}.`, name ? `${name}${guests}.` : "", late ? "Late." : "", when ? `${when}.` : "", text ?? ""].filter(Boolean).join(" ");
}
