// Every request of the page goes through here; what goes wrong becomes one Error to show.

async function answer(response) {
  const type = response.headers.get('content-type') || '';
  const found = type.includes('json') ? await response.json() : null;
  if (response.ok && found) return found;
  const detail = Array.isArray(found?.detail) ? found.detail.map((one) => one.msg).join('; ') : null;
  throw new Error(found?.problem || detail || `The server answered ${response.status}.`);
}

async function sent(url, options) {
  let response;
  try {
    response = await fetch(url, options);
  } catch (error) {
    if (error.name === 'AbortError') throw error;
    throw new Error('The server does not answer. Is `mess listen` still running?');
  }
  return answer(response);
}

export function address(name, parameters = {}) {
  const query = new URLSearchParams();
  for (const [key, value] of Object.entries(parameters)) {
    for (const one of Array.isArray(value) ? value : [value]) query.append(key, one);
  }
  return `/api/${name}?${query}`;
}

export const ask = (name, parameters, signal) => sent(address(name, parameters), { signal });

export const send = (name, parameters, body) => sent(address(name, parameters), { method: 'POST', body });
