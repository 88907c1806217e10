// Rows of the list of hits, and the small picture of why each is there.
import { get } from './api.js';
import { create } from './elements.js';
import { clock } from './player.js';

const plain = (name) => name.replaceAll('_', ' ');
const figure = (value) => (value === null ? 'unknown' : String(Number(value.toPrecision(3))));

export function hitRow(hit, facts, { play, compare, query }) {
  const row = create('li');
  const button = create('button', '', { class: 'main', type: 'button' });
  button.append(create('span', hit.score.toFixed(3), { class: 'score' }), `${hit.rank}. ${facts.label}`);
  const where = hit.start_s === undefined ? null : `${clock(hit.start_s)} to ${clock(hit.end_s)}`;
  const rest = [where, facts.composer, facts.performer, facts.year, facts.audio ? null : 'no audio'];
  button.append(create('small', rest.filter(Boolean).join(' · ')));
  button.addEventListener('click', play);
  row.append(button);
  if (!query) return row;
  const reason = create('div', '', { class: 'reason' });
  row.append(reason);
  const line = create('div', '', { class: 'line' });
  if (compare) {
    const open = create('button', 'Compare', { type: 'button', class: 'compare-hit', 'aria-label': `Compare with ${facts.label}` });
    open.addEventListener('click', compare);
    line.append(open);
  }
  line.append(everything(query, hit.track_id));
  row.append(line);
  return row;
}

// Bars of percentiles for the wanted aspects, and what is nearest and farthest, in words.
export function fillReason(row, reason, weights) {
  const box = row.querySelector('.reason');
  if (!box || !reason) return;
  const wanted = Object.keys(weights).filter((name) => name in reason.percentiles);
  const ranked = Object.keys(reason.percentiles).sort((a, b) => reason.percentiles[b] - reason.percentiles[a]);
  const bars = create('div', '', { class: 'bars' });
  // Without a wish: the two aspects in which the hit is most similar, and the one in which it is least.
  for (const name of wanted.length ? wanted : [...new Set([...ranked.slice(0, 2), ...ranked.slice(-1)])]) {
    const share = reason.percentiles[name], bar = create('i'), filled = create('b');
    filled.style.width = `${share}%`;
    if (weights[name] < 0) filled.className = 'minus';
    bar.append(filled);
    bars.append(create('span', plain(name)), bar, create('span', `${Math.round(share)} %`));
  }
  bars.title = 'Share of the library that is less similar to the query than this hit, by aspect';
  const said = (one) => `${plain(one.target)} ${figure(one.query)} and ${figure(one.hit)}${one.unit === '1' ? '' : ` ${one.unit}`}`;
  const words = create('p', '', { class: 'quiet words' });
  if (reason.closest.length) words.append(create('b', 'alike: '), reason.closest.map(said).join('; '));
  if (reason.farthest.length) words.append(create('br'), create('b', 'apart: '), reason.farthest.map(said).join('; '));
  box.replaceChildren(bars, words);
}

function everything(query, hit) {
  const details = create('details', '', { class: 'why' });
  details.append(create('summary', 'All aspects'));
  details.addEventListener('toggle', async () => {
    if (!details.open || details.children.length > 1) return;
    const box = create('div', '', { class: 'scroll', tabindex: '0', role: 'region', 'aria-label': 'Why this hit is similar' });
    details.append(box);
    try {
      const found = await get('explain', { query, hit });
      const table = create('table');
      const head = table.createTHead().insertRow();
      for (const title of ['aspect', 'percentile', 'target', 'query', 'hit']) head.append(create('th', title, { scope: 'col' }));
      const body = table.createTBody();
      for (const one of found.rows) {
        const number = (value) => (value === null ? 'unknown' : `${figure(value)} ${one.unit}`);
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

export function hitsAsRows(hits, tracks) {
  const aspects = [...new Set(hits.flatMap((hit) => Object.keys(hit.parts || {})))];
  const head = ['rank', 'track_id', 'score', 'title', 'composer', 'performer', 'year', 'start_s', 'end_s', ...aspects];
  return [head, ...hits.map((hit) => {
    const facts = tracks.get(hit.track_id) || {};
    return [hit.rank, hit.track_id, hit.score, facts.title, facts.composer, facts.performer, facts.year,
      hit.start_s, hit.end_s, ...aspects.map((name) => hit.parts?.[name])];
  })];
}
