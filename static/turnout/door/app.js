// The door: puts its parts together, and opens it.

import { enrol } from "./enrol.js";
import { turnedAway } from "./gate.js";
import { api, camera, EVENT, here, queue, sound } from "./here.js";
import { loadLog, showLog } from "./log.js";
import { heard, picked, postponed, scanned } from "./scans.js";
import { reach, showLine, showPeople } from "./screen.js";
import { forgetEvent, kept, open } from "./store.js";
import { choose, keepUp, tick } from "./sync.js";
import { undoScan } from "./undo.js";
import * as view from "./view.js";
import { addWalkIn } from "./walk-ins.js";

const FORGOTTEN_AFTER = 48 * 60 * 60 * 1000; // names of an event that is over

function connect() {
  api.onReach = reach;
  Object.assign(queue, { onAnswer: heard, onLater: postponed, onShut: turnedAway, onChange: showLine });
  Object.assign(camera, { onCode: scanned, onState: view.camera });
  Object.assign(sound, {
    onSilent: () => view.notice("sound", "Tap the screen once, and there is sound."),
    onAwake: () => view.clearNotice("sound"),
  });
}

function listen() {
  view.onGo((to) => {
    view.go(to);
    camera.paused = !view.seesCamera();
    view.closeAnswer();
    if (!here.shut && to === "scan") camera.start();
  });
  view.onHit(picked);
  view.onUndo(undoScan);
  view.on("search-text", "input", () => {
    view.uncoverSearch();
    showPeople();
  });
  view.on("search-text", "focus", view.uncoverSearch);
  view.on("search-form", "submit", (event) => {
    event.preventDefault();
    document.activeElement.blur(); // puts the phone's keyboard away
  });
  view.on("walk-in-form", "submit", addWalkIn);
  view.on("answer", "click", ({ target }) => target.closest("#answer-undo") || view.closeAnswer());
  view.on("camera-again", "click", () => camera.start());
  view.on("torch", "click", () => camera.light());
  view.on("turn", "click", () => camera.turn());
  view.on("mute", "click", () => {
    sound.muted = !sound.muted;
    view.muted(sound.muted);
    kept.put("muted", sound.muted);
  });
  view.on("point", "change", async ({ target }) => {
    view.closeAnswer();
    await choose(target.value === "" ? null : Number(target.value));
    await tick({ soon: true });
  });
  addEventListener("online", () => {
    queue.flush({ now: true });
    tick({ soon: true });
  });
  addEventListener("hashchange", () => location.reload()); // a registration code, opened where the page was open
  addEventListener("offline", () => reach(false));
  document.addEventListener("visibilitychange", () => {
    if (document.hidden) return camera.stop();
    if (here.shut !== "gate") camera.start();
    stayAwake();
    queue.flush({ now: true });
    return tick({ soon: true });
  });
}

async function stayAwake() {
  await navigator.wakeLock?.request("screen").catch(() => null);
}

/** A new version takes over while nobody looks; everything that matters is on the disk. */
async function installWorker() {
  if (!navigator.serviceWorker) return; // no HTTPS
  const had = Boolean(navigator.serviceWorker.controller);
  const registration = await navigator.serviceWorker.register("/door/sw.js");
  setInterval(() => registration.update().catch(() => null), 30 * 60 * 1000);
  navigator.serviceWorker.addEventListener("controllerchange", () => {
    if (!had) return;
    document.addEventListener("visibilitychange", () => document.hidden && location.reload());
  });
}

/** Names of events that are over leave the phone. */
async function forgetThePast() {
  for (const [key, past] of await kept.entries("door/")) {
    if (Date.now() - new Date(past.event.ends_at) > FORGOTTEN_AFTER) await forgetEvent(past.event.id ?? key.split("/")[1]);
  }
}

async function start() {
  try {
    await open();
  } catch {
    view.gate({ title: "This browser keeps nothing", text: "Scans would be lost. Open the page in a window that isn't private." });
    return;
  }
  installWorker().catch((error) => console.warn(error));
  navigator.storage?.persist?.();
  listen();
  api.token = (await kept.get(`token/${EVENT}`)) ?? null;
  sound.muted = (await kept.get("muted")) ?? false;
  view.muted(sound.muted);
  await queue.load();
  if (!(await enrol())) return;
  await forgetThePast();
  here.point = (await kept.get(`point/${EVENT}`)) ?? null;
  await loadLog();
  here.door = (await kept.get(`door/${EVENT}`)) ?? null;
  if (here.door) {
    here.clock = here.door.clock;
    await choose(here.point);
    showLog();
    camera.start();
  }
  showLine();
  queue.flush();
  await keepUp();
  if (!here.shut) camera.start();
  stayAwake();
}

connect();
setInterval(showLine, 1000);
start();
