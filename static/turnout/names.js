"use strict";
// Names for the links that Django's own script puts beside a day and a time, of which two are icons only,
// and which are the same at every field.

addEventListener("load", () =>
  setTimeout(() => {
    for (const input of document.querySelectorAll("input.vDateField, input.vTimeField")) {
      const field = input.getAttribute("aria-label");
      for (const link of input.parentNode.querySelectorAll(".datetimeshortcuts a")) {
        const words = link.textContent.trim() || link.querySelector("[title]")?.title;
        link.setAttribute("aria-label", field ? `${words} (${field})` : words);
      }
    }
  }),
);
