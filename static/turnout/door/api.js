// Calls to the API, as the registered device or with the session of whoever is signed in.

const ROOT = "/api/v1/";
const TIMEOUT = 10_000;

/** The server answered, and said no. */
export class Refused extends Error {
  constructor(response, body) {
    const [first] = body.errors;
    super(first?.detail ?? "");
    this.status = response.status;
    this.code = first?.code ?? "";
    this.fields = Object.fromEntries(body.errors.filter((error) => error.attr).map(({ attr, detail }) => [attr, detail]));
    this.retryAfter = Number(response.headers.get("Retry-After")) || null;
  }
}

/** No answer that could be believed: no network, a time-out, a failing server, a hotel's log-in page. */
export class Unreachable extends Error {}

export class Api {
  token = null;

  /** Hears after every call whether the server was reached. */
  onReach = (is) => {};

  get(path) {
    return this.call("GET", path);
  }

  post(path, body) {
    return this.call("POST", path, body);
  }

  /** {data, headers}. Raises Refused, Unreachable. `path` may be a whole address of a next page. */
  async call(method, path, body) {
    try {
      return await this.#once(method, path, body);
    } catch (error) {
      if (this.token || method === "GET" || error.status !== 403) throw error;
      // The cookie against forgery may have gone while the session stayed: the shell brings a new one.
      await fetch(location.pathname, { cache: "no-store" }).catch(() => null);
      return this.#once(method, path, body);
    }
  }

  async #once(method, path, body) {
    const headers = { Accept: "application/json" };
    if (this.token) headers.Authorization = `Device ${this.token}`;
    else if (method !== "GET") headers["X-CSRFToken"] = cookie("csrftoken");
    if (body !== undefined) headers["Content-Type"] = "application/json";
    const { pathname, search } = new URL(path, location.origin + ROOT);
    let response, data;
    try {
      response = await fetch(pathname + search, {
        method,
        headers,
        body: body === undefined ? undefined : JSON.stringify(body),
        credentials: this.token ? "omit" : "same-origin",
        cache: "no-store",
        redirect: "error",
        signal: AbortSignal.timeout(TIMEOUT),
      });
      data = await response.json();
      if (response.status >= 500 || (!response.ok && !Array.isArray(data.errors))) throw new Error(response.statusText);
    } catch (error) {
      this.onReach(false);
      throw new Unreachable(error.message);
    }
    this.onReach(true);
    if (!response.ok) throw new Refused(response, data);
    return { data, headers: response.headers };
  }
}

function cookie(name) {
  const found = document.cookie.split("; ").find((pair) => pair.startsWith(`${name}=`));
  return found ? decodeURIComponent(found.slice(name.length + 1)) : "";
}
