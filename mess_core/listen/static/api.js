// Every request of the page goes through here; what goes wrong becomes one Error to show.

async function answer(response) {
  const type = response.headers.get('content-type') || '';
  const found = type.includes('json') ? await response.json() : null;
  if (response.ok && found) return found;
  const detail = Array.isArray(found?.detail) ? found.detail.map((one) => one.msg).join('; ') : null;
  throw new Error(found?.problem || detail || `The server answered ${response.status}.`);
}

async function reached(url, options) {
  try {
    return await fetch(url, options);
  } catch (error) {
    if (error.name === 'AbortError') throw error;
    throw new Error('The server does not answer. Is `mess listen` still running?');
  }
}

const sent = async (url, options) => answer(await reached(url, options));

export function address(name, parameters = {}) {
  const query = new URLSearchParams();
  for (const [key, value] of Object.entries(parameters)) {
    for (const one of Array.isArray(value) ? value : [value]) query.append(key, one);
  }
  return `/api/${name}?${query}`;
}

export const ask = (name, parameters, signal) => sent(address(name, parameters), { signal });

export const send = (name, parameters, body) => sent(address(name, parameters), { method: 'POST', body });

// A sound as a whole, so that it starts at once when it is asked for.
export async function sound(url) {
  const response = await reached(url);
  return response.ok ? response.blob() : answer(response);
}
