"use strict";
// How far a message is, asked every two seconds while it runs. Without this script the page is
// reloaded by hand.

const EVERY = 2000;
const place = document.getElementById("message-progress");

async function look() {
  const response = await fetch(place.dataset.source, { credentials: "same-origin" });
  if (response.redirected || response.status === 404) return location.reload(); // signed out, or gone
  if (!response.ok) return null;
  const found = await response.json();
  // Other buttons than those on the page: the whole page is shown anew.
  if (found.acts.join() !== place.dataset.acts) return location.reload();
  if (!place.contains(document.activeElement)) place.innerHTML = found.html;
  place.dataset.live = found.live ? "1" : "";
  return null;
}

async function watch() {
  try {
    if (!document.hidden) await look();
  } catch {
    // No network for a moment: the next try may find it.
  }
  if (place.dataset.live) setTimeout(watch, EVERY);
}

if (place.dataset.live) setTimeout(watch, EVERY);
