// Opens the door page without network. It caches the page's shell and nothing that the API says.
const CACHE = "door-{{ version }}";
const PHOTOS = "door-photos";
const PHOTOS_KEPT = 500;
const PAGE = "{{ page }}"; // the shell, the same for every event
const ASSETS = {{ assets|safe }};

self.addEventListener("install", (event) => {
  const fresh = [PAGE, ...ASSETS].map((url) => new Request(url, { cache: "reload" }));
  event.waitUntil(caches.open(CACHE).then((cache) => cache.addAll(fresh)).then(() => self.skipWaiting()));
});

self.addEventListener("activate", (event) => {
  event.waitUntil(dropOldCaches().then(() => self.clients.claim()));
});

self.addEventListener("fetch", (event) => {
  const { request } = event;
  const { origin, pathname } = new URL(request.url);
  if (request.method !== "GET" || origin !== self.location.origin) return;
  if (request.mode === "navigate" && /^\/door\/\d+\/$/.test(pathname)) event.respondWith(cached(PAGE, request));
  else if (ASSETS.includes(pathname)) event.respondWith(cached(pathname, request));
  else if (request.destination === "image" && pathname.startsWith("{{ media }}")) event.respondWith(photo(request));
});

async function cached(key, request) {
  const cache = await caches.open(CACHE);
  return (await cache.match(key, { ignoreVary: true })) ?? fetch(request);
}

async function photo(request) {
  const cache = await caches.open(PHOTOS);
  const known = await cache.match(request);
  if (known) return known;
  const response = await fetch(request);
  if (response.ok) {
    await cache.put(request, response.clone());
    const keys = await cache.keys();
    await Promise.all(keys.slice(0, -PHOTOS_KEPT).map((key) => cache.delete(key)));
  }
  return response;
}

async function dropOldCaches() {
  const names = await caches.keys();
  const old = names.filter((name) => name.startsWith("door-") && name !== CACHE && name !== PHOTOS);
  await Promise.all(old.map((name) => caches.delete(name)));
}
