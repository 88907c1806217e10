// Which layer encodes what: the heatmap, and for one target its profile and held-out predictions.
import { get } from './api.js';
import { cleanPen, create, css } from './elements.js';

const figure = (value) => (value === null || value === undefined ? 'unknown' : value.toFixed(2));

export class Layers {
  constructor(root, choose) {
    Object.assign(this, { root, choose, found: null, charts: [] });
    this.part = (name) => root.querySelector(`.${name}`);
    this.part('scatter').addEventListener('mousemove', (event) => this.describe(this.nearest(event)));
    this.part('scatter').addEventListener('click', (event) => {
      const point = this.nearest(event);
      if (point) choose(point.track_id);
    });
    this.part('encoder').addEventListener('change', () => this.show(this.tracks, this.part('encoder').value));
    new ResizeObserver(() => this.drawTarget()).observe(root);
  }

  // Shows the layers of an encoder; without a name, of the one that is searched with.
  async show(tracks, encoder) {
    this.tracks = tracks;
    const box = this.part('cells'), asked = this.asked = Symbol('asked');
    let answer;
    try {
      answer = await get('heatmap', encoder ? { encoder } : {});
    } catch (error) {
      if (this.asked === asked) box.textContent = `No layer scores available: ${error.message}`;
      return;
    }
    if (this.asked !== asked) return; // another encoder has been chosen
    const found = this.found = answer;
    const table = create('table');
    table.createCaption().textContent = `R² by layer, cross-validated by work (${found.encoder})`;
    const head = table.createTHead().insertRow();
    head.append(create('th', 'target', { scope: 'col' }), ...found.layers.map((layer) => create('th', layer, { scope: 'col' })));
    const body = table.createTBody();
    found.targets.forEach((target, index) => {
      const row = body.insertRow();
      const name = create('th', '', { scope: 'row' });
      const open = create('button', target.replaceAll('_', ' '), { type: 'button', 'data-target': target });
      open.addEventListener('click', () => this.target(target));
      name.append(open);
      row.append(name);
      found.layers.forEach((layer, column) => row.append(this.cell(target, index, layer, column)));
    });
    box.replaceChildren(table);
    this.part('encoder').replaceChildren(...found.encoders.map((one) => create('option', one, { value: one })));
    this.part('encoder').value = found.folder;
    this.part('encoder').parentElement.hidden = found.encoders.length < 2;
    this.part('cell-said').textContent = 'Values are R² × 100; below 0 is worse than predicting the mean. Point at a cell for its interval, at a target for its profile.';
    await this.target(found.targets.includes(this.name) ? this.name : this.bestTarget());
  }

  bestTarget() {
    const highest = this.found.r2.map((row) => Math.max(...row.map((one) => one ?? -9)));
    return this.found.targets[highest.indexOf(Math.max(...highest))];
  }

  cell(target, index, layer, column) {
    const { found } = this;
    const value = found.r2[index][column];
    const cell = create('td', value === null ? '' : Math.round(100 * Math.max(-9.99, value)));
    const strength = Math.max(0, Math.min(1, value ?? 0));
    cell.style.background = `color-mix(in srgb, var(--a) ${Math.round(100 * strength)}%, var(--paper))`;
    cell.style.color = strength > 0.5 ? 'var(--on-a)' : 'var(--ink)';
    const said = `${target}, layer ${layer}: R² ${figure(value)} (${figure(found.r2_low[index][column])} to ${figure(found.r2_high[index][column])}), `
      + `q ${figure(found.q[index][column])}, untrained ${figure(found.untrained_r2[index][column])}`;
    cell.title = said;
    cell.addEventListener('mouseenter', () => { this.part('cell-said').textContent = said; });
    cell.addEventListener('click', () => this.target(target));
    return cell;
  }

  async target(name) {
    this.name = name;
    for (const one of this.root.querySelectorAll('[data-target]')) one.setAttribute('aria-current', String(one.dataset.target === name));
    const { folder, encoders } = this.found;
    const wanted = [folder, ...encoders.filter((one) => one !== folder)];
    const answers = await Promise.allSettled(wanted.map((encoder) => get('layer', { target: name, encoder })));
    if (this.name !== name || this.found.folder !== folder) return; // another has been chosen
    if (answers[0].status === 'rejected') {
      this.part('cell-said').textContent = answers[0].reason.message;
      return;
    }
    this.profiles = answers.map((one, index) => ({ encoder: wanted[index], ...one.value })).filter((one) => one.layers);
    [this.profile] = this.profiles;
    this.part('target-name').textContent = name.replaceAll('_', ' ');
    this.part('target-view').hidden = false;
    this.part('not-comparable').hidden = this.profiles.every((one) => one.scored_on === this.profile.scored_on);
    this.drawTarget();
  }

  drawTarget() {
    if (!this.profile || this.root.hidden) return;
    this.drawProfiles();
    this.drawScatter();
    this.describe(null);
  }

  // The profile of every encoder that was probed for the target, side by side and to one scale.
  drawProfiles() {
    const parts = this.profiles.flatMap((one) => [one.r2, one.r2_low, one.r2_high, one.untrained_r2].flat()).filter((value) => value !== null);
    const range = [Math.max(-1, Math.min(0, ...parts)), Math.max(0.1, ...parts)];
    for (const chart of this.charts.splice(0)) chart.destroy();
    const figures = this.profiles.map((profile) => {
      const figure = create('figure'), highest = Math.max(...profile.r2.map((one) => one ?? -Infinity)), best = profile.r2.indexOf(highest);
      const said = best < 0 ? 'not scored' : `highest ${highest.toFixed(2)}, layer ${profile.layers[best]}`;
      figure.append(create('figcaption', `${profile.encoder}: ${said}; ${profile.tracks} tracks of ${profile.works} works`));
      return figure;
    });
    this.part('profile').replaceChildren(...figures); // in the page first: the charts are as wide as it leaves room
    this.charts = figures.map((figure, index) => this.chart(this.profiles[index], figure, range));
  }

  chart(profile, holder, range) {
    const axis = { stroke: css('--quiet'), grid: { stroke: css('--line') }, ticks: { stroke: css('--line') } };
    const invisible = { stroke: 'transparent', points: { show: false } };
    const shown = (values) => values.map((value) => (value === null ? null : Math.max(range[0], value)));
    return new window.uPlot({
      width: Math.max(150, holder.clientWidth), height: 220, legend: { show: false },
      scales: { x: { time: false }, y: { range } }, cursor: { drag: { x: false, y: false }, y: false },
      axes: [{ ...axis, label: 'layer', labelSize: 18, incrs: [1, 2, 4, 8] }, { ...axis, label: 'R²', size: 46, labelSize: 18 }],
      series: [{}, invisible, invisible, { stroke: css('--a'), width: 2, points: { show: true } }, { stroke: css('--b'), width: 1.5, dash: [5, 4] }],
      bands: [{ series: [2, 1], fill: `${css('--a')}30` }],
    }, [profile.layers, ...[profile.r2_low, profile.r2_high, profile.r2, profile.untrained_r2].map(shown)], holder);
  }

  drawScatter() {
    const canvas = this.part('scatter'), size = canvas.clientWidth;
    const { points } = this.profile;
    canvas.hidden = !points.length;
    if (!size || !points.length) return;
    const pen = cleanPen(canvas);
    const limit = points.reduce((most, one) => Math.max(most, Math.abs(one.measured), Math.abs(one.predicted)), 1);
    const at = (value) => ((value / limit + 1) / 2) * (size - 24) + 12;
    this.placed = points.map((one) => ({ ...one, x: at(one.measured), y: size - at(one.predicted) }));
    pen.strokeStyle = css('--line');
    pen.beginPath();
    pen.moveTo(12, size - 12);
    pen.lineTo(size - 12, 12);
    pen.stroke();
    pen.fillStyle = css('--a');
    pen.globalAlpha = points.length > 300 ? 0.45 : 0.8;
    for (const one of this.placed) {
      pen.beginPath();
      pen.arc(one.x, one.y, 3, 0, 7);
      pen.fill();
    }
    pen.globalAlpha = 1;
    pen.font = '11px system-ui, sans-serif';
    pen.fillStyle = css('--quiet');
    pen.textAlign = 'left';
    pen.fillText('predicted', 4, 12);
    pen.textAlign = 'right';
    pen.fillText('measured', size - 4, size - 3);
  }

  nearest(event) {
    const box = this.part('scatter').getBoundingClientRect();
    let best = null, least = 14 ** 2;
    for (const point of this.placed || []) {
      const apart = (point.x - event.clientX + box.left) ** 2 + (point.y - event.clientY + box.top) ** 2;
      if (apart < least) [best, least] = [point, apart];
    }
    return best;
  }

  describe(point) {
    const name = point && (this.tracks.get(point.track_id)?.label || point.track_id);
    this.part('scatter-said').textContent = point
      ? `${name}: measured ${point.measured.toFixed(2)}, predicted ${point.predicted.toFixed(2)} standard deviations. Click to use it as the query.`
      : `${this.profiles.length > 1 ? `${this.profile.encoder}: ` : ''}${this.profile.points.length} tracks, each predicted from other works, in standard deviations. Blue: trained, with 95 % interval; dashed: the same architecture untrained.`;
  }
}
