// The state of the page in its address, so that a link reproduces it.

const FLAGS = ['same_work', 'other_performer', 'other_work', 'compare'];
const TEXTS = ['track', 'hit', 'aspects', 'head', 'preset', 'on'];
const NUMBERS = ['at', 'passage'];

export function readAddress() {
  const found = new URLSearchParams(window.location.search), state = { where: found.getAll('where') };
  for (const name of TEXTS) state[name] = found.get(name) || '';
  for (const name of FLAGS) state[name] = found.get(name) === '1';
  for (const name of NUMBERS) {
    const value = Number.parseFloat(found.get(name));
    state[name] = Number.isFinite(value) && value >= 0 ? value : null;
  }
  return state;
}

export function writeAddress(state) {
  const query = new URLSearchParams();
  for (const name of TEXTS) if (state[name]) query.set(name, state[name]);
  for (const name of FLAGS) if (state[name]) query.set(name, '1');
  for (const name of NUMBERS) if (state[name] !== null && state[name] !== undefined) query.set(name, state[name].toFixed(1));
  for (const one of state.where || []) query.append('where', one);
  const text = query.toString();
  const address = text ? `?${text}` : window.location.pathname;
  if (address !== (window.location.search || window.location.pathname)) window.history.replaceState(null, '', address);
}

export function weightsOf(text) {
  return Object.fromEntries(text.split(',').map((part) => part.split('='))
    .map(([name, value]) => [name, Number(value)]).filter(([name, value]) => name && Number.isFinite(value)));
}

// Copies the address; returns whether the browser allowed it.
export async function copyLink() {
  try {
    await navigator.clipboard.writeText(window.location.href);
    return true;
  } catch {
    return false;
  }
}
