"use strict";
// Names for the links that Django's own script puts beside a day and a time, of which two are icons only,
// and which are the same at every field; and for the fields that Select2 puts in place of a choice.

function nameChoice(select) {
  const label = select.labels[0];
  const shown = select.nextElementSibling?.querySelector(".select2-selection");
  if (!label || !shown) return;
  const words = label.textContent.trim();
  const value = shown.querySelector(".select2-selection__rendered");
  label.id ||= `${select.id}_label`;
  if (shown.matches(".select2-selection--multiple")) {
    const name = () => {
      value.setAttribute("role", "group"); // it has a button beside its items, which no list may
      value.setAttribute("aria-labelledby", label.id);
      for (const item of value.children) if (item.matches("li")) item.setAttribute("role", "none");
      shown.querySelector("input")?.setAttribute("aria-label", words);
    };
    name();
    new MutationObserver(name).observe(value, { childList: true });
    shown.setAttribute("aria-labelledby", label.id);
  } else {
    value.removeAttribute("role"); // the whole is the field, named by the label and by what was chosen
    value.removeAttribute("aria-readonly");
    shown.setAttribute("aria-labelledby", `${label.id} ${value.id}`);
  }
  window.jQuery?.(select).on("select2:open", () => {
    document.querySelector(".select2-container--open .select2-search__field")?.setAttribute("aria-label", words);
  });
}

addEventListener("load", () =>
  setTimeout(() => {
    for (const select of document.querySelectorAll("select.select2-hidden-accessible")) nameChoice(select);
    for (const input of document.querySelectorAll("input.vDateField, input.vTimeField")) {
      const field = input.getAttribute("aria-label");
      for (const link of input.parentNode.querySelectorAll(".datetimeshortcuts a")) {
        const words = link.textContent.trim() || link.querySelector("[title]")?.title;
        link.setAttribute("aria-label", field ? `${words} (${field})` : words);
      }
    }
  }),
);
