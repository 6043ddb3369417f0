// What a scan sounds and feels like: good rises, known repeats, bad falls.

const TUNES = {
  good: { notes: [[880, 0], [1320, 0.09]], length: 0.12, wave: "sine", buzz: [70] },
  known: { notes: [[660, 0], [660, 0.16]], length: 0.1, wave: "triangle", buzz: [60, 80, 60] },
  bad: { notes: [[220, 0], [165, 0.2]], length: 0.22, wave: "square", buzz: [250, 100, 250] },
};

export class Sound {
  muted = false;

  /** There was nothing to hear, though nobody muted it. */
  onSilent = () => {};

  /** Now there is. */
  onAwake = () => {};

  constructor() {
    // Browsers let a page sound only after it was touched once.
    for (const kind of ["pointerdown", "keydown"]) document.addEventListener(kind, () => this.#wake(), { passive: true });
  }

  #wake() {
    this.context ??= new AudioContext();
    if (this.context.state === "suspended") this.context.resume();
    this.onAwake();
  }

  play(name) {
    const tune = TUNES[name];
    if (navigator.userActivation?.hasBeenActive ?? true) navigator.vibrate?.(tune.buzz);
    if (this.muted) return;
    if (!this.context) return this.onSilent();
    for (const [frequency, delay] of tune.notes) this.#note(frequency, this.context.currentTime + delay, tune);
  }

  #note(frequency, at, { length, wave }) {
    const tone = new OscillatorNode(this.context, { type: wave, frequency });
    const loudness = new GainNode(this.context, { gain: 0 });
    loudness.gain.setValueAtTime(0.0001, at);
    loudness.gain.exponentialRampToValueAtTime(wave === "square" ? 0.25 : 0.5, at + 0.01);
    loudness.gain.exponentialRampToValueAtTime(0.0001, at + length);
    tone.connect(loudness).connect(this.context.destination);
    tone.start(at);
    tone.stop(at + length);
  }
}
