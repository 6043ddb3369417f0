// What the phone keeps in IndexedDB: ticket lists, the queue of scans, and small things by name.

let opened;

export function open() {
  opened ??= new Promise((resolve, reject) => {
    const request = indexedDB.open("turnout-door", 1);
    request.onupgradeneeded = () => {
      request.result.createObjectStore("tickets", { keyPath: ["list", "id"] });
      request.result.createObjectStore("queue", { keyPath: "key", autoIncrement: true });
      request.result.createObjectStore("kept");
    };
    request.onsuccess = () => {
      const database = request.result;
      database.onclose = () => (opened = null);
      database.onversionchange = () => database.close();
      resolve(database);
    };
    request.onerror = () => reject(request.error);
  });
  return opened;
}

/** Runs `work` on a store; resolves with its request's result once the transaction is on the disk. */
async function transact(name, mode, work) {
  const database = await open();
  const options = { durability: mode === "readwrite" ? "strict" : "default" };
  let transaction;
  try {
    transaction = database.transaction(name, mode, options);
  } catch (error) {
    if (error.name !== "InvalidStateError") throw error;
    opened = null; // phones cut the connection of a page that was in the background
    transaction = (await open()).transaction(name, mode, options);
  }
  return new Promise((resolve, reject) => {
    const request = work(transaction.objectStore(name));
    transaction.oncomplete = () => resolve(request?.result);
    transaction.onerror = transaction.onabort = () => reject(transaction.error);
  });
}

const all = (list) => IDBKeyRange.bound([list], [list, []]);

export const kept = {
  get: (key) => transact("kept", "readonly", (store) => store.get(key)),
  put: (key, value) => transact("kept", "readwrite", (store) => store.put(value, key)),
  delete: (key) => transact("kept", "readwrite", (store) => store.delete(key)),
  entries: async (prefix) => {
    const range = IDBKeyRange.bound(prefix, `${prefix}\uffff`);
    const keys = await transact("kept", "readonly", (store) => store.getAllKeys(range));
    return Promise.all(keys.map(async (key) => [key, await kept.get(key)]));
  },
};

export const tickets = {
  read: (list) => transact("tickets", "readonly", (store) => store.getAll(all(list))),
  write: (list, rows, { replace = false } = {}) =>
    transact("tickets", "readwrite", (store) => {
      if (replace) store.delete(all(list));
      for (const row of rows) store.put({ ...row, list });
    }),
  forget: (list) => transact("tickets", "readwrite", (store) => store.delete(all(list))),
};

export const queue = {
  all: () => transact("queue", "readonly", (store) => store.getAll()),
  add: (item) => transact("queue", "readwrite", (store) => store.add(item)),
  /** Looks and writes in one transaction, as another tab may do the same. `decide(old)`: the new item, or null. */
  change: (key, decide) =>
    transact("queue", "readwrite", (store) => {
      store.get(key).onsuccess = ({ target }) => {
        const item = target.result && decide(target.result);
        if (item) store.put(item);
        else store.delete(key);
      };
    }),
};

/** Forgets every list and name of an event. Its unsent scans stay: they carry no names. */
export async function forgetEvent(eventId) {
  for (const [key, list] of await kept.entries(`list/${eventId}/`)) {
    await tickets.forget(list.name);
    await kept.delete(key);
  }
  for (const [key] of await kept.entries(`counts/${eventId}/`)) await kept.delete(key);
  await kept.delete(`door/${eventId}`);
  await kept.delete(`log/${eventId}`);
  await globalThis.caches?.delete("door-photos");
}
