// The library at a glance: the map, coloured by facts or targets, and the layers.
import { get } from './api.js';
import { $, create } from './elements.js';
import { Layers } from './layers.js';
import { LibraryMap } from './map.js';
import { targetValues, valuesOf } from './target-values.js';

export class LibraryView {
  constructor({ tracks, notice, query, choose, selected }) {
    Object.assign(this, { tracks, notice, query });
    this.map = new LibraryMap($('map'), $('map-line'), { choose, selected });
    this.layers = new Layers($('heatmap-view'), choose);
    $('placed-by').addEventListener('change', () => this.drawMap());
    $('coloured-by').addEventListener('change', () => this.recolour());
    $('show-map').addEventListener('click', () => this.show('map'));
    $('show-heatmap').addEventListener('click', () => this.show('heatmap'));
  }

  async drawMap() {
    try {
      const by = $('placed-by').value;
      const found = await get('map', { by }), colour = await this.colouring();
      if ($('placed-by').value === by) this.map.fill(found, this.tracks, colour);
    } catch (error) {
      $('map-line').textContent = `No map available: ${error.message}`;
    }
  }

  async recolour() {
    const mine = this.latest = {};
    try {
      const colour = await this.colouring();
      if (this.latest === mine) this.map.colour(colour);
    } catch (error) {
      this.notice(error.message);
    }
  }

  // The query has changed: so have the colours, if they say how similar the others are to it.
  mark(hits) {
    this.map.mark(this.query(), hits);
    if ($('coloured-by').value.startsWith('aspect:')) this.recolour();
  }

  // How the map is coloured: by a fact of the tracks, by a target, or by what is like the query in an aspect.
  async colouring() {
    const name = $('coloured-by').value;
    if (name.startsWith('aspect:')) return this.likeQuery(name.slice(7));
    if (!name.startsWith('target:')) return { name, numeric: name === 'year', unit: '', of: (track) => track[name] };
    const target = name.slice(7), values = await valuesOf(target);
    const { unit } = (await targetValues()).targets[target];
    return { name: target.replaceAll('_', ' '), numeric: true, unit: unit === '1' ? '' : unit, of: (track) => values.get(track.track_id) };
  }

  async likeQuery(aspect) {
    const track = this.query();
    if (!track) return { name: aspect, numeric: true, unit: '(choose a query)', of: () => null };
    const found = await get('similarities', { track, aspect });
    const values = new Map(found.track_ids.map((id, index) => [id, found.values[index]]));
    return { name: `${aspect.replaceAll('_', ' ')} like the query's:`, numeric: true, unit: '', of: (one) => values.get(one.track_id) };
  }

  // Offers the facts that differ between tracks, and all targets, also to order the tracks by.
  addColours(facts, aspects) {
    const columns = Object.keys(facts).filter((column) => new Set([...this.tracks.values()].map((track) => track[column])).size > 1);
    $('coloured-by').replaceChildren(...columns.map((column) => create('option', facts[column], { value: column })));
    const alike = create('optgroup', '', { label: 'similarity to the query' });
    alike.append(...aspects.map((name) => create('option', name.replaceAll('_', ' '), { value: `aspect:${name}` })));
    if (aspects.length) $('coloured-by').append(alike);
    targetValues().then((found) => {
      const group = create('optgroup', '', { label: 'targets' });
      const option = (name, value) => create('option', name.replaceAll('_', ' '), { value });
      group.append(...Object.keys(found.targets).map((name) => option(name, `target:${name}`)));
      $('coloured-by').append(group);
      $('order').append(...Object.keys(found.targets).map((name) => option(name, name)));
    }).catch(() => {}); // no targets: nothing to colour or order by
  }

  show(name) {
    for (const one of ['map', 'heatmap']) {
      $(`${one}-view`).hidden = one !== name;
      $(`show-${one}`).setAttribute('aria-pressed', String(one === name));
    }
    $('overview').classList.toggle('wide', name === 'heatmap');
    if (name === 'heatmap') this.layers.show(this.tracks);
  }

  redraw() {
    this.map.redraw();
    this.layers.drawTarget();
  }
}
