"use strict";
// The form of a message: only the fields that what is chosen asks for, how long the text is, and a
// search for guests and people. Without this script all fields are shown.

const words = document.getElementById("message-words").dataset;
const form = document.getElementById("message_form");
const $ = django.jQuery;

// -- Only what is asked for

const chosen = (name) => form.querySelector(`input[name=${name}]:checked`)?.value;

const AUDIENCES = JSON.parse(words.askedBy);

const ASKED = {
  ...Object.fromEntries(
    Object.entries(AUDIENCES).map(([name, keys]) => [name, () => keys.includes(chosen("audience"))])
  ),
  picked: () => chosen("audience") === "picked",
  scheduled_at: () => chosen("when") === "at",
  relative: () => chosen("when") === "relative",
};

function rowOf(name) {
  const field = form.querySelector(`[name=${name}], [name=${name}_0]`);
  return field?.closest(".field-row");
}

function show() {
  for (const [name, asked] of Object.entries(ASKED)) {
    const row = rowOf(name);
    if (row) row.hidden = !asked();
  }
}

form.addEventListener("change", show);
show();

// -- How long the text is

const GSM =
  "@£$¥èéùìòÇ\nØø\rÅåΔ_ΦΓΛΩΠΨΣΘΞÆæßÉ !\"#¤%&'()*+,-./0123456789:;<=>?¡ABCDEFGHIJKLMNOPQRSTUVWXYZÄÖÑÜ§¿" +
  "abcdefghijklmnopqrstuvwxyzäöñüà";
const TWICE = "^{}\\[~]|€\f";

function parts(text) {
  const letters = [...text];
  if (letters.every((letter) => GSM.includes(letter) || TWICE.includes(letter))) {
    const size = letters.length + letters.filter((letter) => TWICE.includes(letter)).length;
    return size <= 160 ? 1 : Math.ceil(size / 153);
  }
  return text.length <= 70 ? 1 : Math.ceil(text.length / 67);
}

const subject = form.elements.subject;
const body = form.elements.body;
const count = document.createElement("p");
count.className = "turnout-soft";
count.id = "message-length";
body.after(count);

const LONGEST = Number(words.longest);
const figure = (number) => number.toLocaleString(document.documentElement.lang || "en");

function measure() {
  const filled = (text) => text.replaceAll("{name}", "Jane Doe").replaceAll("{event}", eventTitle());
  const whole = [filled(subject.value).trim(), filled(body.value).trim()].filter(Boolean).join("\n");
  const sms = form.querySelector("input[name=channels][value=sms]");
  const shown = [`${figure([...body.value].length)} ${words.characters}`];
  const letters = [...whole];
  const cut = letters.length > LONGEST;
  const left = cut ? letters.slice(0, LONGEST - 1).join("").trimEnd() + "…" : whole;
  if (sms?.checked) shown.push(words.parts.replace("%s", left ? parts(left) : 0));
  if (sms?.checked && cut) shown.push(words.cut.replace("%s", figure(LONGEST)));
  count.textContent = shown.join(" · ");
}

function eventTitle() {
  const option = form.elements.event?.selectedOptions?.[0];
  return option ? option.text.split(" · ")[0] : "";
}

form.addEventListener("input", measure);
form.addEventListener("change", measure);
measure();

// -- Whom exactly

const eventOf = () => form.elements.event?.value || words.event;

// What the event has to choose from; what was chosen of another is gone, and that is said.
async function chooseAnew(name) {
  const field = $(`select[name=${name}]`);
  const event = eventOf();
  const lost = field.val().length > 0;
  field.empty().trigger("change");
  const box = field[0].closest(".field-row");
  let note = box.querySelector("[role=status]");
  if (!note) {
    note = document.createElement("p");
    note.className = "turnout-soft";
    note.setAttribute("role", "status");
    field[0].parentElement.append(note);
  }
  note.textContent = lost ? words.chosenAnew : "";
  if (!event) return;
  const answer = await fetch(`${words.choices}?${new URLSearchParams({ of: name, event })}`);
  if (!answer.ok || event !== eventOf()) return;
  const { choices } = await answer.json();
  field.empty().append(choices.map(({ id, text }) => new Option(text, id))).trigger("change");
}

$(() => {
  const pick = $("select[name=picked]");
  if (pick.hasClass("select2-hidden-accessible")) pick.select2("destroy");
  pick.select2({
    theme: "admin-autocomplete",
    width: "100%",
    placeholder: "",
    ajax: {
      url: words.candidates,
      delay: 250,
      transport(options, success, failure) {
        if (!eventOf()) return success({ results: [{ text: words.chooseEvent, disabled: true, id: "" }] });
        return $.ajax(options).then(success, failure);
      },
      data: ({ term, page }) => ({ term: term || "", page: page || 1, event: eventOf() }),
    },
  });
  // Of another event, nobody who was chosen for this one.
  $("select[name=event]").on("change", () => {
    pick.val(null).trigger("change");
    Object.keys(AUDIENCES).forEach(chooseAnew);
    measure();
  });
});
