// Controls of the ranking: weights of the aspects, or a learned head.
import { create } from './elements.js';

const $ = (id) => document.getElementById(id);
const sliders = () => [...document.querySelectorAll('#sliders input')];

export function addSliders(aspects, changed) {
  $('sliders').replaceChildren(...aspects.map((aspect) => {
    const row = create('div', '', { class: aspect.available ? 'aspect' : 'aspect off' });
    const id = `weight-${aspect.name}`;
    const slider = create('input', '', {
      type: 'range', id, min: -1, max: 1, step: 0.1, value: 0, 'data-aspect': aspect.name, 'aria-describedby': `${id}-said`,
    });
    slider.disabled = !aspect.available;
    const shown = create('output', '0', { for: id });
    slider.addEventListener('input', () => {
      shown.textContent = Number(slider.value).toFixed(1).replace(/^-?0\.0$/, '0');
      $('head').value = '';
      showHead();
      changed();
    });
    const details = aspect.available
      ? `confidence ${aspect.confidence}, ${aspect.r2 === null ? aspect.reason : `R² ${aspect.r2.toFixed(2)}`}`
      : `unavailable: ${aspect.reason}`;
    row.append(create('label', aspect.name.replace('_', ' '), { for: id }), slider, shown, create('small', details, { id: `${id}-said` }));
    return row;
  }));
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
    if (slider.disabled || !(slider.dataset.aspect in weights)) continue;
    slider.value = weights[slider.dataset.aspect];
    slider.nextElementSibling.textContent = Number(slider.value).toFixed(1);
  }
}

export function clearWeights() {
  resetSliders();
  $('head').value = '';
  showHead();
}

// Query parameters of the ranking. A head cannot be combined with aspects.
export function ranking() {
  const head = $('head').value;
  if (head) return { head };
  const weights = sliders().filter((one) => Number(one.value) !== 0);
  return { aspects: weights.map((one) => `${one.dataset.aspect}=${one.value}`).join(',') };
}
