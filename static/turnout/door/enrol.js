// Registering this device with the code of a QR: /door/{event}/#enrol=CODE.

import { Unreachable } from "./api.js";
import { api, EVENT, here } from "./here.js";
import { kept } from "./store.js";
import * as view from "./view.js";

/** False where the door stays shut. */
export async function enrol() {
  const code = new URLSearchParams(location.hash.slice(1)).get("enrol");
  if (!code) return true;
  view.gate({ title: "Registering this device…" });
  try {
    const { data } = await api.post("door/devices/", { code });
    await kept.put(`token/${data.event_id}`, data.token);
    // The code is used up; a token for another event opens that event's door.
    history.replaceState(null, "", location.pathname);
    if (data.event_id !== EVENT) location.replace(location.pathname.replace(/\d+\/$/, `${data.event_id}/`));
    else api.token = data.token;
    view.gate(null);
    view.notice("device", `This phone is now “${data.device.name}”.`);
    return data.event_id === EVENT;
  } catch (error) {
    here.shut = "gate";
    if (error instanceof Unreachable) view.gate({ title: "No network", text: "Registering this device needs it.", again: () => location.reload() });
    else {
      history.replaceState(null, "", location.pathname);
      view.gate({ title: "This code can't be used", text: error.status === 429 ? error.message : "It was used before, or it is too old. Ask an organiser for a new one.", again: () => location.reload() });
    }
    return false;
  }
}
