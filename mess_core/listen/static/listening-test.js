// Listening test: presents one triplet after another and preloads the clips of the next one.
import { $ } from './elements.js';
import { get, getAudio, post } from './api.js';

const SLOTS = ['x', 'left', 'right'];
const LABELS = { x: 'X', left: 'A', right: 'B' };
const ENOUGH_S = 2; // a clip counts as heard after this time, or at its end
const LONGEST_S = 3600; // longest response time; a break is recorded as this
const TOKEN = /^[a-z0-9]{12}$/;

const state = {
  listener: null, open: null, next: null, last: null, began: 0, busy: false, answered: 0, total: 0, summary: null,
};

function notice(text) {
  $('notice').textContent = text;
  $('notice').hidden = !text;
}

// --- Listener ---------------------------------------------------------------------------

// Without storage (for example in a private window), only the URL identifies the listener.
function storedListener(value) {
  try {
    if (value) localStorage.setItem('mess-listener', value);
    return localStorage.getItem('mess-listener') ?? localStorage.getItem('mess-judge'); // earlier key
  } catch {
    return null;
  }
}

// Whether keyboard shortcuts are on. Single-key shortcuts can interfere with speech input.
function shortcutsOn(value) {
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

const listenerInUrl = () => {
  const hash = new URLSearchParams(window.location.hash.slice(1));
  return hash.get('listener') ?? hash.get('judge'); // earlier links
};

function setListener(listener) {
  state.listener = listener;
  storedListener(listener);
  history.replaceState(null, '', `#listener=${listener}`);
  $('own').href = `#listener=${listener}`;
  $('listener').textContent = listener;
}

// --- Clips ------------------------------------------------------------------------------

// A triplet with its three clips, ready to play.
class Trial {
  constructor(question) {
    this.question = question;
    this.clips = {};
    this.ready = Promise.all(SLOTS.map((slot) => this.fetch(slot)));
    this.ready.catch(() => {}); // reported when the trial is shown
  }

  async fetch(slot) {
    const url = URL.createObjectURL(await getAudio(this.question.clips[slot]));
    const audio = new Audio(url);
    const clip = { audio, url, plays: 0, furthest: 0, heard: false };
    this.clips[slot] = clip;
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

  get heard() { return SLOTS.every((slot) => this.clips[slot]?.heard); }

  close() {
    this.pause();
    for (const clip of Object.values(this.clips)) URL.revokeObjectURL(clip.url);
  }
}

async function toggle(slot) {
  const clip = state.open?.clips[slot];
  if (!clip || state.busy || $('triplet').hidden) return;
  const { audio } = clip;
  if (!audio.paused) {
    audio.pause();
    return;
  }
  state.open.pause();
  // The clip played last resumes where it stopped. The others start again from the beginning.
  if (state.last !== slot) audio.currentTime = 0;
  state.last = slot;
  if (audio.ended || audio.currentTime === 0) clip.plays += 1;
  try {
    await audio.play();
  } catch (error) {
    if (error.name !== 'AbortError') notice(`The browser cannot play ${LABELS[slot]}: ${error.message}`);
  }
}

function draw() {
  const { open } = state;
  for (const root of document.querySelectorAll('.clip')) {
    const clip = open?.clips[root.dataset.place];
    const playing = Boolean(clip && !clip.audio.paused && !clip.audio.ended);
    root.classList.toggle('on', playing);
    root.classList.toggle('done', Boolean(clip?.heard));
    root.querySelector('button').disabled = !clip || state.busy;
    root.querySelector('.act').textContent = playing ? 'Pause' : 'Play';
    const part = clip?.audio.duration ? clip.audio.currentTime / clip.audio.duration : 0;
    root.querySelector('i').style.width = `${100 * part}%`;
    const status = clip?.heard ? 'heard' : 'not heard yet';
    const line = root.querySelector('.heard');
    if (line.textContent !== status) line.textContent = status;
  }
  const ready = Boolean(open?.heard) && !state.busy;
  for (const button of document.querySelectorAll('.answers button')) button.disabled = !ready;
  const hint = ready ? 'You can answer now.' : state.busy ? 'Saving your answer.' : 'Listen to all three clips first.';
  if ($('hint').textContent !== hint) $('hint').textContent = hint;
}

// --- Questions --------------------------------------------------------------------------

function showProgress(found) {
  Object.assign(state, { answered: found.answered, total: found.total, summary: found });
  $('bar').max = Math.max(1, found.total);
  $('bar').value = found.answered;
  $('count').textContent = `${found.answered} of ${found.total}`;
}

function view(name) {
  for (const one of ['start', 'triplet', 'end']) $(one).hidden = one !== name;
}

// Starts loading the next trial.
function preload() {
  const { listener, open } = state;
  state.next = get('listening-test/plan', { listener, after: open.question.position })
    .then((found) => (found.triplet ? new Trial(found.triplet) : null));
  state.next.catch(() => {});
}

async function show(trial, retry = true) {
  if (state.open !== trial) state.open?.close();
  Object.assign(state, { open: trial, last: null, began: performance.now(), busy: false });
  $('later').hidden = true;
  if (!trial) {
    finish();
    return;
  }
  view('triplet');
  draw();
  $('question').focus();
  try {
    await trial.ready;
  } catch (error) {
    if (state.open !== trial) return;
    // The server may have been down for a moment while the clips were preloaded.
    if (retry) {
      await show(new Trial(trial.question), false);
      return;
    }
    notice(error.message);
    $('later').hidden = false;
  }
  if (state.open !== trial) return;
  state.began = performance.now();
  draw();
  preload();
}

function finish() {
  const { answered, total, summary } = state;
  const minutes = Math.max(1, Math.round(summary.minutes));
  const time = answered ? ` in ${minutes} minute${minutes === 1 ? '' : 's'}, typically `
    + `${Math.max(1, Math.round(summary.median_s))} s each` : '';
  $('summary').textContent = answered < total
    ? `You answered ${answered} of ${total} questions${time}. The other clips could not be played. Please open this page again later.`
    : `You answered all ${total} questions${time}. Your answers have been saved, and you can close this page.`;
  view('end');
  $('thanks').focus();
}

async function showNext() {
  let trial;
  try {
    trial = await state.next;
  } catch {
    trial = await loadCurrent(); // preloading failed
  }
  await show(trial);
}

async function loadCurrent() {
  const found = await get('listening-test/plan', { listener: state.listener });
  showProgress(found);
  return found.triplet ? new Trial(found.triplet) : null;
}

async function answer(side) {
  const { open } = state;
  if (!open?.heard || state.busy || $('triplet').hidden) return;
  open.pause();
  state.busy = true;
  draw();
  notice('');
  const { position, ticket } = open.question;
  const seconds = Math.min(LONGEST_S, (performance.now() - state.began) / 1000);
  const plays = Object.fromEntries(SLOTS.map((slot) => [slot, Math.min(1000, open.clips[slot].plays)]));
  const listened = Object.fromEntries(SLOTS.map((slot) => [slot, open.clips[slot].furthest]));
  const record = { listener: state.listener, position, ticket, answer: side, seconds, plays, listened };
  const focused = document.activeElement;
  let found;
  try {
    found = await post('listening-test/answer', {}, JSON.stringify(record));
  } catch (error) {
    if (state.open !== open) return;
    state.busy = false;
    draw();
    focused?.focus(); // the button lost focus when it was disabled
    notice(`Your answer has not been saved yet. ${error.message}`);
    return;
  }
  if (state.open !== open) return; // another listener has started in the meantime
  showProgress(found);
  await proceed();
}

async function proceed() {
  notice('');
  try {
    await showNext();
  } catch (error) {
    notice(error.message);
    showStart();
  }
}

function showStart() {
  $('standing').textContent = state.answered
    ? `You have answered ${state.answered} of ${state.total} questions.`
    : `There are ${state.total} questions. You can take a break at any time.`;
  $('begin').textContent = state.answered ? 'Continue' : 'Start';
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
  const linked = listenerInUrl();
  if (linked && !TOKEN.test(linked)) notice('This link does not contain a valid listener ID. You continue with the ID of this browser.');
  const saved = storedListener();
  setListener(TOKEN.test(linked || '') ? linked : TOKEN.test(saved || '') ? saved : newToken());
  let found;
  try {
    found = await get('listening-test/plan', { listener: state.listener });
  } catch (error) {
    notice(error.message);
    return;
  }
  if (found.state !== 'ready') {
    notice(`The test has not been prepared yet (${found.problem}).`);
    $('prepare').hidden = false;
    return;
  }
  showProgress(found);
  $('self').hidden = false;
  if (!found.triplet) {
    finish();
    return;
  }
  state.next = Promise.resolve(new Trial(found.triplet));
  showStart();
}

// Prepares the test on the server, and shows what runs.
async function prepare() {
  $('prepare').disabled = true;
  notice('');
  try {
    let found = await post('listening-test/prepare', {}, null);
    while (found.state === 'running') {
      $('prepare-said').textContent = `Step ${found.step + 1} of ${found.steps}: ${found.said}…`;
      $('prepare-bar').hidden = false;
      $('prepare-bar').max = found.steps;
      $('prepare-bar').value = found.step;
      await new Promise((done) => { setTimeout(done, 500); });
      found = await get('listening-test/prepare');
    }
    if (found.state === 'failed') throw new Error(found.said);
    $('prepare').hidden = true;
    $('prepare-said').textContent = '';
    await open();
  } catch (error) {
    notice(`The test cannot be prepared. ${error.message}`);
    $('prepare-said').textContent = '';
  } finally {
    $('prepare').disabled = false;
    $('prepare-bar').hidden = true;
  }
}

function startAsNewListener() {
  history.replaceState(null, '', `#listener=${newToken()}`);
  document.querySelector('#self details').open = false;
  open();
}

$('begin').addEventListener('click', proceed);
$('later').addEventListener('click', proceed);
$('prepare').addEventListener('click', prepare);
$('another').addEventListener('click', startAsNewListener);
$('use-keys').checked = shortcutsOn();
$('use-keys').addEventListener('change', () => shortcutsOn($('use-keys').checked));
for (const root of document.querySelectorAll('.clip')) {
  root.querySelector('button').addEventListener('click', () => toggle(root.dataset.place));
}
for (const button of document.querySelectorAll('.answers button')) {
  button.addEventListener('click', () => answer(button.dataset.answer));
}
window.addEventListener('hashchange', () => { if (listenerInUrl() !== state.listener) open(); });
document.addEventListener('keydown', (event) => {
  if (event.ctrlKey || event.metaKey || event.altKey || event.repeat) return;
  if (event.key === ' ' && event.target.matches('button, summary, a, input')) return;
  const key = event.key.length === 1 ? event.key.toLowerCase() : event.key;
  const act = {
    1: () => toggle('x'), x: () => toggle('x'), 2: () => toggle('left'), a: () => toggle('left'),
    3: () => toggle('right'), b: () => toggle('right'), ' ': () => toggle(state.last || 'x'),
    ArrowLeft: () => answer('left'), ArrowRight: () => answer('right'),
  }[key];
  if (!act || $('triplet').hidden || !shortcutsOn()) return;
  event.preventDefault();
  act();
});

open();
