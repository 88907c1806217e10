// Piano rolls of two performances on the common time, with links between corresponding notes.
import { cleanPen, css } from './elements.js';

const WINDOW = 16; // beats
const LANE_GAP = 18;

export class PianoRoll {
  constructor(canvas, play) {
    Object.assign(this, { canvas, notes: null, place: 0, side: 'a' });
    canvas.addEventListener('click', (event) => {
      if (!this.notes) return;
      const box = canvas.getBoundingClientRect();
      const side = event.clientY - box.top < box.height / 2 ? 'a' : 'b';
      play(side, this.first + ((event.clientX - box.left) / box.width) * WINDOW);
    });
  }

  fill(data, axes) {
    this.canvas.hidden = !data.notes;
    this.notes = null;
    if (!data.notes) return;
    this.notes = Object.fromEntries(['a', 'b'].map((side) => {
      const one = data.notes[side], axis = axes[side];
      const on = one.onset_s.map((time) => axis.placeAt(time));
      const off = one.offset_s.map((time) => axis.placeAt(time));
      return [side, { on, off, pitch: one.pitch, velocity: one.velocity }];
    }));
    const pitches = [...this.notes.a.pitch, ...this.notes.b.pitch];
    this.low = pitches.reduce((least, one) => Math.min(least, one), 127) - 1;
    this.high = pitches.reduce((most, one) => Math.max(most, one), 0) + 1;
    this.links = data.links;
    this.matched = { a: new Set(data.links.map(([one]) => one)), b: new Set(data.links.map(([, one]) => one)) };
  }

  // Index of the first note from a place on; onsets are sorted.
  static from(on, place) {
    let low = 0, high = on.length;
    while (low < high) {
      const middle = (low + high) >> 1;
      if (on[middle] < place) low = middle + 1; else high = middle;
    }
    return low;
  }

  draw(place, side) {
    const { canvas, notes } = this;
    if (!notes || !canvas.clientWidth) return;
    const width = canvas.clientWidth, height = canvas.clientHeight, pen = cleanPen(canvas);
    this.first = place - WINDOW / 3;
    const x = (at) => ((at - this.first) / WINDOW) * width;
    const lane = (height - LANE_GAP) / 2;
    const top = { a: 0, b: lane + LANE_GAP };
    const tall = Math.max(2, lane / (this.high - this.low));
    const y = (which, pitch) => top[which] + lane - ((pitch - this.low) / (this.high - this.low)) * lane;
    pen.strokeStyle = css('--line');
    pen.beginPath();
    for (let beat = Math.ceil(this.first); beat < this.first + WINDOW; beat += 1) {
      pen.moveTo(x(beat), 0);
      pen.lineTo(x(beat), height);
    }
    pen.stroke();
    pen.strokeStyle = css('--thin');
    pen.globalAlpha = 0.5;
    pen.beginPath();
    for (const [one, other] of this.links) {
      const at = notes.a.on[one];
      if (at < this.first - 1 || at > this.first + WINDOW + 1) continue;
      pen.moveTo(x(at), y('a', notes.a.pitch[one]) + tall);
      pen.lineTo(x(notes.b.on[other]), y('b', notes.b.pitch[other]));
    }
    pen.stroke();
    for (const which of ['a', 'b']) {
      const one = notes[which];
      const colour = css(`--${which}`), alone = css('--alone');
      for (let note = PianoRoll.from(one.on, this.first - 24); note < one.on.length && one.on[note] < this.first + WINDOW; note += 1) {
        pen.fillStyle = this.matched[which].has(note) ? colour : alone;
        pen.globalAlpha = 0.25 + (0.75 * one.velocity[note]) / 127;
        pen.fillRect(x(one.on[note]), y(which, one.pitch[note]), Math.max(2, x(one.off[note]) - x(one.on[note])), tall);
      }
    }
    pen.globalAlpha = 1;
    pen.fillStyle = css(`--${side}`);
    pen.fillRect(x(place) - 1, 0, 2, height);
  }
}
