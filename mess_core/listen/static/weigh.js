// Controls of the ranking: weights of the aspects, presets, or a learned head.
import { $, create } from './elements.js';

const sliders = () => [...document.querySelectorAll('#sliders input')];
const plain = (name) => name.replaceAll('_', ' ');
const DOTS = { high: '●●●', medium: '●●○', low: '●○○', none: '○○○' };

// What a person would ask for. `slower` and `other_work` leave out hits that do not meet them.
const PRESETS = [
  { name: 'same rubato, any tempo', aspects: { rubato: 1 } },
  { name: 'same touch, other piece', aspects: { legato: 0.6, articulation: 0.4 }, other_work: true },
  { name: 'like this, but slower', aspects: {}, slower: true },
  { name: 'same dynamics, other piece', aspects: { dynamics: 0.5, expressiveness: 0.5 }, other_work: true },
];

export function addSliders(aspects, changed) {
  const on = aspects.filter((aspect) => aspect.available), off = aspects.filter((aspect) => !aspect.available);
  $('sliders').replaceChildren(...on.map((aspect) => {
    const row = create('div', '', { class: 'aspect' });
    const id = `weight-${aspect.name}`;
    const slider = create('input', '', {
      type: 'range', id, min: -1, max: 1, step: 0.1, value: 0, 'data-aspect': aspect.name, 'aria-describedby': `${id}-said`,
    });
    const shown = create('output', '0', { for: id });
    slider.addEventListener('input', () => {
      shown.textContent = Number(slider.value).toFixed(1).replace(/^-?0\.0$/, '0');
      $('head').value = '';
      showHead();
      markPreset(null);
      changed();
    });
    const said = `confidence ${aspect.confidence}, ${aspect.r2 === null ? aspect.reason : `R² ${aspect.r2.toFixed(2)}`}`;
    const mark = create('span', DOTS[aspect.confidence] || '', { class: 'mark', title: said, 'aria-hidden': 'true' });
    row.append(create('label', plain(aspect.name), { for: id }), mark, slider, shown, create('span', said, { id: `${id}-said`, class: 'sr' }));
    return row;
  }));
  $('off').hidden = !off.length;
  $('off-count').textContent = `${off.length} not available with this encoder`;
  $('off-list').replaceChildren(...off.map((aspect) => {
    const item = create('li', '', { class: 'off' });
    item.append(create('b', plain(aspect.name)), `: ${aspect.reason}`);
    return item;
  }));
}

export function addPresets(changed) {
  const known = new Set(sliders().map((one) => one.dataset.aspect));
  const usable = PRESETS.filter((preset) => Object.keys(preset.aspects).every((name) => known.has(name)));
  $('presets').replaceChildren(...usable.map((preset) => {
    const button = create('button', preset.name, { type: 'button', 'aria-pressed': 'false', 'data-preset': preset.name });
    button.addEventListener('click', () => {
      const chosen = button.getAttribute('aria-pressed') !== 'true';
      setWeights(chosen ? preset.aspects : {});
      markPreset(chosen ? preset.name : null);
      changed();
    });
    return button;
  }));
}

export function markPreset(name) {
  for (const one of document.querySelectorAll('#presets button')) one.setAttribute('aria-pressed', String(one.dataset.preset === name));
}

export function preset() {
  const name = document.querySelector('#presets button[aria-pressed=true]')?.dataset.preset;
  return PRESETS.find((one) => one.name === name) || {};
}

export function addHeads(heads, changed) {
  $('heads').hidden = !heads.length;
  $('head').replaceChildren(create('option', 'none', { value: '' }), ...heads.map((head) => {
    const option = create('option', head.available ? head.name : `${head.name} (unavailable)`, { value: head.name });
    option.dataset.verdict = `Leaderboard: ${head.verdict || 'not compared yet'}.`;
    option.disabled = !head.available;
    return option;
  }));
  const off = heads.find((head) => !head.available);
  $('heads').dataset.off = off ? `Unavailable: ${off.reason}` : '';
  showHead();
  $('head').addEventListener('change', () => {
    if ($('head').value) resetSliders();
    markPreset(null);
    showHead();
    changed();
  });
}

function showHead() {
  $('head-said').textContent = $('head').selectedOptions[0]?.dataset.verdict || $('heads').dataset.off || '';
}

function resetSliders() {
  for (const slider of sliders()) {
    slider.value = 0;
    slider.nextElementSibling.textContent = '0';
  }
}

export function setWeights(weights) {
  clearWeights();
  for (const slider of sliders()) {
    if (!(slider.dataset.aspect in weights)) continue;
    slider.value = weights[slider.dataset.aspect];
    slider.nextElementSibling.textContent = Number(slider.value).toFixed(1);
  }
}

export function setHead(name) {
  if ([...$('head').options].some((one) => one.value === name && !one.disabled)) $('head').value = name;
  showHead();
}

export function clearWeights() {
  resetSliders();
  markPreset(null);
  $('head').value = '';
  showHead();
}

export function weights() {
  return Object.fromEntries(sliders().filter((one) => Number(one.value) !== 0).map((one) => [one.dataset.aspect, Number(one.value)]));
}

// Query parameters of the ranking. A head cannot be combined with aspects.
export function ranking() {
  const head = $('head').value;
  if (head) return { head };
  return { aspects: Object.entries(weights()).map(([name, value]) => `${name}=${value}`).join(',') };
}
