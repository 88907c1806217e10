// Two decks: A plays the query, B the hit. Only one plays at a time.
import WaveSurfer from './vendor/wavesurfer.esm.js';
import RegionsPlugin from './vendor/regions.esm.js';
import { apiUrl, get } from './api.js';

export const clock = (seconds) => `${Math.floor(seconds / 60)}:${String(Math.floor(seconds % 60)).padStart(2, '0')}`;

export class Deck {
  // `dragged(start, end)` is called with a stretch that was dragged over the waveform.
  constructor(root, colour, changed, dragged = null) {
    Object.assign(this, { root, colour, changed, dragged, track: null, wave: null, until: null, ready: Promise.resolve(), turn: 0, go: 0, broken: false });
  }

  // Loads a track once. The promise is rejected if the track cannot be played.
  load(track, name) {
    if (track === this.track && !this.broken) return this.ready;
    this.empty();
    this.track = track;
    this.root.querySelector('.name').textContent = name;
    this.ready = this.draw(track, this.turn);
    this.ready.catch(() => { if (this.track === track) this.broken = true; }); // tried again the next time
    return this.ready;
  }

  empty() {
    this.turn += 1;
    this.go += 1;
    this.broken = false;
    this.wave?.destroy();
    this.wave = null;
    this.track = null;
    this.until = null;
    this.root.querySelector('.name').textContent = '';
    this.root.querySelector('.time').textContent = '';
  }

  async draw(track, turn) {
    const waveform = await get('peaks', { track });
    if (this.turn !== turn) return;
    const regions = RegionsPlugin.create();
    const wave = WaveSurfer.create({
      container: this.root.querySelector('.wave'), height: 36, waveColor: '#9aa4b0',
      progressColor: this.colour, cursorColor: this.colour, normalize: true,
      url: apiUrl('audio', { track }), peaks: [waveform.peaks], duration: waveform.duration_s, plugins: [regions],
    });
    this.wave = wave;
    this.regions = regions;
    if (this.dragged) {
      regions.enableDragSelection({ color: '#1d5fa830' });
      regions.on('region-created', (region) => {
        for (const one of regions.getRegions()) if (one !== region) one.remove();
        if (!this.marking) this.dragged(region.start, region.end);
      });
    }
    const show = () => {
      this.root.querySelector('.time').textContent = `${clock(wave.getCurrentTime())} / ${clock(wave.getDuration())}`;
      if (this.until !== null && wave.getCurrentTime() >= this.until) { this.until = null; wave.pause(); }
      this.changed(this);
    };
    for (const event of ['timeupdate', 'play', 'pause', 'finish', 'seeking', 'ready']) wave.on(event, show);
    wave.on('interaction', () => { this.until = null; });
    await new Promise((done, failed) => {
      wave.once('ready', done);
      wave.once('error', () => failed(new Error(`The browser cannot play the audio of ${track}.`)));
    });
  }

  // Shows a stretch on the waveform, and ends the next playback at its end.
  mark(start, end) {
    if (!this.regions) return;
    this.marking = true;
    this.regions.clearRegions();
    if (start !== undefined) this.regions.addRegion({ start, end, drag: false, resize: false, color: '#a8411d30' });
    this.marking = false;
    this.until = end ?? null;
  }

  get time() { return this.wave ? this.wave.getCurrentTime() : 0; }
  get playing() { return Boolean(this.wave?.isPlaying()); }

  async play(from) {
    this.go += 1;
    const mine = this.go;
    await this.ready;
    if (!this.wave || this.go !== mine) return; // paused or played again while it was loading
    if (from !== undefined) {
      this.wave.setTime(from);
      if (this.until !== null && from >= this.until) this.until = null;
    }
    await this.wave.play();
  }

  pause() {
    this.go += 1;
    if (this.playing) this.wave.pause();
  }
}
