// State and event handlers of the search page.
import { get, post } from './api.js';
import { create } from './elements.js';
import { readAddress, weightsOf, writeAddress } from './address.js';
import { Compare } from './compare.js';
import { saveCsv } from './export.js';
import { fillReason, hitRow, hitsAsRows } from './hits.js';
import { Layers } from './layers.js';
import { LibraryMap } from './map.js';
import { Deck, clock } from './player.js';
import {
  addHeads, addPresets, addSliders, clearWeights, markPreset, preset, ranking, setHead, setWeights, weights,
} from './weigh.js';

const $ = (id) => document.getElementById(id);
const SHOWN = 150, HITS = 20, BEFORE_CONDITIONS = 200, SLOWER = 0.93;
const FILTERS = { composer: 'composer', year: 'year', split: 'split', dataset: 'data set', performer: 'performer' };

const state = {
  tracks: new Map(), query: null, file: null, hits: [], hit: -1, passageAt: null, on: null, region: null, targets: null, order: null,
};
let running = null;

function notice(text) {
  $('notice').textContent = text;
  $('notice').hidden = !text;
}

// --- Decks ------------------------------------------------------------------------------

const deckA = new Deck($('deck-a'), '#1d5fa8', played, (start) => { state.passageAt = start; search(); });
const deckB = new Deck($('deck-b'), '#a8411d', played);

function played(deck) {
  const sounding = deckA.playing || deckB.playing;
  $('play').textContent = sounding ? 'Pause' : 'Play';
  if (deck === deckA) $('now').textContent = clock(deckA.time);
  if (!deck.playing) remember();
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

const compare = new Compare($('compare'), {
  playAt: (side, time) => start(side === 'a' ? deckA : deckB, time),
  now: () => {
    const deck = state.on === deckB ? deckB : deckA;
    return { side: deck === deckB ? 'b' : 'a', time: deck.time, loaded: Boolean(deck.wave) };
  },
});
compare.closed = () => remember();

const comparable = (hit) => state.query && hit && hit.track_id !== state.query
  && state.tracks.get(hit.track_id)?.work_id === state.tracks.get(state.query)?.work_id;

async function openComparison(index, { play = true } = {}) {
  const hit = state.hits[index];
  if (!comparable(hit)) return;
  const loading = play ? playHit(index) : pickHit(index);
  const name = (track) => [state.tracks.get(track)?.label, state.tracks.get(track)?.performer].filter(Boolean).join(', ');
  const shown = compare.show(state.query, hit.track_id, [name(state.query), name(hit.track_id)]);
  $('compare').scrollIntoView({ block: 'start' });
  await Promise.all([loading, shown]);
  remember();
}

function toggleComparison() {
  if (compare.open) compare.close();
  else openComparison(state.hit >= 0 ? state.hit : state.hits.findIndex(comparable), { play: false });
}

async function switchDeck() {
  const hit = state.hits[state.hit];
  if (!hit || !deckB.track || !deckA.track) return;
  const toB = state.on !== deckB;
  const [from, to] = toB ? [deckA, deckB] : [deckB, deckA];
  try {
    const { track } = to;
    const found = await get('moment', { query: from.track, hit: track, time_s: from.time });
    if (to.track !== track) return; // another hit has been chosen
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

async function choose(track) {
  notice('');
  deckA.pause(); deckB.pause(); deckB.empty();
  if (compare.open) compare.close();
  Object.assign(state, { query: track, file: null, passageAt: null, hits: [], hit: -1 });
  $('upload-state').textContent = '';
  listTracks();
  turnOn(deckA);
  $('moment').textContent = '';
  $('passage-line').hidden = false;
  for (const name of ['same-work', 'other-performer', 'other-work']) $(name).disabled = false;
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
  if (compare.open) compare.close();
  deckA.pause(); deckB.pause(); deckA.empty(); deckB.empty();
  Object.assign(state, { query: null, file, passageAt: null, hits: [], hit: -1 });
  for (const name of ['same-work', 'other-performer', 'other-work']) {
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
  const narrowed = conditions().length > 0;
  const common = { where: filters(), k: narrowed ? BEFORE_CONDITIONS : HITS };
  const relations = { same_work: $('same-work').checked, other_performer: $('other-performer').checked };
  $('results').setAttribute('aria-busy', 'true');
  try {
    let found;
    if (state.file) {
      $('upload-state').textContent = `Analysing ${state.file.name}…`;
      $('upload-progress').hidden = false;
      found = await post('query', { ...common, ...ranking(), name: state.file.name }, state.file, mine.signal);
      if (running !== mine) return;
      $('upload-state').textContent = `Hits for ${state.file.name}.`;
    } else if (state.passageAt !== null) {
      found = await get('passages', { ...common, ...relations, track: state.query, start_s: state.passageAt }, mine.signal);
    } else {
      found = await get('similar', { ...common, ...relations, ...ranking(), track: state.query }, mine.signal);
    }
    if (running !== mine) return;
    notice('');
    if (narrowed) found.hits = (await met(found.hits)).slice(0, HITS);
    if (running !== mine) return;
    state.hits = found.hits;
    state.hit = compare.open ? found.hits.findIndex((hit) => hit.track_id === compare.hit) : -1;
    if (compare.open && state.hit < 0) compare.close();
    showHits(found);
    remember();
    if (state.query && state.hits.length) explain(mine.signal);
  } catch (error) {
    if (error.name === 'AbortError' || running !== mine) return;
    state.hits = [];
    showHits({ hits: [] });
    if (state.file) $('upload-state').textContent = `${state.file.name} could not be used as a query.`;
    notice(error.message);
  } finally {
    if (running === mine) {
      $('results').removeAttribute('aria-busy');
      $('upload-progress').hidden = true;
    }
  }
}

// What the server does not filter by: tests of a hit, of which every one has to be met.
function conditions() {
  const wanted = [], { slower, other_work: otherWork } = preset();
  const own = state.tracks.get(state.query);
  if (($('other-work').checked || otherWork) && own) wanted.push((hit) => state.tracks.get(hit.track_id)?.work_id !== own.work_id);
  if (state.region) wanted.push((hit) => state.region.has(hit.track_id));
  if (slower && own) {
    wanted.push((hit, values) => {
      const [mine, theirs] = [values?.get(state.query), values?.get(hit.track_id)];
      return mine && theirs && theirs < SLOWER * mine;
    });
  }
  return wanted;
}

async function met(hits) {
  const values = preset().slower ? await valuesOf('tempo') : null;
  const wanted = conditions();
  return hits.filter((hit) => wanted.every((one) => one(hit, values))).map((hit, index) => ({ ...hit, rank: index + 1 }));
}

function targets() {
  state.targets ||= get('targets').catch((error) => { state.targets = null; throw error; });
  return state.targets;
}

async function valuesOf(target) {
  const found = await targets();
  const { values } = found.targets[target] || { values: [] };
  return new Map(found.track_ids.map((track, index) => [track, values[index]]));
}

async function explain(signal) {
  try {
    const found = await get('reasons', { query: state.query, hit: state.hits.map((hit) => hit.track_id) }, signal);
    const asked = weights();
    found.hits.forEach((reason, index) => {
      if (state.hits[index]?.track_id === reason.track_id) fillReason($('hits').children[index], reason, asked);
    });
  } catch (error) {
    if (error.name !== 'AbortError') notice(error.message);
  }
}

// --- Address ----------------------------------------------------------------------------

let restoring = false;

function remember() {
  if (restoring || !state.tracks.size) return;
  const hit = state.hits[state.hit];
  const { head, aspects } = ranking();
  writeAddress({
    track: state.query, aspects, head, hit: hit?.track_id, compare: compare.open, where: filters(),
    same_work: $('same-work').checked, other_performer: $('other-performer').checked, other_work: $('other-work').checked,
    preset: preset().name, passage: state.passageAt, on: hit && state.on !== deckB ? 'a' : '', at: hit && state.on === deckB ? deckB.time : state.query ? deckA.time : null,
  });
}

async function restore() {
  restoring = true;
  try {
    await restored(readAddress());
  } finally {
    restoring = false;
  }
}

async function restored(wanted) {
  if (!state.tracks.has(wanted.track)) return;
  if (wanted.aspects) setWeights(weightsOf(wanted.aspects));
  if (wanted.head) setHead(wanted.head);
  if (wanted.preset) markPreset(wanted.preset);
  for (const [id, name] of [['same-work', 'same_work'], ['other-performer', 'other_performer'], ['other-work', 'other_work']]) $(id).checked = wanted[name];
  for (const one of wanted.where) {
    const [column, value] = one.split(/=(.*)/s), select = document.querySelector(`#selects select[data-column="${CSS.escape(column)}"]`);
    if (select) select.value = value;
  }
  await choose(wanted.track);
  if (wanted.passage !== null) { state.passageAt = wanted.passage; await search(); }
  const index = state.hits.findIndex((hit) => hit.track_id === wanted.hit);
  if (index >= 0) {
    if (wanted.compare) await openComparison(index, { play: false });
    else await pickHit(index);
  }
  const deck = index >= 0 && wanted.on !== 'a' ? deckB : deckA;
  await deck.ready.catch(() => {}); // said already
  if (wanted.at !== null) deck.wave?.setTime(wanted.at);
  turnOn(deck);
}

// --- Hits -------------------------------------------------------------------------------

function showHits(found) {
  $('notes').replaceChildren(...(found.notes || []).map((note) => create('li', note)));
  $('hits').replaceChildren(...state.hits.map((hit, index) => hitRow(
    hit, state.tracks.get(hit.track_id) || { label: hit.track_id },
    { play: () => playHit(index), compare: comparable(hit) ? () => openComparison(index) : null, query: state.query },
  )));
  for (const name of ['save-hits', 'copy-link']) $(name).hidden = !state.hits.length;
  $('copy-link').hidden ||= !state.query;
  showQuery(found);
  map.mark(state.query, state.hits.map((hit) => hit.track_id));
  $('whole').hidden = state.passageAt === null;
  $('switch').disabled = true;
}

function showQuery(found) {
  const name = state.file ? state.file.name : state.tracks.get(state.query)?.label;
  const modes = Object.entries(found.modes || {}).map(([aspect, how]) => `${aspect} (${how})`);
  const among = conditions().length ? ` (of the ${BEFORE_CONDITIONS} most similar)` : '';
  const part = state.passageAt !== null && found.query
    ? ` from ${clock(found.query.start_s)} to ${clock(found.query.end_s)}` : '';
  const { head } = ranking();
  const by = state.passageAt !== null ? 'passage similarity'
    : head ? `the learned head ${head}` : modes.join(', ') || 'overall similarity';
  $('query-line').textContent = `${state.hits.length} hits similar to ${name}${part}, ranked by ${by}${among}.`;
}

// Marks a hit and loads it; returns whether it can be played and is still the one that is wanted.
async function pickHit(index) {
  const hit = state.hits[index];
  if (!hit) return false;
  notice('');
  state.hit = index;
  [...$('hits').children].forEach((row, number) => {
    if (number === index) row.setAttribute('aria-current', 'true');
    else row.removeAttribute('aria-current');
  });
  $('hits').children[index].scrollIntoView({ block: 'nearest' });
  deckA.pause();
  if (hit.track_id !== deckB.track) deckB.pause();
  if (compare.open && compare.hit !== hit.track_id) compare.close();
  if (!(await loadDeck(deckB, hit.track_id)) || state.hit !== index) return false;
  $('switch').disabled = !state.query;
  deckB.mark(hit.start_s, hit.end_s);
  return true;
}

async function playHit(index) {
  const hit = state.hits[index];
  if (!(await pickHit(index))) return;
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

const map = new LibraryMap($('map'), $('map-line'), { choose, selected: selectRegion });
const layers = new Layers($('heatmap-view'), choose);

function selectRegion(tracks) {
  state.region = tracks.length ? new Set(tracks) : null;
  $('region-line').hidden = !state.region;
  $('region-said').textContent = `only ${tracks.length} tracks selected on the map`;
  search();
}

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
  addPresets(weightsChanged);
  addHeads(found.heads, weightsChanged);
  addFilters();
  listTracks();
  addSuggestions(found.suggestions);
  addColours();
  await Promise.all([restore(), drawMap()]);
}

async function drawMap() {
  try {
    const by = $('placed-by').value;
    const found = await get('map', { by }), colour = await colouring();
    if ($('placed-by').value === by) map.fill(found, state.tracks, colour);
  } catch (error) {
    $('map-line').textContent = `No map available: ${error.message}`;
  }
}

async function recolour() {
  try {
    map.colour(await colouring());
  } catch (error) {
    notice(error.message);
  }
}

// How the map is coloured: by a fact of the tracks, or by a target.
async function colouring() {
  const name = $('coloured-by').value;
  if (!name.startsWith('target:')) {
    const numeric = name === 'year';
    return { name, numeric, unit: '', of: (track) => track[name] };
  }
  const target = name.slice(7), values = await valuesOf(target);
  const { unit } = (await targets()).targets[target];
  return { name: target.replaceAll('_', ' '), numeric: true, unit: unit === '1' ? '' : unit, of: (track) => values.get(track.track_id) };
}

function addColours() {
  const facts = { ...FILTERS, work_id: 'work' };
  const columns = Object.keys(facts).filter((column) => new Set([...state.tracks.values()].map((track) => track[column])).size > 1);
  $('coloured-by').replaceChildren(...columns.map((column) => create('option', facts[column], { value: column })));
  targets().then((found) => {
    const group = create('optgroup', '', { label: 'targets' });
    group.append(...Object.keys(found.targets).map((name) => create('option', name.replaceAll('_', ' '), { value: `target:${name}` })));
    $('coloured-by').append(group);
    $('order').append(...Object.keys(found.targets).map((name) => create('option', name.replaceAll('_', ' '), { value: name })));
  }).catch(() => { state.targets = null; });
}

function view(name) {
  for (const one of ['map', 'heatmap']) {
    $(`${one}-view`).hidden = one !== name;
    $(`show-${one}`).setAttribute('aria-pressed', String(one === name));
  }
  $('overview').classList.toggle('wide', name === 'heatmap');
  if (name === 'heatmap') layers.show(state.tracks);
}

function setTheme(name) {
  document.documentElement.dataset.theme = name;
  $('theme').textContent = name === 'dark' ? 'Light' : 'Dark';
  try { localStorage.setItem('mess-theme', name); } catch { /* storage is off: for this visit only */ }
  compare.draw();
  map.redraw();
  layers.drawTarget();
}

async function copyLink() {
  remember();
  try {
    await navigator.clipboard.writeText(window.location.href);
    $('copy-link').textContent = 'Copied';
  } catch {
    notice(`The link is in the address bar: ${window.location.href}`);
  }
  setTimeout(() => { $('copy-link').textContent = 'Copy link'; }, 2000);
}

$('find').addEventListener('input', listTracks);
$('order').addEventListener('change', async () => {
  const name = $('order').value;
  try {
    const values = name ? await valuesOf(name) : null;
    if ($('order').value !== name) return;
    state.order = name ? { name: name.replaceAll('_', ' '), values } : null;
    listTracks();
  } catch (error) {
    notice(error.message);
  }
});
$('file').addEventListener('change', chooseFile);
$('play').addEventListener('click', togglePlay);
$('switch').addEventListener('click', switchDeck);
$('placed-by').addEventListener('change', drawMap);
$('coloured-by').addEventListener('change', recolour);
$('show-map').addEventListener('click', () => view('map'));
$('show-heatmap').addEventListener('click', () => view('heatmap'));
$('same-work').addEventListener('change', search);
$('other-performer').addEventListener('change', search);
$('other-work').addEventListener('change', search);
$('region-off').addEventListener('click', () => selectRegion([]));
$('save-hits').addEventListener('click', () => saveCsv(hitsAsRows(state.hits, state.tracks), 'hits.csv'));
$('copy-link').addEventListener('click', copyLink);
$('theme').addEventListener('click', () => setTheme(document.documentElement.dataset.theme === 'dark' ? 'light' : 'dark'));
$('theme').textContent = document.documentElement.dataset.theme === 'dark' ? 'Light' : 'Dark';
$('passages').addEventListener('click', () => { state.passageAt = deckA.time; search(); });
$('whole').addEventListener('click', () => { state.passageAt = null; search(); });
$('clear').addEventListener('click', () => { clearWeights(); state.passageAt = null; search(); });
document.addEventListener('keydown', (event) => {
  if (event.ctrlKey || event.metaKey || event.altKey || event.repeat) return;
  const typing = event.target.matches('input[type=search], select, textarea');
  if (typing || (event.key === ' ' && event.target.matches('button, summary, input'))) return;
  const act = {
    ' ': togglePlay, b: switchDeck, '/': () => $('find').focus(),
    c: toggleComparison, m: () => view('map'), l: () => view('heatmap'),
    j: () => playHit(Math.min(state.hit + 1, state.hits.length - 1)), k: () => playHit(Math.max(state.hit - 1, 0)),
  }[event.key];
  if (!act) return;
  event.preventDefault();
  act();
});

open();
