// Gaussian smoothing over known values, as `mess_core.plots` does; `beats` is its deviation. A gap is
// filled where its neighbours have a third of the weight.
const FILLED = 1 / 3;

export function smoothed(values, beats) {
  if (!beats) return values;
  const reach = Math.ceil(4 * beats);
  const weights = Array.from({ length: 2 * reach + 1 }, (_, index) => Math.exp(-0.5 * ((index - reach) / beats) ** 2));
  const whole = weights.reduce((sum, one) => sum + one, 0);
  return values.map((value, at) => {
    let total = 0, weight = 0;
    for (let step = -reach; step <= reach; step += 1) {
      const other = values[at + step];
      if (other === null || other === undefined) continue;
      total += weights[step + reach] * other;
      weight += weights[step + reach];
    }
    return value !== null || weight > FILLED * whole ? total / weight : null;
  });
}
