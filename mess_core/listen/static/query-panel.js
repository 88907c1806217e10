// What to search with: the list of tracks, suggestions, and filters of the hits.
import { $, create } from './elements.js';
import { setWeights } from './weigh.js';

const SHOWN = 150;
export const FILTERS = { composer: 'composer', year: 'year', split: 'split', dataset: 'data set', performer: 'performer' };

// Lists the tracks that match what is typed, ordered as chosen.
export function listTracks(state, choose) {
  const wanted = $('find').value.toLocaleLowerCase().split(/\s+/).filter(Boolean);
  const matching = [...state.tracks.values()].filter((track) => wanted.every((word) => track.text.includes(word)));
  const list = $('tracks'), { order } = state;
  if (order) {
    const value = (track) => order.values.get(track.track_id) ?? -Infinity;
    matching.sort((a, b) => value(b) - value(a));
  }
  list.replaceChildren(...matching.slice(0, SHOWN).map((track) => {
    const row = create('li');
    const button = create('button', track.label, { type: 'button' });
    if (track.track_id === state.query) button.setAttribute('aria-current', 'true');
    const value = order?.values.get(track.track_id);
    const measured = value === undefined || value === null ? null : `${order.name} ${Number(value.toPrecision(3))}`;
    const rest = [measured, track.composer, track.performer, track.year, track.audio ? null : 'no audio'].filter(Boolean);
    button.append(create('small', rest.join(' · ')));
    button.addEventListener('click', () => choose(track.track_id));
    row.append(button);
    return row;
  }));
  const more = matching.length > SHOWN ? `, first ${SHOWN} shown` : '';
  $('found').textContent = `${matching.length} of ${state.tracks.size} tracks${more}`;
}

export function addSuggestions(suggestions, state, choose) {
  const shown = suggestions.filter((one) => state.tracks.has(one.track));
  $('suggested').hidden = !shown.length;
  $('suggestions').replaceChildren(...shown.map((one) => {
    const track = state.tracks.get(one.track), row = create('li');
    const names = Object.keys(one.aspects).map((name) => name.replace('_', ' '));
    const button = create('button', names.length ? `like this in ${names.join(' and ')}` : 'alike overall', { type: 'button' });
    button.append(create('small', [track.label, track.performer, one.reason].filter(Boolean).join(' · ')));
    button.addEventListener('click', () => { setWeights(one.aspects); choose(one.track); });
    row.append(button);
    return row;
  }));
}

export function filters() {
  return [...document.querySelectorAll('#selects select')].filter((one) => one.value)
    .map((one) => `${one.dataset.column}=${one.value}`);
}

export function addFilters(tracks, search) {
  $('selects').replaceChildren(...Object.entries(FILTERS).map(([column, name]) => {
    const values = [...new Set([...tracks.values()].map((track) => track[column]).filter((value) => value !== null))];
    values.sort((a, b) => (typeof a === 'number' ? a - b : String(a).localeCompare(b)));
    const label = create('label', name);
    const select = create('select', '', { 'data-column': column });
    select.append(create('option', 'any', { value: '' }), ...values.map((value) => create('option', value, { value })));
    select.addEventListener('change', search);
    label.append(select);
    label.hidden = values.length < 2;
    return label;
  }));
}
