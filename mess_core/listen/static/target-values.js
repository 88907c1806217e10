// Values of the targets for all tracks, fetched once.
import { get } from './api.js';

let fetched = null;

export function targetValues() {
  fetched ||= get('targets').catch((error) => { fetched = null; throw error; });
  return fetched;
}

// Track to value of one target.
export async function valuesOf(target) {
  const found = await targetValues();
  const { values } = found.targets[target] || { values: [] };
  return new Map(found.track_ids.map((track, index) => [track, values[index]]));
}
