// Map of the library on a canvas. A click chooses the nearest track, arrow keys the next one.

import { create } from './elements.js';

const COLOURS = ['#1d5fa8', '#a8411d', '#2b7a3d', '#7a2b8f', '#8a6a00', '#00757a', '#9c1f5c', '#4d5663'];

export class LibraryMap {
  constructor(canvas, line, choose) {
    Object.assign(this, { canvas, line, points: [], chosen: null, hits: new Set(), how: '' });
    canvas.addEventListener('click', (event) => {
      const point = this.nearest(event);
      if (point) choose(point.track_id);
    });
    canvas.addEventListener('mousemove', (event) => {
      const point = this.nearest(event);
      this.describe(point);
    });
    canvas.addEventListener('mouseleave', () => this.describe(null));
    canvas.addEventListener('keydown', (event) => {
      const step = { ArrowRight: 1, ArrowDown: 1, ArrowLeft: -1, ArrowUp: -1 }[event.key];
      if (!step || !this.points.length) return;
      event.preventDefault();
      const ordered = [...this.points].sort((a, b) => a.x - b.x);
      const index = ordered.findIndex((point) => point.track_id === this.chosen);
      choose(ordered[(index + step + ordered.length) % ordered.length].track_id);
    });
    new ResizeObserver(() => this.draw()).observe(canvas);
  }

  fill(found, tracks, column) {
    Object.assign(this, { how: found.how, by: found.by, column });
    this.points = found.points.filter((point) => tracks.has(point.track_id))
      .map((point) => ({ ...point, track: tracks.get(point.track_id) }));
    const counts = new Map();
    for (const { track } of this.points) counts.set(track[column], (counts.get(track[column]) || 0) + 1);
    const ranked = [...counts].sort((a, b) => b[1] - a[1]).map(([name]) => name);
    this.colours = new Map(ranked.map((name, index) => [name, COLOURS[Math.min(index, COLOURS.length - 1)]]));
    this.explain(ranked);
    this.describe(null);
    this.draw();
  }

  explain(names) {
    const last = COLOURS.length - 1;
    const shown = names.length > COLOURS.length ? [...names.slice(0, last), 'others'] : names;
    document.getElementById('legend').replaceChildren(...shown.map((name, index) => {
      const item = create('li', String(name ?? 'unknown')), dot = create('i');
      dot.style.background = COLOURS[index];
      item.prepend(dot);
      return item;
    }));
  }

  mark(chosen, hits) {
    this.chosen = chosen;
    this.hits = new Set(hits);
    this.draw();
  }

  describe(point) {
    const facts = point && [point.track.composer, point.track.performer].filter(Boolean).join(', ');
    const near = this.by === 'playing' ? 'are played alike, as far as probes tell' : 'are similar overall';
    this.line.textContent = point ? `${point.track.label} (${facts || 'unknown'})`
      : `${this.points.length} tracks (${this.how}). Nearby tracks ${near}.`;
  }

  position(point) {
    const size = this.canvas.clientWidth;
    return [size / 2 + point.x * (size / 2 - 12), size / 2 - point.y * (size / 2 - 12)];
  }

  nearest(event) {
    const box = this.canvas.getBoundingClientRect();
    let best = null, least = 24 ** 2;
    for (const point of this.points) {
      const [x, y] = this.position(point);
      const apart = (x - event.clientX + box.left) ** 2 + (y - event.clientY + box.top) ** 2;
      if (apart < least) [best, least] = [point, apart];
    }
    return best;
  }

  draw() {
    const size = this.canvas.clientWidth, scale = window.devicePixelRatio || 1;
    if (!size) return;
    this.canvas.width = this.canvas.height = Math.round(size * scale);
    const pen = this.canvas.getContext('2d');
    pen.scale(scale, scale);
    const dot = (point, radius, stroke) => {
      const [x, y] = this.position(point);
      pen.beginPath();
      pen.arc(x, y, radius, 0, 7);
      pen.fillStyle = this.colours.get(point.track[this.column]);
      pen.fill();
      if (stroke) { pen.lineWidth = 2.5; pen.strokeStyle = stroke; pen.stroke(); }
    };
    for (const point of this.points) if (!this.hits.has(point.track_id)) dot(point, 3);
    for (const point of this.points) if (this.hits.has(point.track_id)) dot(point, 5, '#000');
    for (const point of this.points) if (point.track_id === this.chosen) dot(point, 7, '#e00');
  }
}
