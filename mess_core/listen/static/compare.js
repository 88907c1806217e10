// Two performances on a common musical time: curves, piano rolls, the performance worm.
import { get } from './api.js';
import { create, css } from './elements.js';
import { saveCsv, savePng, saveSvg } from './export.js';
import { PianoRoll } from './roll.js';
import { comparisonSvg } from './picture.js';
import { addPlaceKeys } from './place-keys.js';
import { smoothed } from './smoothing.js';
import { Worm } from './worm.js';

const TITLES = {
  tempo: 'Tempo', velocity: 'Loudness of the keys', articulation: 'Articulation', pedal: 'Pedal',
  asynchrony: 'Asynchrony', loudness: 'Loudness', brightness: 'Brightness', onset_density: 'Onset density',
};
const SMOOTH = { tempo: 1, velocity: 1, articulation: 1.5, pedal: 1, asynchrony: 3 };

// Maps between seconds of a performance and places on the common time; unknown beats are skipped.
export class TimeAxis {
  constructor(times) {
    this.place = []; this.time = [];
    times.forEach((time, index) => {
      if (time === null || (this.time.length && time <= this.time.at(-1))) return;
      this.place.push(index); this.time.push(time);
    });
  }

  static between(from, to, value) {
    if (!from.length) return 0;
    let low = 0, high = from.length - 1;
    if (value <= from[0]) return to[0];
    if (value >= from[high]) return to[high];
    while (high - low > 1) {
      const middle = (low + high) >> 1;
      if (from[middle] <= value) low = middle; else high = middle;
    }
    return to[low] + ((value - from[low]) * (to[high] - to[low])) / (from[high] - from[low]);
  }

  placeAt(time) { return TimeAxis.between(this.time, this.place, time); }
  timeAt(place) { return TimeAxis.between(this.place, this.time, place); }
}

export class Compare {
  // `playAt(side, seconds)` plays A or B; `now()` returns {side, time} of the sounding deck.
  constructor(root, { playAt, now }) {
    Object.assign(this, { root, playAt, now, charts: [], data: null, names: null, place: 0 });
    this.part = (name) => root.querySelector(`.${name}`);
    this.roll = new PianoRoll(this.part('roll'), (side, place) => this.play(side, place));
    this.worm = new Worm(this.part('worm'));
    this.part('close').addEventListener('click', () => this.close());
    this.part('save-png').addEventListener('click', () => savePng(this.svg(), this.fileName('png')));
    this.part('save-svg').addEventListener('click', () => saveSvg(this.svg(), this.fileName('svg')));
    this.part('save-csv').addEventListener('click', () => saveCsv(this.rows(), this.fileName('csv')));
    this.part('differs').addEventListener('click', () => this.showDifference());
    for (const name of ['smooth', 'others']) this.part(name).addEventListener('change', () => this.draw());
    addPlaceKeys(this.part('curves'), {
      place: () => this.place,
      last: () => this.data.a.time_s.length - 1, // where the last beat ends
      shown: () => { const { min, max } = this.charts[0].scales.x; return [min, max]; },
      play: (place) => this.play(this.now().side, place),
      show: (min, max) => this.charts[0].setScale('x', { min, max }),
    });
    new ResizeObserver(() => this.resize()).observe(this.part('curves'));
    const step = () => { requestAnimationFrame(step); if (!this.root.hidden) this.follow(); };
    requestAnimationFrame(step);
  }

  get open() { return !this.root.hidden; }

  close() {
    this.root.hidden = true;
    this.data = null;
    this.closed?.();
  }

  async show(query, hit, names) {
    Object.assign(this, { query, hit, names, data: null, further: [] });
    this.root.hidden = false;
    this.part('said').textContent = 'Aligning the two performances…';
    this.part('drawn').hidden = true;
    this.part('others-label').hidden = true;
    this.part('name-a').textContent = names[0];
    this.part('name-b').textContent = names[1];
    this.enable(false);
    let found;
    try {
      found = await get('compare', { query, hit });
    } catch (error) {
      if (this.query === query && this.hit === hit) this.part('said').textContent = error.message;
      return;
    }
    if (this.query !== query || this.hit !== hit) return;
    this.data = found;
    this.axes = { a: new TimeAxis(found.a.time_s), b: new TimeAxis(found.b.time_s) };
    this.part('said').textContent = this.describe(found);
    this.part('differences').replaceChildren(...found.differences.map((text) => create('li', text)));
    this.part('drawn').hidden = false;
    this.enable(true);
    this.draw();
    this.root.querySelector('h2').focus({ preventScroll: true });
    if (found.how !== 'notes') return;
    try {
      const others = await get('others', { query, hit });
      if (this.data !== found) return;
      this.further = others.performances;
      this.part('others-label').hidden = !this.further.length;
      this.part('others-count').textContent = this.further.length;
      if (this.further.length) this.draw();
    } catch { /* the comparison of the two stands without them */ }
  }

  // What can be saved or jumped to needs a comparison.
  enable(on) {
    for (const name of ['save-png', 'save-svg', 'save-csv', 'differs']) this.part(name).disabled = !on;
  }

  describe(found) {
    const share = `${Math.round(100 * found.confidence)} %`;
    if (found.how === 'sound') {
      return `Aligned by harmony (similarity ${share}), since notes are not available for both: curves are from the audio.`;
    }
    return `${found.shared} beats in common; ${share} of the notes matched.`;
  }

  // Values of a curve, smoothed as chosen.
  values(side, name) {
    const amount = Number(this.part('smooth').value);
    return smoothed(side[name], amount * (SMOOTH[name] ?? 1));
  }

  // Range of a curve's axis: that of A and B, without single beats far from all others.
  range(name) {
    const known = ['a', 'b'].flatMap((side) => this.values(this.data[side], name)).filter((value) => value !== null).sort((x, y) => x - y);
    if (!known.length) return [0, 1];
    const [low, high] = [known[Math.floor(0.01 * (known.length - 1))], known[Math.ceil(0.99 * (known.length - 1))]];
    const room = Math.max(0.12 * (high - low), 1e-3);
    return [low - room, high + room];
  }

  draw() {
    if (!this.data) return;
    for (const chart of this.charts) chart.destroy();
    const { data } = this;
    const shown = this.part('others').checked ? this.further : [];
    const holder = this.part('curves');
    holder.replaceChildren();
    const places = Array.from({ length: data.a.time_s.length - 1 }, (_, index) => index + 0.5);
    const names = Object.keys(data.curves).filter((name) => [data.a, data.b].some((side) => side[name].some((value) => value !== null)));
    this.charts = names.map((name, index) => {
      const box = create('div', '', { class: 'curve', 'data-curve': name });
      box.append(create('p', `${TITLES[name] || name} (${data.curves[name]})`));
      holder.append(box);
      const last = index === names.length - 1;
      const series = [{}, ...shown.map(() => ({ stroke: css('--thin'), width: 0.7, points: { show: false } })),
        ...['a', 'b'].map((side) => ({ stroke: css(`--${side}`), width: 2, points: { show: false } }))];
      const axis = { stroke: css('--quiet'), grid: { stroke: css('--line'), width: 1 }, ticks: { stroke: css('--line') } };
      const chart = new window.uPlot({
        width: Math.max(200, holder.clientWidth), height: last ? 104 : 72, series,
        legend: { show: false }, padding: [6, 10, 0, 0],
        scales: {
          // A fixed range would undo every zoom; all of the music is shown from the first beat to the end of the last.
          x: { time: false, range: (_, low, high) => [low <= 0.5 ? 0 : low, high >= places.length - 0.5 ? places.length : high] },
          y: { range: this.range(name) },
        },
        axes: [{ ...axis, show: last, label: last ? `${data.unit}` : undefined, labelSize: 18, size: 32, values: (_, ticks) => ticks.map((tick) => tick + 1) }, { ...axis, size: 46 }],
        cursor: { sync: { key: 'mess-compare' }, drag: { x: true, y: false }, y: false, points: { show: false } },
        hooks: { setScale: [(plot, key) => { if (key === 'x') this.zoomed(plot); }] },
      }, [places, ...shown.map((one) => this.values(one, name)), this.values(data.a, name), this.values(data.b, name)], box);
      const head = create('div', '', { class: 'playhead' });
      chart.over.append(head);
      chart.head = head;
      let pressed = 0;
      chart.over.addEventListener('mousedown', (event) => { pressed = event.clientX; });
      chart.over.addEventListener('click', (event) => {
        if (Math.abs(event.clientX - pressed) > 4) return;
        const left = event.clientX - chart.over.getBoundingClientRect().left;
        this.play(this.now().side, chart.posToVal(left, 'x'));
      });
      return chart;
    });
    this.roll.fill(data, this.axes);
    const [x, y] = data.how === 'notes' ? ['tempo', 'velocity'] : ['brightness', 'loudness'];
    const wide = (side, name) => smoothed(side[name], data.how === 'notes' ? 4 : 2);
    this.worm.fill(
      { a: [wide(data.a, x), wide(data.a, y)], b: [wide(data.b, x), wide(data.b, y)] },
      `${TITLES[x]} (${data.curves[x]})`, `${TITLES[y]} (${data.curves[y]})`,
    );
    this.follow(true);
  }

  // One range of the common time for all curves.
  zoomed(plot) {
    if (this.zooming) return;
    this.zooming = true;
    const { min, max } = plot.scales.x;
    for (const chart of this.charts) if (chart !== plot) chart.setScale('x', { min, max });
    this.zooming = false;
    this.follow(true);
  }

  resize() {
    const width = this.part('curves').clientWidth;
    for (const chart of this.charts) if (width && chart.width !== width) chart.setSize({ width, height: chart.height });
    this.follow(true);
  }

  // Plays A from where its first curve is farthest from the median of all other performances.
  showDifference() {
    const [name] = Object.keys(this.data.curves);
    const wide = (side) => smoothed(side[name], 4);
    const mine = wide(this.data.a), others = [this.data.b, ...this.further].map(wide);
    let far = 0, most = null;
    mine.forEach((value, beat) => {
      const known = others.map((one) => one[beat]).filter((one) => one !== null).sort((x, y) => x - y);
      if (value === null || !known.length) return;
      const middle = (known[(known.length - 1) >> 1] + known[known.length >> 1]) / 2;
      const change = name === 'tempo' ? Math.log(value / middle) : value - middle;
      if (Math.abs(change) > Math.abs(most ?? 0)) [far, most] = [beat, change];
    });
    if (most === null) return;
    const { unit } = this.data;
    const by = name === 'tempo' ? `${Math.round(100 * Math.abs(Math.exp(most) - 1))} % ${most < 0 ? 'slower' : 'faster'}`
      : `${Math.abs(most).toPrecision(2)} ${most < 0 ? 'below' : 'above'}`;
    this.part('said').textContent = `A differs most from the median of ${others.length} other performance${others.length > 1 ? 's' : ''} in ${name} at ${unit} ${far + 1}: ${by}.`;
    this.play('a', Math.max(0, far - 2));
  }

  play(side, place) {
    this.place = place;
    this.playAt(side, this.axes[side].timeAt(place));
  }

  // Moves the cursors to the moment that sounds.
  follow(force = false) {
    if (!this.data) return;
    const { side, time, loaded } = this.now();
    const place = loaded ? this.axes[side].placeAt(time) : 0;
    if (!force && place === this.place) return;
    this.place = place;
    for (const chart of this.charts) {
      const left = chart.valToPos(place, 'x');
      chart.head.style.transform = `translateX(${left}px)`;
      chart.head.hidden = left < 0 || left > chart.over.clientWidth;
    }
    this.roll.draw(place, side);
    this.worm.draw(place);
    const beat = Math.max(0, Math.min(Math.floor(place), this.data.a.time_s.length - 2));
    const said = Object.entries(this.data.curves).map(([name, unit]) => {
      const number = (value) => (value === null ? '–' : String(Number(value.toPrecision(3))));
      return `${TITLES[name] || name} ${number(this.data.a[name][beat])} / ${number(this.data.b[name][beat])} ${unit}`;
    });
    const values = `${this.data.unit} ${beat + 1}: ${said.join(' · ')}`;
    this.part('values').textContent = values;
    const slider = { now: beat + 1, min: 1, max: this.data.a.time_s.length - 1, text: values };
    for (const [name, value] of Object.entries(slider)) this.part('curves').setAttribute(`aria-value${name}`, value);
  }

  fileName(kind) { return `${this.query}-and-${this.hit}.${kind}`.replace(/[^\w.-]+/g, '_'); }

  svg() {
    const names = Object.keys(this.data.curves);
    const curves = names.map((name) => ({
      title: `${TITLES[name] || name} (${this.data.curves[name]})`,
      others: (this.part('others').checked ? this.further : []).map((one) => this.values(one, name)),
      a: this.values(this.data.a, name), b: this.values(this.data.b, name),
    }));
    return comparisonSvg(curves, this.names, this.data.unit, this.worm);
  }

  rows() {
    const names = Object.keys(this.data.curves);
    const { a, b, unit } = this.data;
    const head = [unit, 'a_start_s', 'b_start_s', ...names.flatMap((name) => [`a_${name}`, `b_${name}`])];
    const rows = a[names[0]].map((_, index) => [
      index + 1, a.time_s[index], b.time_s[index], ...names.flatMap((name) => [a[name][index], b[name][index]]),
    ]);
    return [head, ...rows];
  }
}
