// Map of the library on a canvas: zoom with the wheel, pan by dragging, select with Shift and drag.
// A click chooses the nearest track, arrow keys the next one.

import { cleanPen, create, css } from './elements.js';

// Distinct for people who see no red or green (Okabe and Ito, 2008), darkened for white ground.
const COLOURS = ['#0072b2', '#d55e00', '#007a5a', '#b3478f', '#8a6a00', '#2a8fc4', '#4d5663', '#9aa4b0'];
// Cividis (Nuñez et al., 2018), nine steps.
const SCALE = ['#33558b', '#3d5f8a', '#434e6c', '#61656f', '#7d7c78', '#9b9476', '#bcae6c', '#deca5a', '#fee838'];
const LARGEST = 40;

const shown = (value) => (Number.isInteger(value) ? value : Number(value.toPrecision(3)));

export class LibraryMap {
  constructor(canvas, line, { choose, selected }) {
    Object.assign(this, {
      canvas, line, points: [], chosen: null, hits: new Set(), how: '', zoom: 1, x: 0, y: 0, drag: null, region: null,
    });
    canvas.addEventListener('wheel', (event) => {
      event.preventDefault();
      const [x, y] = this.at(event), size = canvas.clientWidth;
      this.scale(event.deltaY < 0 ? 1.25 : 0.8, x - size / 2, y - size / 2);
    }, { passive: false });
    canvas.addEventListener('pointerdown', (event) => {
      const [x, y] = this.at(event);
      this.drag = { x, y, from: [this.x, this.y], moved: false, select: event.shiftKey };
      canvas.setPointerCapture(event.pointerId);
    });
    canvas.addEventListener('pointermove', (event) => {
      const [x, y] = this.at(event);
      if (!this.drag) { this.describe(this.nearest(x, y)); return; }
      this.drag.moved ||= Math.hypot(x - this.drag.x, y - this.drag.y) > 4;
      if (!this.drag.moved) return;
      if (this.drag.select) this.region = [this.drag.x, this.drag.y, x, y];
      else [this.x, this.y] = [this.drag.from[0] + x - this.drag.x, this.drag.from[1] + y - this.drag.y];
      this.redraw();
    });
    canvas.addEventListener('pointerup', (event) => {
      const [x, y] = this.at(event), { drag } = this;
      this.drag = null;
      if (!drag) return;
      if (drag.select && this.region) {
        const inside = this.inside(this.region);
        this.region = null;
        selected(inside);
        this.redraw();
      } else if (!drag.moved) {
        const point = this.nearest(x, y);
        if (point) choose(point.track_id);
      }
    });
    canvas.addEventListener('pointerleave', () => this.describe(null));
    canvas.addEventListener('keydown', (event) => {
      if (event.key === '+' || event.key === '-') { this.scale(event.key === '+' ? 1.25 : 0.8, 0, 0); return; }
      if (event.key === '0') { Object.assign(this, { zoom: 1, x: 0, y: 0 }); this.redraw(); return; }
      const step = { ArrowRight: 1, ArrowDown: 1, ArrowLeft: -1, ArrowUp: -1 }[event.key];
      if (!step || !this.points.length) return;
      event.preventDefault();
      const ordered = [...this.points].sort((a, b) => a.x - b.x);
      const index = ordered.findIndex((point) => point.track_id === this.chosen);
      choose(ordered[(index + step + ordered.length) % ordered.length].track_id);
    });
    new ResizeObserver(() => this.redraw()).observe(canvas);
  }

  // `colour` is {name, numeric, unit, of(track)}.
  fill(found, tracks, colour) {
    Object.assign(this, { how: found.how, by: found.by });
    this.points = found.points.filter((point) => tracks.has(point.track_id))
      .map((point) => ({ ...point, track: tracks.get(point.track_id) }));
    this.colour(colour);
  }

  colour(colour) {
    const legend = document.getElementById('legend');
    if (colour.numeric) {
      const values = this.points.map((point) => colour.of(point.track)).filter((value) => value !== null && value !== undefined).sort((a, b) => a - b);
      const low = values[Math.floor(0.02 * values.length)] ?? 0, high = values[Math.ceil(0.98 * values.length) - 1] ?? 1;
      const step = (value) => SCALE[Math.max(0, Math.min(SCALE.length - 1, Math.floor(((value - low) / Math.max(high - low, 1e-9)) * SCALE.length)))];
      for (const point of this.points) {
        const value = colour.of(point.track);
        point.colour = value === null || value === undefined ? '#c8ced6' : step(value);
        point.said = value === null || value === undefined ? '' : `${colour.name} ${shown(value)} ${colour.unit}`;
      }
      const shades = SCALE.map((shade) => { const dot = create('i'); dot.style.background = shade; return dot; });
      const item = create('li', '', { class: 'scale' });
      item.append(`${shown(low)} `, ...shades, ` ${shown(high)} ${colour.unit}`);
      legend.replaceChildren(item);
    } else {
      const counts = new Map();
      for (const { track } of this.points) counts.set(colour.of(track), (counts.get(colour.of(track)) || 0) + 1);
      const ranked = [...counts].sort((a, b) => b[1] - a[1]).map(([name]) => name);
      const last = COLOURS.length - 1;
      const of = new Map(ranked.map((name, index) => [name, COLOURS[Math.min(index, last)]]));
      for (const point of this.points) { point.colour = of.get(colour.of(point.track)); point.said = ''; }
      const shown = ranked.length > COLOURS.length ? [...ranked.slice(0, last), 'others'] : ranked;
      legend.replaceChildren(...shown.map((name, index) => {
        const item = create('li', String(name ?? 'unknown')), dot = create('i');
        dot.style.background = COLOURS[index];
        item.prepend(dot);
        return item;
      }));
    }
    this.describe(null);
    this.redraw();
  }

  mark(chosen, hits) {
    this.chosen = chosen;
    this.hits = new Set(hits);
    this.redraw();
  }

  scale(factor, x, y) {
    const zoom = Math.max(1, Math.min(LARGEST, this.zoom * factor)), by = zoom / this.zoom;
    Object.assign(this, { zoom, x: x - (x - this.x) * by, y: y - (y - this.y) * by });
    if (zoom === 1) this.x = this.y = 0;
    this.redraw();
  }

  describe(point) {
    const facts = point && [point.track.composer, point.track.performer, point.said].filter(Boolean).join(', ');
    const near = this.by === 'playing' ? 'are played alike, as far as probes tell' : 'are similar overall';
    this.line.textContent = point ? `${point.track.label} (${facts || 'unknown'})`
      : `${this.points.length} tracks (${this.how}). Nearby tracks ${near}.`;
  }

  at(event) {
    const box = this.canvas.getBoundingClientRect();
    return [event.clientX - box.left, event.clientY - box.top];
  }

  position(point) {
    const size = this.canvas.clientWidth, half = (size / 2 - 12) * this.zoom;
    return [size / 2 + this.x + point.x * half, size / 2 + this.y - point.y * half];
  }

  nearest(x, y) {
    let best = null, least = 16 ** 2;
    for (const point of this.points) {
      const [left, top] = this.position(point), apart = (left - x) ** 2 + (top - y) ** 2;
      if (apart < least) [best, least] = [point, apart];
    }
    return best;
  }

  inside([x, y, right, bottom]) {
    const [left, far] = [Math.min(x, right), Math.max(x, right)], [top, low] = [Math.min(y, bottom), Math.max(y, bottom)];
    return this.points.filter((point) => {
      const [at, down] = this.position(point);
      return at >= left && at <= far && down >= top && down <= low;
    }).map((point) => point.track_id);
  }

  redraw() {
    if (this.waiting) return;
    this.waiting = true;
    requestAnimationFrame(() => { this.waiting = false; this.draw(); });
  }

  draw() {
    const size = this.canvas.clientWidth;
    if (!size) return;
    const pen = cleanPen(this.canvas);
    // Squares of one colour at a time: ten thousand points in a few ms.
    const plain = new Map();
    const radius = this.points.length > 2000 ? 1.6 : 3;
    for (const point of this.points) {
      if (this.hits.has(point.track_id) || point.track_id === this.chosen) continue;
      const [x, y] = this.position(point);
      if (x < -4 || y < -4 || x > size + 4 || y > size + 4) continue;
      if (!plain.has(point.colour)) plain.set(point.colour, []);
      plain.get(point.colour).push(x, y);
    }
    for (const [colour, places] of plain) {
      pen.fillStyle = colour;
      pen.beginPath();
      for (let index = 0; index < places.length; index += 2) {
        pen.moveTo(places[index] + radius, places[index + 1]);
        pen.arc(places[index], places[index + 1], radius, 0, 7);
      }
      pen.fill();
    }
    const dot = (point, wide, stroke) => {
      pen.beginPath();
      pen.arc(...this.position(point), wide, 0, 7);
      pen.fillStyle = point.colour;
      pen.fill();
      pen.lineWidth = 2.5;
      pen.strokeStyle = stroke;
      pen.stroke();
    };
    for (const point of this.points) if (this.hits.has(point.track_id)) dot(point, 5, css('--ink'));
    for (const point of this.points) if (point.track_id === this.chosen) dot(point, 7, '#e00');
    if (!this.region) return;
    const [x, y, right, bottom] = this.region;
    pen.lineWidth = 1;
    pen.strokeStyle = css('--ink');
    pen.strokeRect(x, y, right - x, bottom - y);
  }
}
