/** Half-precision bits of a number, rounded to nearest even; too large becomes infinite. */
export function toHalf(value: number): number {
  if (Number.isNaN(value)) return 0x7e00;
  const sign = value < 0 || Object.is(value, -0) ? 0x8000 : 0;
  const size = Math.abs(value);
  if (size >= 65_520) return sign | 0x7c00;
  if (size < 2 ** -14) return sign | roundEven(size * 2 ** 24);
  const exponent = Math.floor(Math.log2(size));
  // log2 may round up to the next power of two; the fraction then comes out below 1.
  const at = size < 2 ** exponent ? exponent - 1 : exponent;
  return sign | (((at + 15) << 10) + roundEven((size / 2 ** at - 1) * 1024));
}

function roundEven(value: number): number {
  const low = Math.floor(value);
  const rest = value - low;
  return low + (rest > 0.5 || (rest === 0.5 && low % 2 === 1) ? 1 : 0);
}
