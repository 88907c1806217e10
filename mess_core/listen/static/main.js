// State and event handlers of the search page.
import { get, post } from './api.js';
import { $, create } from './elements.js';
import { copyLink, readAddress, weightsOf, writeAddress } from './address.js';
import { Compare } from './compare.js';
import { saveCsv } from './export.js';
import { fillReason, hitRow, hitsAsRows } from './hits.js';
import { conditions, met } from './conditions.js';
import { LibraryView } from './library-view.js';
import { Deck, clock } from './player.js';
import { FILTERS, addFilters, addSuggestions, filters, listTracks } from './query-panel.js';
import { valuesOf } from './target-values.js';
import { setTheme, themeIsDark } from './theme-button.js';
import {
  addHeads, addPresets, addSliders, clearWeights, markPreset, preset, ranking, setHead, setWeights, weights,
} from './weigh.js';

const HITS = 20, MOST = 2000; // what the server gives at most

const state = {
  tracks: new Map(), query: null, file: null, hits: [], hit: -1, passageAt: null, on: null, region: null, order: null,
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

async function choose(track) {
  notice('');
  deckA.pause(); deckB.pause(); deckB.empty();
  if (compare.open) compare.close();
  Object.assign(state, { query: track, file: null, passageAt: null, hits: [], hit: -1 });
  $('upload-state').textContent = '';
  listTracks(state, choose);
  turnOn(deckA);
  $('moment').textContent = '';
  $('passage-line').hidden = false;
  for (const name of ['same-work', 'other-performer', 'other-work']) $(name).disabled = false;
  loadDeck(deckA, track);
  await search();
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
  listTracks(state, choose);
  await search();
}

async function search() {
  if (!state.query && !state.file) return;
  running?.abort();
  const mine = running = new AbortController();
  const narrowed = conditions(wish()).length > 0;
  const common = { where: filters(), k: narrowed ? Math.min(state.tracks.size, MOST) : HITS };
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
    if (narrowed) found.hits = (await met(found.hits, wish())).slice(0, HITS);
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

// What of the hits the page itself filters by.
const wish = () => ({
  own: state.tracks.get(state.query), tracks: state.tracks, region: state.region, slower: preset().slower,
  otherWork: $('other-work').checked || preset().other_work,
});

async function explain(signal) {
  try {
    const found = await get('reasons', { query: state.query, hit: state.hits.map((hit) => hit.track_id) }, signal);
    const wanted = weights();
    found.hits.forEach((reason, index) => {
      if (state.hits[index]?.track_id === reason.track_id) fillReason($('hits').children[index], reason, wanted);
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
  overview.mark(state.hits.map((hit) => hit.track_id));
  $('whole').hidden = state.passageAt === null;
  $('switch').disabled = true;
}

function showQuery(found) {
  const name = state.file ? state.file.name : state.tracks.get(state.query)?.label;
  const modes = Object.entries(found.modes || {}).map(([aspect, how]) => `${aspect} (${how})`);
  const among = conditions(wish()).length && state.tracks.size > MOST ? ` (of the ${MOST} most similar)` : '';
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

const overview = new LibraryView({ tracks: state.tracks, notice, query: () => state.query, choose, selected: selectRegion });

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
  addFilters(state.tracks, search);
  listTracks(state, choose);
  addSuggestions(found.suggestions, state, choose);
  overview.addColours({ ...FILTERS, work_id: 'work' }, found.aspects.filter((one) => one.available).map((one) => one.name));
  await Promise.all([restore(), overview.drawMap()]);
}

function changeTheme() {
  setTheme(!themeIsDark());
  compare.draw();
  overview.redraw();
}

async function shareLink() {
  remember();
  if (!(await copyLink())) {
    notice(`The link is in the address bar: ${window.location.href}`);
    return;
  }
  $('copy-link').textContent = 'Copied';
  setTimeout(() => { $('copy-link').textContent = 'Copy link'; }, 2000);
}

$('find').addEventListener('input', () => listTracks(state, choose));
$('order').addEventListener('change', async () => {
  const name = $('order').value;
  try {
    const values = name ? await valuesOf(name) : null;
    if ($('order').value !== name) return;
    state.order = name ? { name: name.replaceAll('_', ' '), values } : null;
    listTracks(state, choose);
  } catch (error) {
    notice(error.message);
  }
});
$('file').addEventListener('change', chooseFile);
$('play').addEventListener('click', togglePlay);
$('switch').addEventListener('click', switchDeck);
$('same-work').addEventListener('change', search);
$('other-performer').addEventListener('change', search);
$('other-work').addEventListener('change', search);
$('region-off').addEventListener('click', () => selectRegion([]));
$('save-hits').addEventListener('click', () => saveCsv(hitsAsRows(state.hits, state.tracks), 'hits.csv'));
$('copy-link').addEventListener('click', shareLink);
$('theme').addEventListener('click', changeTheme);
$('passages').addEventListener('click', () => { state.passageAt = deckA.time; search(); });
$('whole').addEventListener('click', () => { state.passageAt = null; search(); });
$('clear').addEventListener('click', () => { clearWeights(); state.passageAt = null; search(); });
document.addEventListener('keydown', (event) => {
  if (event.ctrlKey || event.metaKey || event.altKey || event.repeat) return;
  const typing = event.target.matches('input[type=search], select, textarea');
  if (typing || (event.key === ' ' && event.target.matches('button, summary, input'))) return;
  const act = {
    ' ': togglePlay, b: switchDeck, '/': () => $('find').focus(),
    c: toggleComparison, m: () => overview.show('map'), l: () => overview.show('heatmap'),
    j: () => playHit(Math.min(state.hit + 1, state.hits.length - 1)), k: () => playHit(Math.max(state.hit - 1, 0)),
  }[event.key];
  if (!act) return;
  event.preventDefault();
  act();
});

open();
