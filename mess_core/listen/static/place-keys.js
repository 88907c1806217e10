// Keys of a comparison's common time: a place on it is chosen, and the range that is shown.
const STEPS = { ArrowLeft: -1, ArrowRight: 1, PageUp: -16, PageDown: 16, Home: -Infinity, End: Infinity };
const ZOOM = { '+': 0.5, '-': 2, 0: Infinity };

// `place()`, `last()` in beats; `shown()` is the range [low, high]; `play(place)`, `show(low, high)` act.
export function addPlaceKeys(holder, { place, last, shown, play, show }) {
  holder.addEventListener('keydown', (event) => {
    if (event.ctrlKey || event.metaKey || event.altKey || !(event.key in STEPS || event.key in ZOOM)) return;
    event.preventDefault();
    event.stopPropagation();
    const at = place(), end = last();
    if (event.key in STEPS) {
      play(Math.max(0, Math.min(end - 1, Math.floor(at + 1e-6) + STEPS[event.key])));
      return;
    }
    const [low, high] = shown(), half = Math.min(((high - low) / 2) * ZOOM[event.key], end);
    if (2 * half >= end) show(0, end);
    else {
      const from = Math.max(0, Math.min(end - 2 * half, at - half));
      show(from, from + 2 * half);
    }
  });
}
