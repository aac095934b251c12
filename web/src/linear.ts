/** The few pieces of linear algebra that poses need; matrices are row-major. */

/** x of a · x = b, a being (n, n); by elimination with pivots. Changes neither. */
export function solve(a: ArrayLike<number>, b: ArrayLike<number>): number[] {
  const n = b.length;
  const rows = Array.from({ length: n }, (_, i) => [
    ...Array.from({ length: n }, (_, j) => a[n * i + j]),
    b[i],
  ]);
  for (let k = 0; k < n; k++) {
    let pivot = k;
    for (let i = k + 1; i < n; i++) {
      if (Math.abs(rows[i][k]) > Math.abs(rows[pivot][k])) pivot = i;
    }
    [rows[k], rows[pivot]] = [rows[pivot], rows[k]];
    for (let i = k + 1; i < n; i++) {
      const factor = rows[i][k] / rows[k][k];
      for (let j = k; j <= n; j++) rows[i][j] -= factor * rows[k][j];
    }
  }
  const x = new Array<number>(n).fill(0);
  for (let k = n - 1; k >= 0; k--) {
    let rest = rows[k][n];
    for (let j = k + 1; j < n; j++) rest -= rows[k][j] * x[j];
    x[k] = rest / rows[k][k];
  }
  return x;
}

/** a · b for (3, 3). */
export function times(a: ArrayLike<number>, b: ArrayLike<number>): number[] {
  return Array.from({ length: 9 }, (_, at) => {
    const [i, j] = [3 * Math.floor(at / 3), at % 3];
    return a[i] * b[j] + a[i + 1] * b[3 + j] + a[i + 2] * b[6 + j];
  });
}

/** matrix · x for a (3, 3) and a point. */
export function apply3(m: ArrayLike<number>, x: number, y: number, z: number): number[] {
  return [0, 3, 6].map((i) => m[i] * x + m[i + 1] * y + m[i + 2] * z);
}

/** Rodrigues: the rotation of a rotation vector. */
export function rotationFromVector(vector: readonly number[]): number[] {
  const angle = Math.hypot(...vector);
  const [x, y, z] = vector.map((part) => part / Math.max(angle, 1e-12));
  const cross = [0, -z, y, z, 0, -x, -y, x, 0];
  const square = times(cross, cross);
  const [sine, rest] = [Math.sin(angle), 1 - Math.cos(angle)];
  return cross.map((c, i) => (i % 4 === 0 ? 1 : 0) + sine * c + rest * square[i]);
}

/**
 * The rotation r that makes Σ ‖r · pᵢ − qᵢ‖² least (Horn 1987), of `moments` = Σ pᵢ qᵢᵀ.
 *
 * Its quaternion is the eigenvector of a symmetric (4, 4) with the largest eigenvalue; squaring the
 * matrix, shifted to be positive, again and again leaves nothing else.
 */
export function bestRotation(moments: ArrayLike<number>): number[] {
  const [xx, xy, xz, yx, yy, yz, zx, zy, zz] = Array.from(moments);
  let matrix = [
    ...[xx + yy + zz, yz - zy, zx - xz, xy - yx],
    ...[yz - zy, xx - yy - zz, xy + yx, zx + xz],
    ...[zx - xz, xy + yx, yy - xx - zz, yz + zy],
    ...[xy - yx, zx + xz, yz + zy, zz - xx - yy],
  ];
  const shift = Math.hypot(...matrix);
  matrix = matrix.map((value, at) => value + (at % 5 === 0 ? shift : 0));
  for (let i = 0; i < SQUARINGS; i++) {
    const size = Math.hypot(...matrix);
    const a = matrix.map((value) => value / size);
    matrix = a.map((_, at) => {
      const [row, column] = [at - (at % 4), at % 4];
      return [0, 1, 2, 3].reduce((sum, k) => sum + a[row + k] * a[4 * k + column], 0);
    });
  }
  // Every column is now a multiple of it; the one with the largest diagonal is surely not zero.
  const diagonal = [0, 5, 10, 15].map((at) => matrix[at]);
  const column = diagonal.indexOf(Math.max(...diagonal));
  return rotationFromQuaternion([0, 1, 2, 3].map((row) => matrix[4 * row + column]));
}

const SQUARINGS = 10;

/** The rotation of a quaternion wxyz of any length but zero. */
export function rotationFromQuaternion(quaternion: ArrayLike<number>): number[] {
  const parts = [0, 1, 2, 3].map((i) => quaternion[i]);
  const length = Math.hypot(...parts) || 1;
  const [w, x, y, z] = parts.map((part) => part / length);
  return [
    ...[1 - 2 * (y * y + z * z), 2 * (x * y - w * z), 2 * (x * z + w * y)],
    ...[2 * (x * y + w * z), 1 - 2 * (x * x + z * z), 2 * (y * z - w * x)],
    ...[2 * (x * z - w * y), 2 * (y * z + w * x), 1 - 2 * (x * x + y * y)],
  ];
}
