/* Lines as [left, right], null where one side has none: lines that are there once on both sides hold the rest together. */
function align(left, right) {
  const pairs = [];
  const walk = (a, b, c, d) => {
    while (a < b && c < d && left[a] === right[c]) pairs.push([a++, c++]);
    const tail = [];
    while (a < b && c < d && left[b - 1] === right[d - 1]) tail.unshift([--b, --d]);
    const anchors = a < b && c < d ? once(a, b, c, d) : [];
    if (anchors.length) {
      for (const [i, j] of anchors) {
        if (i < a || j < c) continue;
        walk(a, i, c, j);
        pairs.push([i, j]);
        a = i + 1;
        c = j + 1;
      }
      walk(a, b, c, d);
    } else if (a < b && c < d && (b - a) * (d - c) < 4e6) common(a, b, c, d);
    else change(a, b, c, d);
    pairs.push(...tail);
  };
  const change = (a, b, c, d) => {
    for (let k = 0; k < Math.max(b - a, d - c); k++) pairs.push([a + k < b ? a + k : null, c + k < d ? c + k : null]);
  };
  const once = (a, b, c, d) => {
    const seen = new Map();
    for (let i = a; i < b; i++) seen.set(left[i], { i, n: ((seen.get(left[i]) || {}).n || 0) + 1, m: 0 });
    for (let j = c; j < d; j++) {
      const entry = seen.get(right[j]);
      if (entry) Object.assign(entry, { j, m: entry.m + 1 });
    }
    const points = [...seen.values()].filter((entry) => entry.n === 1 && entry.m === 1).sort((p, q) => p.i - q.i);
    const piles = [];
    for (const point of points) {
      let low = 0, high = piles.length;
      while (low < high) {
        const middle = (low + high) >> 1;
        if (piles[middle].j < point.j) low = middle + 1;
        else high = middle;
      }
      point.before = low ? piles[low - 1] : null;
      piles[low] = point;
    }
    const found = [];
    for (let point = piles[piles.length - 1]; point; point = point.before) found.unshift([point.i, point.j]);
    return found;
  };
  const common = (a, b, c, d) => {
    const width = d - c + 1;
    const longest = new Uint16Array((b - a + 1) * width);
    for (let i = b - 1; i >= a; i--)
      for (let j = d - 1; j >= c; j--) {
        const at = (i - a) * width + j - c;
        longest[at] = left[i] === right[j] ? longest[at + width + 1] + 1 : Math.max(longest[at + width], longest[at + 1]);
      }
    let i = a, j = c, p = a, q = c;
    while (i < b && j < d) {
      const at = (i - a) * width + j - c;
      if (left[i] === right[j]) {
        change(p, i, q, j);
        pairs.push([i++, j++]);
        p = i;
        q = j;
      } else if (longest[at + width] >= longest[at + 1]) i++;
      else j++;
    }
    change(p, b, q, d);
  };
  walk(0, left.length, 0, right.length);
  return pairs;
}
