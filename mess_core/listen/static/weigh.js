// What hits are ranked by: aspects with weights, or a learned head.
import { made } from './elements.js';

const $ = (id) => document.getElementById(id);
const sliders = () => [...document.querySelectorAll('#sliders input')];

export function addSliders(aspects, changed) {
  $('sliders').replaceChildren(...aspects.map((aspect) => {
    const row = made('div', '', { class: aspect.available ? 'aspect' : 'aspect off' });
    const id = `weight-${aspect.name}`;
    const slider = made('input', '', {
      type: 'range', id, min: -1, max: 1, step: 0.1, value: 0, 'data-aspect': aspect.name, 'aria-describedby': `${id}-said`,
    });
    slider.disabled = !aspect.available;
    const shown = made('output', '0', { for: id });
    slider.addEventListener('input', () => {
      shown.textContent = Number(slider.value).toFixed(1).replace(/^-?0\.0$/, '0');
      $('head').value = '';
      tellHead();
      changed();
    });
    const said = aspect.available
      ? `confidence ${aspect.confidence}${aspect.r2 === null ? '' : `, R² ${aspect.r2.toFixed(2)}`}`
      : `unavailable: ${aspect.reason}`;
    row.append(made('label', aspect.name.replace('_', ' '), { for: id }), slider, shown, made('small', said, { id: `${id}-said` }));
    return row;
  }));
}

export function addHeads(heads, changed) {
  $('heads').hidden = !heads.length;
  $('head').replaceChildren(made('option', 'none', { value: '' }), ...heads.map((head) => {
    const option = made('option', head.available ? head.name : `${head.name} (unavailable)`, { value: head.name });
    option.dataset.said = `By the leaderboard: ${head.verdict || 'not compared yet'}.`;
    option.disabled = !head.available;
    return option;
  }));
  const off = heads.find((head) => !head.available);
  $('heads').dataset.off = off ? `Unavailable: ${off.reason}` : '';
  tellHead();
  $('head').addEventListener('change', () => {
    if ($('head').value) toZero();
    tellHead();
    changed();
  });
}

function tellHead() {
  $('head-said').textContent = $('head').selectedOptions[0]?.dataset.said || $('heads').dataset.off || '';
}

function toZero() {
  for (const slider of sliders()) {
    slider.value = 0;
    slider.nextElementSibling.textContent = '0';
  }
}

export function clearWeights() {
  toZero();
  $('head').value = '';
  tellHead();
}

// As the server takes it: a head has no aspects.
export function ranking() {
  const head = $('head').value;
  if (head) return { head };
  const weights = sliders().filter((one) => Number(one.value) !== 0);
  return { aspects: weights.map((one) => `${one.dataset.aspect}=${one.value}`).join(',') };
}
