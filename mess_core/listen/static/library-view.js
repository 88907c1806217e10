// The library at a glance: the map, coloured by facts or targets, and the layers.
import { get } from './api.js';
import { $, create } from './elements.js';
import { Layers } from './layers.js';
import { LibraryMap } from './map.js';
import { targetValues, valuesOf } from './target-values.js';

export class LibraryView {
  constructor({ tracks, notice, choose, selected }) {
    Object.assign(this, { tracks, notice });
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
    try {
      this.map.colour(await this.colouring());
    } catch (error) {
      this.notice(error.message);
    }
  }

  // How the map is coloured: by a fact of the tracks, or by a target.
  async colouring() {
    const name = $('coloured-by').value;
    if (!name.startsWith('target:')) return { name, numeric: name === 'year', unit: '', of: (track) => track[name] };
    const target = name.slice(7), values = await valuesOf(target);
    const { unit } = (await targetValues()).targets[target];
    return { name: target.replaceAll('_', ' '), numeric: true, unit: unit === '1' ? '' : unit, of: (track) => values.get(track.track_id) };
  }

  // Offers the facts that differ between tracks, and all targets, also to order the tracks by.
  addColours(facts) {
    const columns = Object.keys(facts).filter((column) => new Set([...this.tracks.values()].map((track) => track[column])).size > 1);
    $('coloured-by').replaceChildren(...columns.map((column) => create('option', facts[column], { value: column })));
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
