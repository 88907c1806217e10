// All requests to the server. Every failure becomes an Error with a message to show.

async function parse(response) {
  const type = response.headers.get('content-type') || '';
  const found = type.includes('json') ? await response.json() : null;
  if (response.ok && found) return found;
  const detail = Array.isArray(found?.detail) ? found.detail.map((one) => one.msg).join('; ') : null;
  throw new Error(found?.problem || detail || `The server returned status ${response.status}.`);
}

async function request(url, options) {
  try {
    return await fetch(url, options);
  } catch (error) {
    if (error.name === 'AbortError') throw error;
    throw new Error('The server is not responding. Is `mess listen` still running?');
  }
}

const json = async (url, options) => parse(await request(url, options));

export function apiUrl(name, parameters = {}) {
  const query = new URLSearchParams();
  for (const [key, value] of Object.entries(parameters)) {
    for (const one of Array.isArray(value) ? value : [value]) query.append(key, one);
  }
  return `/api/${name}?${query}`;
}

export const get = (name, parameters, signal) => json(apiUrl(name, parameters), { signal });

export const post = (name, parameters, body, signal) => json(apiUrl(name, parameters), { method: 'POST', body, signal });

// Fetches a whole audio file, so that playback starts without delay.
export async function getAudio(url) {
  const response = await request(url);
  return response.ok ? response.blob() : parse(response);
}
