"use strict";
// What was pressed is pressed once: a second click while the first is on its way does nothing.

for (const form of document.querySelectorAll(".turnout-once")) {
  form.addEventListener("submit", (event) => {
    if (form.dataset.sent) event.preventDefault();
    form.dataset.sent = "1";
    for (const button of form.querySelectorAll("button")) button.setAttribute("aria-busy", "true");
  });
}

// Back by the browser's button, the page is as it was before.
addEventListener("pageshow", () => {
  for (const form of document.querySelectorAll(".turnout-once")) {
    delete form.dataset.sent;
    for (const button of form.querySelectorAll("button")) button.removeAttribute("aria-busy");
  }
});
