// What the server does not filter hits by: other pieces, a region of the map, slower ones.
import { valuesOf } from './target-values.js';

const SLOWER = 0.93; // of the query's tempo

// Tests of a hit, all of which have to be met.
export function conditions({ own, tracks, region, slower, otherWork }) {
  const wanted = [];
  if (otherWork && own) wanted.push((hit) => tracks.get(hit.track_id)?.work_id !== own.work_id);
  if (region) wanted.push((hit) => region.has(hit.track_id));
  if (slower && own) {
    wanted.push((hit, tempo) => {
      const [mine, theirs] = [tempo?.get(own.track_id), tempo?.get(hit.track_id)];
      return mine && theirs && theirs < SLOWER * mine;
    });
  }
  return wanted;
}

// The hits that meet them, ranked anew.
export async function met(hits, wish) {
  const tempo = wish.slower ? await valuesOf('tempo') : null;
  const wanted = conditions(wish);
  return hits.filter((hit) => wanted.every((one) => one(hit, tempo))).map((hit, index) => ({ ...hit, rank: index + 1 }));
}
