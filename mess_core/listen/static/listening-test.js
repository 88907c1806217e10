// One listener, one triplet after another. Clips are fetched whole, the next triplet's in advance.
import { ask, send, sound } from './api.js';

const $ = (id) => document.getElementById(id);
const PLACES = ['x', 'left', 'right'];
const NAMES = { x: 'X', left: 'A', right: 'B' };
const ENOUGH_S = 2; // of a clip, or all of a shorter one, make it heard
const LONGEST_S = 3600; // who takes a break did not think for so long
const TOKEN = /^[a-z0-9]{12}$/;

const state = {
  listener: null, open: null, next: null, last: null, began: 0, busy: false, answered: 0, total: 0, summary: null,
};

function notice(text) {
  $('notice').textContent = text;
  $('notice').hidden = !text;
}

// --- Who listeners -------------------------------------------------------------------------

// Without storage (a private window) the address alone says who listeners.
function stored(value) {
  try {
    if (value) localStorage.setItem('mess-listener', value);
    return localStorage.getItem('mess-listener') ?? localStorage.getItem('mess-judge'); // its earlier name
  } catch {
    return null;
  }
}

// Whether letters and digits are keys: who dictates to the browser may not want that.
function keysOn(value) {
  try {
    if (value !== undefined) localStorage.setItem('mess-listener-keys', value ? 'on' : 'off');
    return localStorage.getItem('mess-listener-keys') !== 'off';
  } catch {
    return $('use-keys').checked;
  }
}

function newToken() {
  const letters = 'abcdefghijklmnopqrstuvwxyz0123456789';
  let token = '';
  while (token.length < 12) {
    // 252 is the largest multiple of 36 in a byte: all letters are equally likely.
    const [byte] = crypto.getRandomValues(new Uint8Array(1));
    if (byte < 252) token += letters[byte % 36];
  }
  return token;
}

const inAddress = () => {
  const given = new URLSearchParams(window.location.hash.slice(1));
  return given.get('listener') ?? given.get('judge'); // links from before the page was renamed
};

function become(listener) {
  state.listener = listener;
  stored(listener);
  history.replaceState(null, '', `#listener=${listener}`);
  $('own').href = `#listener=${listener}`;
  $('listener').textContent = listener;
}

// --- Clips ------------------------------------------------------------------------------

// A question with its three clips, each ready to play.
class Question {
  constructor(asked) {
    this.asked = asked;
    this.clips = {};
    this.ready = Promise.all(PLACES.map((place) => this.fetch(place)));
    this.ready.catch(() => {}); // told when the question is shown
  }

  async fetch(place) {
    const url = URL.createObjectURL(await sound(this.asked.clips[place]));
    const audio = new Audio(url);
    const clip = { audio, url, plays: 0, furthest: 0, heard: false };
    this.clips[place] = clip;
    audio.addEventListener('timeupdate', () => {
      clip.furthest = Math.max(clip.furthest, audio.currentTime);
      if (clip.plays && clip.furthest >= ENOUGH_S) clip.heard = true;
    });
    audio.addEventListener('ended', () => {
      clip.furthest = Math.max(clip.furthest, audio.duration || 0);
      clip.heard = true;
    });
    for (const event of ['timeupdate', 'play', 'pause', 'ended']) {
      audio.addEventListener(event, () => { if (state.open === this) draw(); });
    }
  }

  pause() {
    for (const clip of Object.values(this.clips)) clip.audio.pause();
  }

  get heard() { return PLACES.every((place) => this.clips[place]?.heard); }

  close() {
    this.pause();
    for (const clip of Object.values(this.clips)) URL.revokeObjectURL(clip.url);
  }
}

async function toggle(place) {
  const clip = state.open?.clips[place];
  if (!clip || state.busy || $('triplet').hidden) return;
  const { audio } = clip;
  if (!audio.paused) {
    audio.pause();
    return;
  }
  state.open.pause();
  // Only the clip that was heard last goes on where it stopped: others are compared from their start.
  if (state.last !== place) audio.currentTime = 0;
  state.last = place;
  if (audio.ended || audio.currentTime === 0) clip.plays += 1;
  try {
    await audio.play();
  } catch (error) {
    if (error.name !== 'AbortError') notice(`The browser cannot play ${NAMES[place]}: ${error.message}`);
  }
}

function draw() {
  const { open } = state;
  for (const root of document.querySelectorAll('.clip')) {
    const { place } = root.dataset;
    const clip = open?.clips[place];
    const playing = Boolean(clip && !clip.audio.paused && !clip.audio.ended);
    root.classList.toggle('on', playing);
    root.classList.toggle('done', Boolean(clip?.heard));
    root.querySelector('button').disabled = !clip || state.busy;
    root.querySelector('.act').textContent = playing ? 'Pause' : 'Play';
    const part = clip?.audio.duration ? clip.audio.currentTime / clip.audio.duration : 0;
    root.querySelector('i').style.width = `${100 * part}%`;
    const said = clip?.heard ? 'heard' : 'not heard yet';
    const line = root.querySelector('.heard');
    if (line.textContent !== said) line.textContent = said;
  }
  const able = Boolean(open?.heard) && !state.busy;
  for (const button of document.querySelectorAll('.answers button')) button.disabled = !able;
  const hint = able ? 'You can answer now.' : state.busy ? 'Keeping your answer.' : 'Listen to all three first.';
  if ($('hint').textContent !== hint) $('hint').textContent = hint;
}

// --- FoldQueries --------------------------------------------------------------------------

function progress(found) {
  Object.assign(state, { answered: found.answered, total: found.total, summary: found });
  $('bar').max = Math.max(1, found.total);
  $('bar').value = found.answered;
  $('count').textContent = `${found.answered} of ${found.total}`;
}

function view(name) {
  for (const one of ['start', 'triplet', 'end']) $(one).hidden = one !== name;
}

// Looks ahead: the question after the open one, its clips on their way.
function lookAhead() {
  const { listener, open } = state;
  state.next = ask('listening-test/plan', { listener, after: open.asked.position })
    .then((found) => (found.triplet ? new Question(found.triplet) : null));
  state.next.catch(() => {});
}

async function show(question, retry = true) {
  if (state.open !== question) state.open?.close();
  Object.assign(state, { open: question, last: null, began: performance.now(), busy: false });
  $('later').hidden = true;
  if (!question) {
    finish();
    return;
  }
  view('triplet');
  draw();
  $('question').focus();
  try {
    await question.ready;
  } catch (error) {
    if (state.open !== question) return;
    // What was fetched ahead may have met a server that was down for a moment.
    if (retry) {
      await show(new Question(question.asked), false);
      return;
    }
    notice(error.message);
    $('later').hidden = false;
  }
  if (state.open !== question) return;
  state.began = performance.now();
  draw();
  lookAhead();
}

function finish() {
  const { answered, total, summary } = state;
  const minutes = Math.max(1, Math.round(summary.minutes));
  const spent = answered ? ` in ${minutes} minute${minutes === 1 ? '' : 's'} of listening, mostly about `
    + `${Math.max(1, Math.round(summary.median_s))} s each` : '';
  $('summary').textContent = answered < total
    ? `You answered ${answered} of ${total} questions${spent}. The others could not be played; open this page again later.`
    : `You answered all ${total} questions${spent}. Every answer is kept; nothing more is to be done.`;
  view('end');
  $('thanks').focus();
}

async function onward() {
  let question;
  try {
    question = await state.next;
  } catch {
    question = await current(); // what was looked up ahead is lost: ask again
  }
  await show(question);
}

async function current() {
  const found = await ask('listening-test/plan', { listener: state.listener });
  progress(found);
  return found.triplet ? new Question(found.triplet) : null;
}

async function answer(place) {
  const { open } = state;
  if (!open?.heard || state.busy || $('triplet').hidden) return;
  open.pause();
  state.busy = true;
  draw();
  notice('');
  const { position, ticket } = open.asked;
  const seconds = Math.min(LONGEST_S, (performance.now() - state.began) / 1000);
  const plays = Object.fromEntries(PLACES.map((one) => [one, Math.min(1000, open.clips[one].plays)]));
  const listened = Object.fromEntries(PLACES.map((one) => [one, open.clips[one].furthest]));
  const record = { listener: state.listener, position, ticket, answer: place, seconds, plays, listened };
  const held = document.activeElement;
  let found;
  try {
    found = await send('listening-test/answer', {}, JSON.stringify(record));
  } catch (error) {
    if (state.open !== open) return;
    state.busy = false;
    draw();
    held?.focus(); // a button that was disabled has lost it
    notice(`This answer is not kept yet. ${error.message}`);
    return;
  }
  if (state.open !== open) return; // another listener began meanwhile
  progress(found);
  await goOn();
}

async function goOn() {
  notice('');
  try {
    await onward();
  } catch (error) {
    notice(error.message);
    invite();
  }
}

function invite() {
  $('standing').textContent = state.answered
    ? `${state.answered} of ${state.total} are answered.`
    : `${state.total} questions, in as many sittings as you like.`;
  $('begin').textContent = state.answered ? 'Go on' : 'Begin';
  $('begin').disabled = false;
  view('start');
}

// --- Set up -----------------------------------------------------------------------------

async function open() {
  notice('');
  view('start');
  $('begin').disabled = true;
  $('standing').textContent = '';
  state.open?.close();
  Object.assign(state, { open: null, next: null });
  const linked = inAddress();
  if (linked && !TOKEN.test(linked)) notice('The address names no listener, so you go on as the one of this browser.');
  const kept = stored();
  become(TOKEN.test(linked || '') ? linked : TOKEN.test(kept || '') ? kept : newToken());
  let found;
  try {
    found = await ask('listening-test/plan', { listener: state.listener });
  } catch (error) {
    notice(error.message);
    return;
  }
  if (found.state !== 'ready') {
    notice(`There is nothing to listen to here: ${found.problem}. ${found.remedy}, then reload this page.`);
    return;
  }
  progress(found);
  $('self').hidden = false;
  if (!found.triplet) {
    finish();
    return;
  }
  state.next = Promise.resolve(new Question(found.triplet));
  invite();
}

function startAnew() {
  history.replaceState(null, '', `#listener=${newToken()}`);
  document.querySelector('#self details').open = false;
  open();
}

$('begin').addEventListener('click', goOn);
$('later').addEventListener('click', goOn);
$('another').addEventListener('click', startAnew);
$('use-keys').checked = keysOn();
$('use-keys').addEventListener('change', () => keysOn($('use-keys').checked));
for (const root of document.querySelectorAll('.clip')) {
  root.querySelector('button').addEventListener('click', () => toggle(root.dataset.place));
}
for (const button of document.querySelectorAll('.answers button')) {
  button.addEventListener('click', () => answer(button.dataset.answer));
}
window.addEventListener('hashchange', () => { if (inAddress() !== state.listener) open(); });
document.addEventListener('keydown', (event) => {
  if (event.ctrlKey || event.metaKey || event.altKey || event.repeat) return;
  if (event.key === ' ' && event.target.matches('button, summary, a')) return;
  const key = event.key.length === 1 ? event.key.toLowerCase() : event.key;
  const act = {
    1: () => toggle('x'), x: () => toggle('x'), 2: () => toggle('left'), a: () => toggle('left'),
    3: () => toggle('right'), b: () => toggle('right'), ' ': () => toggle(state.last || 'x'),
    ArrowLeft: () => answer('left'), ArrowRight: () => answer('right'),
  }[key];
  if (!act || $('triplet').hidden || !keysOn()) return;
  event.preventDefault();
  act();
});

open();
