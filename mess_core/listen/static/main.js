// State and event handlers of the search page.
import { get, post } from './api.js';
import { create } from './elements.js';
import { drawHeatmap } from './heatmap.js';
import { LibraryMap } from './map.js';
import { Deck, clock } from './player.js';
import { addHeads, addSliders, clearWeights, ranking, setWeights } from './weigh.js';

const $ = (id) => document.getElementById(id);
const SHOWN = 150;
const FILTERS = { composer: 'composer', year: 'year', split: 'split', dataset: 'data set', performer: 'performer' };

const state = {
  tracks: new Map(), query: null, file: null, hits: [], hit: -1, passageAt: null, on: null,
};
let running = null;

function notice(text) {
  $('notice').textContent = text;
  $('notice').hidden = !text;
}

// --- Decks ------------------------------------------------------------------------------

const deckA = new Deck($('deck-a'), '#1d5fa8', played);
const deckB = new Deck($('deck-b'), '#a8411d', played);

function played(deck) {
  const sounding = deckA.playing || deckB.playing;
  $('play').textContent = sounding ? 'Pause' : 'Play';
  if (deck === deckA) $('now').textContent = clock(deckA.time);
}

function turnOn(deck) {
  state.on = deck;
  for (const one of [deckA, deckB]) one.root.classList.toggle('on', one === deck);
  $('switch').textContent = deck === deckB ? 'Switch to query' : 'Switch to hit';
}

async function start(deck, from) {
  (deck === deckA ? deckB : deckA).pause();
  turnOn(deck);
  try {
    await deck.play(from);
  } catch (error) {
    notice(error.message);
  }
}

function togglePlay() {
  const deck = state.on || deckA;
  if (deck.playing) deck.pause();
  else start(deck);
}

const HOW = {
  notes: 'Aligned by notes', sound: 'Aligned by harmony', passage: 'Most similar passage', start: 'Start of the track',
};

function showMoment(found) {
  $('moment').textContent = `${HOW[found.how]} (confidence ${Math.round(100 * found.confidence)} %).`;
}

async function switchDeck() {
  const hit = state.hits[state.hit];
  if (!hit || !deckB.track || !deckA.track) return;
  const toB = state.on !== deckB;
  const [from, to] = toB ? [deckA, deckB] : [deckB, deckA];
  try {
    const found = await get('moment', { query: from.track, hit: to.track, time_s: from.time });
    showMoment(found);
    await start(to, found.time_s);
  } catch (error) {
    notice(error.message);
  }
}

async function loadDeck(deck, track) {
  $('player').hidden = false;
  const facts = state.tracks.get(track);
  try {
    await deck.load(track, facts?.label || track);
    return true;
  } catch (error) {
    if (deck.track === track) notice(error.message);
    return false;
  }
}

// --- Query ------------------------------------------------------------------------------

function listTracks() {
  const wanted = $('find').value.toLocaleLowerCase().split(/\s+/).filter(Boolean);
  const matching = [...state.tracks.values()].filter((track) => wanted.every((word) => track.text.includes(word)));
  const list = $('tracks');
  list.replaceChildren(...matching.slice(0, SHOWN).map((track) => {
    const row = create('li');
    const button = create('button', track.label, { type: 'button' });
    if (track.track_id === state.query) button.setAttribute('aria-current', 'true');
    const rest = [track.composer, track.performer, track.year, track.audio ? null : 'no audio'].filter(Boolean);
    button.append(create('small', rest.join(' · ')));
    button.addEventListener('click', () => choose(track.track_id));
    row.append(button);
    return row;
  }));
  const more = matching.length > SHOWN ? `, first ${SHOWN} shown` : '';
  $('found').textContent = `${matching.length} of ${state.tracks.size} tracks${more}`;
}

async function choose(track) {
  notice('');
  deckA.pause(); deckB.pause(); deckB.empty();
  Object.assign(state, { query: track, file: null, passageAt: null, hits: [], hit: -1 });
  $('upload-state').textContent = '';
  listTracks();
  turnOn(deckA);
  $('moment').textContent = '';
  $('passage-line').hidden = false;
  for (const name of ['same-work', 'other-performer']) $(name).disabled = false;
  loadDeck(deckA, track);
  await search();
}

function addSuggestions(suggestions) {
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

async function chooseFile() {
  const file = $('file').files[0];
  if (!file) return;
  notice('');
  deckA.pause(); deckB.pause(); deckA.empty(); deckB.empty();
  Object.assign(state, { query: null, file, passageAt: null, hits: [], hit: -1 });
  for (const name of ['same-work', 'other-performer']) {
    $(name).checked = false;
    $(name).disabled = true;
  }
  $('passage-line').hidden = true;
  listTracks();
  await search();
}

function filters() {
  return [...document.querySelectorAll('#selects select')].filter((one) => one.value)
    .map((one) => `${one.dataset.column}=${one.value}`);
}

async function search() {
  if (!state.query && !state.file) return;
  running?.abort();
  const mine = running = new AbortController();
  const common = { where: filters(), k: 20 };
  const relations = { same_work: $('same-work').checked, other_performer: $('other-performer').checked };
  $('results').setAttribute('aria-busy', 'true');
  try {
    let found;
    if (state.file) {
      $('upload-state').textContent = `Analysing ${state.file.name}…`;
      found = await post('query', { ...common, ...ranking(), name: state.file.name }, state.file);
      $('upload-state').textContent = `Hits for ${state.file.name}.`;
    } else if (state.passageAt !== null) {
      found = await get('passages', { ...common, ...relations, track: state.query, start_s: state.passageAt }, mine.signal);
    } else {
      found = await get('similar', { ...common, ...relations, ...ranking(), track: state.query }, mine.signal);
    }
    if (running !== mine) return;
    notice('');
    state.hits = found.hits;
    state.hit = -1;
    showHits(found);
  } catch (error) {
    if (error.name === 'AbortError' || running !== mine) return;
    state.hits = [];
    showHits({ hits: [] });
    if (state.file) $('upload-state').textContent = `${state.file.name} could not be used as a query.`;
    notice(error.message);
  } finally {
    if (running === mine) $('results').removeAttribute('aria-busy');
  }
}

// --- Hits -------------------------------------------------------------------------------

function bars(parts) {
  const names = Object.keys(parts);
  const grid = create('div', '', { class: 'bars' });
  const largest = Math.max(1, ...names.map((name) => Math.abs(parts[name])));
  for (const name of names) {
    const track = create('i'), bar = create('b');
    const wide = 50 * Math.abs(parts[name]) / largest;
    bar.style.width = `${wide}%`;
    bar.style.left = `${parts[name] < 0 ? 50 - wide : 50}%`;
    if (parts[name] < 0) bar.className = 'minus';
    track.append(bar);
    grid.append(create('span', name.replace('_', ' ')), track, create('span', parts[name].toFixed(3)));
  }
  return grid;
}

function showHits(found) {
  $('notes').replaceChildren(...(found.notes || []).map((note) => create('li', note)));
  $('hits').replaceChildren(...state.hits.map((hit, index) => {
    const facts = state.tracks.get(hit.track_id) || { label: hit.track_id };
    const row = create('li');
    const button = create('button', '', { class: 'main', type: 'button' });
    button.append(create('span', hit.score.toFixed(3), { class: 'score' }), `${hit.rank}. ${facts.label}`);
    const where = hit.start_s === undefined ? null : `${clock(hit.start_s)} to ${clock(hit.end_s)}`;
    const rest = [where, facts.composer, facts.performer, facts.year, facts.audio ? null : 'no audio'];
    button.append(create('small', rest.filter(Boolean).join(' · ')));
    button.addEventListener('click', () => playHit(index));
    row.append(button);
    if (hit.parts && Object.keys(hit.parts).length) row.append(bars(hit.parts));
    if (state.query) row.append(why(hit.track_id));
    return row;
  }));
  showQuery(found);
  map.mark(state.query, state.hits.map((hit) => hit.track_id));
  $('whole').hidden = state.passageAt === null;
  $('switch').disabled = true;
}

function showQuery(found) {
  const name = state.file ? state.file.name : state.tracks.get(state.query)?.label;
  const modes = Object.entries(found.modes || {}).map(([aspect, how]) => `${aspect} (${how})`);
  const part = state.passageAt !== null && found.query
    ? ` from ${clock(found.query.start_s)} to ${clock(found.query.end_s)}` : '';
  const { head } = ranking();
  const by = state.passageAt !== null ? 'passage similarity'
    : head ? `the learned head ${head}` : modes.join(', ') || 'overall similarity';
  $('query-line').textContent = `${state.hits.length} hits similar to ${name}${part}, ranked by ${by}.`;
}

function why(hit) {
  const details = create('details', '', { class: 'why' });
  details.append(create('summary', 'Why'));
  details.addEventListener('toggle', async () => {
    if (!details.open || details.children.length > 1) return;
    const box = create('div', '', { class: 'scroll', tabindex: '0', role: 'region', 'aria-label': 'Why this hit is similar' });
    details.append(box);
    try {
      const found = await get('explain', { query: state.query, hit });
      const table = create('table');
      const head = table.createTHead().insertRow();
      for (const title of ['aspect', 'percentile', 'target', 'query', 'hit']) head.append(create('th', title, { scope: 'col' }));
      const body = table.createTBody();
      for (const one of found.rows) {
        const number = (value) => (value === null ? 'unknown' : `${Number(value.toPrecision(3))} ${one.unit}`);
        const row = body.insertRow();
        const cells = [one.aspect, Math.round(one.percentile), one.target, number(one.query), number(one.hit)];
        row.append(...cells.map((text) => create('td', text)));
      }
      box.append(table);
    } catch (error) {
      box.textContent = error.message;
    }
  });
  return details;
}

async function playHit(index) {
  const hit = state.hits[index];
  if (!hit) return;
  notice('');
  state.hit = index;
  [...$('hits').children].forEach((row, number) => {
    if (number === index) row.setAttribute('aria-current', 'true');
    else row.removeAttribute('aria-current');
  });
  $('hits').children[index].scrollIntoView({ block: 'nearest' });
  deckA.pause();
  if (hit.track_id !== deckB.track) deckB.pause();
  if (!(await loadDeck(deckB, hit.track_id)) || state.hit !== index) return;
  $('switch').disabled = !state.query;
  let from = hit.start_s ?? 0;
  if (hit.start_s === undefined && state.query) {
    try {
      const found = await get('moment', { query: state.query, hit: hit.track_id, time_s: deckA.time });
      showMoment(found);
      from = found.time_s;
    } catch (error) {
      notice(error.message);
    }
  }
  if (state.hit === index) await start(deckB, from);
}

// --- Set up -----------------------------------------------------------------------------

const map = new LibraryMap($('map'), $('map-line'), choose);

let timer = 0;

function weightsChanged() {
  clearTimeout(timer);
  state.passageAt = null;
  timer = setTimeout(search, state.file ? 600 : 60);
}

function addFilters() {
  $('selects').replaceChildren(...Object.entries(FILTERS).map(([column, name]) => {
    const values = [...new Set([...state.tracks.values()].map((track) => track[column]).filter((value) => value !== null))];
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

async function open() {
  let found;
  try {
    found = await get('library');
  } catch (error) {
    notice(error.message);
    return;
  }
  if (found.state !== 'ready') {
    notice(`There is no library here yet. ${found.problem}`);
    $('query-line').textContent = 'Nothing to search yet.';
    $('find').disabled = $('file').disabled = true;
    return;
  }
  $('encoder').textContent = `${found.tracks.length} tracks, encoder ${found.encoder}`
    + (found.untrained ? ' (untrained control: rankings are not musically meaningful)' : '');
  for (const track of found.tracks) {
    track.label = track.title || track.track_id;
    track.text = [track.track_id, track.title, track.composer, track.performer, track.year].join(' ').toLocaleLowerCase();
    state.tracks.set(track.track_id, track);
  }
  addSliders(found.aspects, weightsChanged);
  addHeads(found.heads, weightsChanged);
  addFilters();
  addColours();
  listTracks();
  const linked = new URLSearchParams(window.location.search).get('track');
  if (state.tracks.has(linked)) choose(linked);
  addSuggestions(found.suggestions);
  await drawMap();
}

async function drawMap() {
  try {
    map.fill(await get('map', { by: $('placed-by').value }), state.tracks, $('coloured-by').value);
  } catch (error) {
    $('map-line').textContent = `No map available: ${error.message}`;
  }
}

function addColours() {
  const columns = Object.keys(FILTERS).filter((column) => new Set([...state.tracks.values()].map((track) => track[column])).size > 1);
  $('coloured-by').replaceChildren(...columns.map((column) => create('option', FILTERS[column], { value: column })));
}

function view(name) {
  for (const one of ['map', 'heatmap']) {
    $(`${one}-view`).hidden = one !== name;
    $(`show-${one}`).setAttribute('aria-pressed', String(one === name));
  }
  if (name === 'heatmap') drawHeatmap($('heatmap-view'));
}

$('find').addEventListener('input', listTracks);
$('file').addEventListener('change', chooseFile);
$('play').addEventListener('click', togglePlay);
$('switch').addEventListener('click', switchDeck);
$('placed-by').addEventListener('change', drawMap);
$('coloured-by').addEventListener('change', drawMap);
$('show-map').addEventListener('click', () => view('map'));
$('show-heatmap').addEventListener('click', () => view('heatmap'));
$('same-work').addEventListener('change', search);
$('other-performer').addEventListener('change', search);
$('passages').addEventListener('click', () => { state.passageAt = deckA.time; search(); });
$('whole').addEventListener('click', () => { state.passageAt = null; search(); });
$('clear').addEventListener('click', () => { clearWeights(); state.passageAt = null; search(); });
document.addEventListener('keydown', (event) => {
  if (event.ctrlKey || event.metaKey || event.altKey) return;
  const typing = event.target.matches('input[type=search], select, textarea');
  if (typing || (event.key === ' ' && event.target.matches('button, summary, input'))) return;
  const act = {
    ' ': togglePlay, b: switchDeck, '/': () => $('find').focus(),
    j: () => playHit(Math.min(state.hit + 1, state.hits.length - 1)), k: () => playHit(Math.max(state.hit - 1, 0)),
  }[event.key];
  if (!act) return;
  event.preventDefault();
  act();
});

open();
