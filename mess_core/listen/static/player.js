// Two decks: A plays the query, B the hit. Only one plays at a time.
import WaveSurfer from './vendor/wavesurfer.esm.js';
import { apiUrl, get } from './api.js';

export const clock = (seconds) => `${Math.floor(seconds / 60)}:${String(Math.floor(seconds % 60)).padStart(2, '0')}`;

export class Deck {
  constructor(root, colour, changed) {
    this.root = root;
    this.colour = colour;
    this.changed = changed;
    this.track = null;
    this.wave = null;
    this.ready = Promise.resolve();
  }

  // Loads a track once. The promise is rejected if the track cannot be played.
  load(track, name) {
    if (track === this.track) return this.ready;
    this.empty();
    this.track = track;
    this.root.querySelector('.name').textContent = name;
    this.ready = this.draw(track);
    this.ready.catch(() => {});
    return this.ready;
  }

  empty() {
    this.wave?.destroy();
    this.wave = null;
    this.track = null;
    this.root.querySelector('.name').textContent = '';
    this.root.querySelector('.time').textContent = '';
  }

  async draw(track) {
    const waveform = await get('peaks', { track });
    if (this.track !== track) return;
    const wave = WaveSurfer.create({
      container: this.root.querySelector('.wave'), height: 44, waveColor: '#b9c2cd',
      progressColor: this.colour, cursorColor: '#1c2430', normalize: true,
      url: apiUrl('audio', { track }), peaks: [waveform.peaks], duration: waveform.duration_s,
    });
    this.wave = wave;
    const show = () => {
      this.root.querySelector('.time').textContent = `${clock(wave.getCurrentTime())} / ${clock(wave.getDuration())}`;
      this.changed(this);
    };
    for (const event of ['timeupdate', 'play', 'pause', 'finish', 'seeking', 'ready']) wave.on(event, show);
    await new Promise((done, failed) => {
      wave.once('ready', done);
      wave.once('error', () => failed(new Error(`The browser cannot play the audio of ${track}.`)));
    });
  }

  get time() { return this.wave ? this.wave.getCurrentTime() : 0; }
  get playing() { return Boolean(this.wave?.isPlaying()); }

  async play(from) {
    await this.ready;
    if (!this.wave) return;
    if (from !== undefined) this.wave.setTime(from);
    await this.wave.play();
  }

  pause() { if (this.playing) this.wave.pause(); }
}
