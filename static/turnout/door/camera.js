// The camera, and what reads QR codes in its picture.

const DECODER = new URL("../../vendor/zxing-wasm-3.1.4/reader/", import.meta.url);
const PAUSE = 100; // between two looks; a phone in the hand stays cool
const SIDE = 960; // the longest side of the picture that the decoder gets
const HELD = 3000; // a code must be out of sight for so long before it counts again

export class Camera {
  onCode = (text) => {};
  onState = ({ on, problem, torch, lit, several }) => {};

  constructor(video) {
    this.video = video;
    this.canvas = document.createElement("canvas");
    this.context = this.canvas.getContext("2d", { willReadFrequently: true });
    this.seen = new Map(); // code → when it was last in sight
    this.device = null;
    this.paused = false;
    this.torch = false;
    this.wanted = false;
    // Allowed in the browser's settings a moment later: nobody has to press anything.
    const permission = navigator.permissions?.query({ name: "camera" });
    permission?.then((is) => (is.onchange = () => is.state === "granted" && this.failed && this.start())).catch(() => null);
  }

  /** Never raises: what is wrong is told by onState. */
  async start() {
    this.wanted = true;
    if (this.stream || this.starting) return;
    this.starting = true;
    try {
      if (!navigator.mediaDevices?.getUserMedia) throw new DOMException("", "InsecureError");
      this.failed = false;
      this.read ??= await makeReader();
      const stream = await navigator.mediaDevices.getUserMedia({ audio: false, video: this.#which() });
      if (!this.wanted) {
        for (const track of stream.getTracks()) track.stop();
        return;
      }
      this.stream = stream;
      [this.track] = stream.getVideoTracks();
      this.track.addEventListener("ended", () => this.#lost());
      this.video.srcObject = stream;
      await this.video.play();
      await this.#tell();
      this.#look(stream);
    } catch (error) {
      if (!this.wanted) return; // stopped while it was starting
      this.stop();
      this.failed = true;
      this.device = null; // it may be unplugged: the next try takes what there is
      this.onState({ on: false, problem: error.name });
    } finally {
      this.starting = false;
    }
  }

  stop() {
    this.wanted = false;
    for (const track of this.stream?.getTracks() ?? []) track.stop();
    this.stream = this.track = this.video.srcObject = null;
    this.torch = false;
  }

  /** The next camera, where there are several. */
  async turn() {
    const cameras = await this.#cameras();
    const now = cameras.findIndex(({ deviceId }) => deviceId === this.track?.getSettings().deviceId);
    this.device = cameras[(now + 1) % cameras.length]?.deviceId ?? null;
    this.stop();
    await this.start();
  }

  async light() {
    this.torch = !this.torch;
    await this.track.applyConstraints({ advanced: [{ torch: this.torch }] }).catch(() => (this.torch = false));
    await this.#tell();
  }

  #which() {
    const size = { width: { ideal: 1280 }, height: { ideal: 720 } };
    if (this.device) return { ...size, deviceId: { exact: this.device } };
    return { ...size, facingMode: { ideal: "environment" } };
  }

  async #cameras() {
    return (await navigator.mediaDevices.enumerateDevices()).filter(({ kind }) => kind === "videoinput");
  }

  async #tell() {
    const several = (await this.#cameras()).length > 1;
    const torch = Boolean(this.track?.getCapabilities?.().torch);
    this.onState({ on: true, problem: null, torch, lit: this.torch, several });
  }

  #lost() {
    this.stop();
    this.onState({ on: false, problem: "NotReadableError" });
  }

  async #look(stream) {
    while (this.stream === stream) {
      if (!this.paused && this.video.readyState >= HTMLMediaElement.HAVE_CURRENT_DATA) {
        const text = await this.read(this.#picture()).catch(() => null);
        if (text && this.stream === stream && !this.paused) this.#found(text);
      }
      await new Promise((resolve) => setTimeout(resolve, PAUSE));
    }
  }

  #picture() {
    const { videoWidth, videoHeight } = this.video;
    const scale = Math.min(1, SIDE / Math.max(videoWidth, videoHeight));
    const width = Math.round(videoWidth * scale);
    const height = Math.round(videoHeight * scale);
    if (this.canvas.width !== width || this.canvas.height !== height) Object.assign(this.canvas, { width, height });
    this.context.drawImage(this.video, 0, 0, width, height);
    return this.context.getImageData(0, 0, width, height);
  }

  #found(text) {
    const now = performance.now();
    const before = this.seen.get(text) ?? -Infinity;
    this.seen.set(text, now);
    for (const [code, at] of this.seen) if (now - at > HELD) this.seen.delete(code);
    if (now - before > HELD) this.onCode(text);
  }
}

/** A function from ImageData to the text of a QR code in it, or null: the browser's own, or ours. */
async function makeReader() {
  let ours;
  const byOurs = async (picture) => (await (ours ??= loadOurs()))(picture);
  const formats = (await globalThis.BarcodeDetector?.getSupportedFormats().catch(() => [])) ?? [];
  if (!formats.includes("qr_code")) {
    await (ours ??= loadOurs());
    return byOurs;
  }
  const detector = new BarcodeDetector({ formats: ["qr_code"] });
  let works = true;
  return async (picture) => {
    if (!works) return byOurs(picture);
    try {
      return (await detector.detect(picture))[0]?.rawValue || null;
    } catch {
      works = false; // a phone may list the format and still lack the part that reads it
      return byOurs(picture);
    }
  };
}

async function loadOurs() {
  const { prepareZXingModule, readBarcodes } = await import(new URL("index.js", DECODER));
  // Without `locateFile` the package would look for its WebAssembly on another site.
  const overrides = { locateFile: (name) => new URL(name, DECODER).href };
  await prepareZXingModule({ overrides, fireImmediately: true });
  const options = { formats: ["QRCode"], maxNumberOfSymbols: 1, tryDownscale: true };
  let harder = false;
  return async (picture) => {
    harder = !harder; // every other look: quick for most tickets, patient with crumpled ones
    const [found] = await readBarcodes(picture, { ...options, tryHarder: harder, tryInvert: harder, tryRotate: harder });
    return found?.text || null;
  };
}
