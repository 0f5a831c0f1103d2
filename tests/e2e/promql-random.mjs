// Random PromQL: expressions grown from the grammar by a seeded generator, and a shrinker that makes a failing one small.
// An expression is a tree of {t: type, p: parts}; a part is text, a tree, or {opt: parts} which a shrinker may leave out.
// SPDX-License-Identifier: Apache-2.0

export function random(seed) {
  let state = seed >>> 0;
  const next = () => { // mulberry32
    state = (state + 0x6d2b79f5) >>> 0;
    let z = state;
    z = Math.imul(z ^ (z >>> 15), z | 1);
    z ^= z + Math.imul(z ^ (z >>> 7), z | 61);
    return ((z ^ (z >>> 14)) >>> 0) / 4294967296;
  };
  return {
    next,
    below: (n) => Math.floor(next() * n),
    pick: (list) => list[Math.floor(next() * list.length)],
    chance: (p) => next() < p,
    some: (list, p) => list.filter(() => next() < p),
  };
}

export function text(node) {
  if (typeof node === 'string') return node;
  return (node.opt ?? node.p).map(text).join('');
}

const kMath = ['abs', 'ceil', 'floor', 'exp', 'ln', 'log2', 'log10', 'sqrt', 'sgn', 'deg', 'rad', 'sin', 'cos', 'tan', 'asin', 'acos', 'atan', 'sinh', 'cosh', 'tanh', 'asinh', 'acosh', 'atanh'];
const kTime = ['minute', 'hour', 'day_of_week', 'day_of_month', 'day_of_year', 'days_in_month', 'month', 'year'];
const kRange = ['rate', 'increase', 'delta', 'irate', 'idelta', 'resets', 'changes', 'deriv', 'avg_over_time', 'min_over_time', 'max_over_time', 'sum_over_time', 'count_over_time',
  'last_over_time', 'present_over_time', 'stddev_over_time', 'stdvar_over_time', 'absent_over_time'];
const kRangeNew = ['first_over_time', 'mad_over_time', 'ts_of_first_over_time', 'ts_of_last_over_time', 'ts_of_min_over_time', 'ts_of_max_over_time'];
const kAggregations = ['sum', 'avg', 'min', 'max', 'count', 'group', 'stddev', 'stdvar'];
const kNative = ['histogram_count', 'histogram_sum', 'histogram_avg', 'histogram_stddev', 'histogram_stdvar'];

// world: {metrics: [{name, kind: counter|gauge|classic|native|mixed, labels: {name: [values]}}], features: Set of
// recent (Prometheus 3), native, experimental, extended, fill, durations, sorted; times, numbers: texts to use}
export class Generator {
  constructor(rng, world) {
    this.r = rng;
    this.metrics = world.metrics;
    this.has = (feature) => world.features.has(feature);
    this.times = world.times ?? ['600', '1200', '2000.5']; // behind @
    this.numbers = world.numbers ?? ['0', '1', '2', '-1', '0.5', '3', '10', '-2.5', '100', '1e3', 'NaN', 'Inf', '-Inf'];
    this.labels = [...new Set(world.metrics.flatMap((m) => Object.keys(m.labels)))];
  }

  query(depth = 3) {
    if (this.r.chance(0.08)) return this.scalar(depth);
    const v = this.vector(depth);
    return this.has('sorted') && this.r.chance(0.05) ? node('v', this.r.pick(['sort', 'sort_desc']), '(', v, ')') : v;
  }

  number() {
    const { r } = this;
    return node('s', r.pick([...this.numbers, String(r.below(1000) / 100), String(r.below(1e6))]));
  }

  scalar(depth) {
    const { r } = this;
    if (depth <= 0) return this.number();
    switch (r.below(this.has('experimental') ? 9 : 7)) {
      case 0: return node('s', 'time()');
      case 1: return node('s', 'scalar(', this.vector(depth - 1), ')');
      case 2: return node('s', '(', this.scalar(depth - 1), r.pick([' + ', ' - ', ' * ', ' / ', ' % ', ' ^ ', ' atan2 ']), this.scalar(depth - 1), ')');
      case 3: return node('s', '(', this.scalar(depth - 1), r.pick([' == ', ' != ', ' < ', ' > ', ' <= ', ' >= ']), 'bool ', this.scalar(depth - 1), ')');
      case 4: return node('s', '-', this.scalar(depth - 1));
      case 7: return node('s', r.pick(['min_of', 'max_of']), '(', this.scalar(depth - 1), ', ', this.scalar(depth - 1), ')');
      case 8: return node('s', r.pick(['start()', 'end()', 'step()', 'range()', 'pi()']));
      default: return this.number();
    }
  }

  duration() {
    const { r } = this;
    if (this.has('durations') && r.chance(0.1)) return r.pick(['1m + 1m', 'step() + 1m', '2 * 90s', 'max_of(step(), 2m)', '10m - 3m', '1m * 2 ^ 2', 'range() + 1m']);
    return r.pick(['30s', '1m', '2m', '5m', '7m', '10m', '90s', '15s', '17m', '1h', '1s']);
  }

  matchers(metric) {
    const { r } = this;
    const out = [];
    for (const label of r.some(this.labels, 0.2)) {
      const values = metric.labels[label] ?? ['x'];
      const value = r.pick([...values, '', 'none']);
      out.push(r.pick([`${label}="${value}"`, `${label}!="${value}"`, `${label}=~"${value}|${r.pick(values)}"`, `${label}!~"${value}.*"`, `${label}=~".+"`, `${label}=~".*"`]));
    }
    return out;
  }

  shift() {
    const { r } = this;
    const out = [];
    if (r.chance(0.12)) out.push({ opt: [' offset ', r.chance(0.3) ? '-' : '', r.pick(['30s', '1m', '5m', '7m', '1h'])] });
    if (r.chance(0.08)) out.push({ opt: [' @ ', r.pick(['start()', 'end()', ...this.times])] });
    return r.chance(0.5) ? out.reverse() : out;
  }

  bare(metric) {
    const matchers = this.matchers(metric);
    return [metric.name, ...(matchers.length > 0 ? [{ opt: [`{${matchers.join(',')}}`] }] : [])];
  }

  metric(...kinds) {
    const fitting = this.metrics.filter((m) => kinds.length === 0 || kinds.includes(m.kind));
    return this.r.pick(fitting.length > 0 ? fitting : this.metrics);
  }

  selector(metric = this.metric()) {
    const extended = this.has('extended') && this.r.chance(0.05) ? [{ opt: [' smoothed'] }] : [];
    return node('v', ...this.bare(metric), ...extended, ...this.shift());
  }

  matrix(depth, metric = this.metric()) {
    const { r } = this;
    if (depth > 0 && r.chance(0.2)) {
      const step = r.chance(0.7) ? r.pick(['15s', '30s', '1m', '2m', '40s']) : '';
      return node('m', this.vector(depth - 1), '[', r.pick(['1m', '3m', '5m', '10m', '7m']), ':', step, ']', ...this.shift());
    }
    const extended = this.has('extended') && r.chance(0.2) ? [{ opt: [r.pick([' anchored', ' smoothed'])] }] : [];
    return node('m', ...this.bare(metric), '[', this.duration(), ']', ...extended, ...this.shift());
  }

  labelList() {
    return `(${this.r.some([...this.labels, 'missing', '__name__'], 0.35).join(', ')})`;
  }

  vector(depth) {
    const { r } = this;
    if (depth <= 0) return this.selector();
    const kinds = ['selector', 'range', 'range', 'range', 'aggregate', 'aggregate', 'aggregate', 'binary', 'binary', 'binary', 'scalarBinary', 'scalarBinary', 'math', 'set', 'function', 'function',
      'histogram', 'histogram', 'paramAggregate', 'unary', 'rangeParam'];
    return this[`make_${r.pick(kinds)}`](depth);
  }

  make_selector() { return this.selector(); }
  make_unary(depth) { return node('v', this.r.pick(['-', '+', '']), '(', this.vector(depth - 1), ')'); }
  make_math(depth) { return node('v', this.r.pick(this.r.chance(0.8) ? kMath : kTime), '(', this.vector(depth - 1), ')'); }

  make_range(depth) {
    const list = this.has('experimental') ? [...kRange, ...kRangeNew] : kRange;
    return node('v', this.r.pick(list), '(', this.matrix(depth - 1), ')');
  }

  make_rangeParam(depth) {
    const { r } = this;
    const m = this.matrix(depth - 1);
    switch (r.below(this.has('experimental') ? 3 : 2)) {
      case 0: return node('v', 'quantile_over_time(', this.quantile(depth - 1), ', ', m, ')');
      case 1: return node('v', 'predict_linear(', m, ', ', r.chance(0.7) ? node('s', r.pick(['60', '3600', '-30', '0'])) : this.scalar(depth - 1), ')');
      default: return node('v', 'double_exponential_smoothing(', m, r.pick([', 0.3, 0.6)', ', 0.5, 0.1)', ', 0.01, 0.99)']));
    }
  }

  quantile(depth) {
    return this.r.chance(0.8) ? node('s', this.r.pick(['0', '0.1', '0.5', '0.9', '0.99', '1', '-0.1', '1.1', 'NaN', '0.25'])) : this.scalar(depth);
  }

  grouping() {
    const { r } = this;
    if (!r.chance(0.7)) return [];
    return [{ opt: [r.pick([' by ', ' without ']), this.labelList(), ' '] }];
  }

  make_aggregate(depth) {
    return node('v', this.r.pick(kAggregations), ...this.grouping(), '(', this.vector(depth - 1), ')');
  }

  make_paramAggregate(depth) {
    const { r } = this;
    const kinds = ['topk', 'bottomk', 'quantile', 'count_values', ...(this.has('experimental') ? ['limitk', 'limit_ratio'] : [])];
    const op = r.pick(kinds);
    const k = node('s', r.pick(['0', '1', '2', '3', '100', '-1']));
    const param = op === 'quantile' ? this.quantile(depth - 1)
      : op === 'count_values' ? r.pick(['"value"', '"job"', '"l"'])
        : op === 'limit_ratio' ? node('s', r.pick(['0', '0.5', '-0.5', '1', '-1', '0.2'])) : r.chance(0.9) ? k : this.scalar(depth - 1);
    return node('v', op, ...this.grouping(), '(', param, ', ', this.vector(depth - 1), ')');
  }

  matching() {
    const { r } = this;
    const out = [];
    if (r.chance(0.5)) {
      out.push(r.pick([' on', ' ignoring']), this.labelList());
      if (r.chance(0.4)) out.push(r.pick([' group_left', ' group_right']), this.r.chance(0.5) ? this.labelList() : '');
    }
    if (this.has('fill') && r.chance(0.15)) out.push(r.pick([' fill(0)', ' fill_left(1)', ' fill_right(2)', ' fill_left(1) fill_right(3)', ' fill(NaN)']));
    return out.length > 0 ? [{ opt: out }] : [];
  }

  operator() {
    const { r } = this;
    if (r.chance(0.6)) return { op: r.pick([' + ', ' - ', ' * ', ' / ', ' % ', ' ^ ', ' atan2 ']).trim(), comparison: false };
    return { op: r.pick(['==', '!=', '<', '>', '<=', '>=']), comparison: true };
  }

  make_binary(depth) {
    const { r } = this;
    const { op, comparison } = this.operator();
    const left = this.vector(depth - 1);
    // The same side twice finds partners more often.
    const right = r.chance(0.35) ? left : this.vector(depth - 1);
    return node('v', '(', left, ` ${op}`, ...(comparison && r.chance(0.4) ? [{ opt: [' bool'] }] : []), ...this.matching(), ' ', right, ')');
  }

  make_scalarBinary(depth) {
    const { r } = this;
    const { op, comparison } = this.operator();
    const sides = [this.vector(depth - 1), this.scalar(depth - 1)];
    if (this.has('native') && r.chance(0.06)) return node('v', '(', sides[0], r.pick([' </ ', ' >/ ']), sides[1], ')');
    if (r.chance(0.4)) sides.reverse();
    return node('v', '(', sides[0], ` ${op} `, ...(comparison && r.chance(0.4) ? [{ opt: ['bool '] }] : []), sides[1], ')');
  }

  make_set(depth) {
    const { r } = this;
    const left = this.vector(depth - 1);
    const right = r.chance(0.3) ? left : this.vector(depth - 1);
    const on = r.chance(0.5) ? [{ opt: [r.pick([' on', ' ignoring']), this.labelList()] }] : [];
    return node('v', '(', left, r.pick([' and', ' or', ' unless']), ...on, ' ', right, ')');
  }

  make_function(depth) {
    const { r } = this;
    const v = this.vector(depth - 1);
    const label = r.pick([...this.labels, 'new']);
    const all = [
      () => node('v', 'clamp(', v, ', ', this.scalar(depth - 2), ', ', this.scalar(depth - 2), ')'),
      () => node('v', r.pick(['clamp_min(', 'clamp_max(']), v, ', ', this.scalar(depth - 2), ')'),
      () => node('v', 'round(', v, ...(r.chance(0.6) ? [{ opt: [', ', this.scalar(depth - 2)] }] : []), ')'),
      () => node('v', 'absent(', v, ')'),
      () => node('v', 'timestamp(', r.chance(0.6) ? this.selector() : v, ')'),
      () => node('v', 'vector(', this.scalar(depth - 1), ')'),
      () => node('v', 'label_replace(', v, `, "${label}", "${r.pick(['$1', 'a-$1', '', 'const', '$2$1'])}", "${r.pick(this.labels)}", "${r.pick(['(.*)', '(.)(.*)', 'a.*', '', '.+'])}")`),
      () => node('v', 'label_join(', v, `, "${label}", "${r.pick(['-', '', ','])}"`, ...r.some(this.labels, 0.4).map((l) => `, "${l}"`), ')'),
      ...(this.has('experimental') ? [() => node('v', r.pick(['sort_by_label(', 'sort_by_label_desc(']), v, `, "${label}")`), () => node('v', 'start_timestamp(', this.selector(), ')')] : []),
    ];
    return r.pick(all)();
  }

  make_histogram(depth) {
    const { r } = this;
    const native = this.has('native') && r.chance(0.6);
    const metric = native ? this.metric('native', 'mixed') : this.metric('classic');
    const inner = r.pick([
      () => this.selector(metric),
      () => node('v', r.pick(['rate', 'increase', 'delta', 'irate', 'sum_over_time', 'last_over_time']), '(', this.matrix(0, metric), ')'),
      () => node('v', 'sum by (le, ', r.pick(this.labels), ') (', node('v', r.pick(['rate', 'increase']), '(', this.matrix(0, metric), ')'), ')'),
      () => node('v', r.pick(['sum', 'avg']), ...this.grouping(), '(', this.selector(metric), ')'),
      () => this.vector(depth - 1),
    ])();
    if (native && r.chance(0.4)) return node('v', r.pick(kNative), '(', inner, ')');
    if (this.has('recent') && r.chance(0.25)) return node('v', 'histogram_fraction(', this.scalar(0), ', ', this.scalar(0), ', ', inner, ')');
    if (this.has('experimental') && r.chance(0.1)) return node('v', 'histogram_quantiles(', inner, ', "q", 0.5, 0.9)');
    return node('v', 'histogram_quantile(', this.quantile(depth - 1), ', ', inner, ')');
  }
}

function node(t, ...p) { return { t, p }; }

// Trees that are a little smaller than this one: a subtree of the same type in place of a tree, optional parts left out, constants.
function* smaller(tree) {
  const parts = tree.opt ?? tree.p;
  const rebuilt = (i, part) => {
    const copy = [...parts.slice(0, i), ...(part === null ? [] : [part]), ...parts.slice(i + 1)];
    return tree.opt ? { opt: copy } : { t: tree.t, p: copy };
  };
  if (tree.t) yield* descendants(tree, tree.t);
  if (tree.t === 's' && text(tree) !== '1') yield node('s', '1');
  for (let i = 0; i < parts.length; i++) {
    const part = parts[i];
    if (typeof part === 'string') continue;
    if (part.opt) yield rebuilt(i, null);
    for (const less of smaller(part)) yield rebuilt(i, less);
  }
}

function* descendants(tree, type) {
  for (const part of tree.opt ?? tree.p) {
    if (typeof part === 'string') continue;
    if (part.t === type) yield part;
    yield* descendants(part, type);
  }
}

// The smallest tree found by walking down while differs(text) holds; at most `tries` calls.
export async function shrink(tree, differs, tries = 200) {
  let best = tree;
  for (let again = true; again && tries > 0;) {
    again = false;
    for (const less of smaller(best)) {
      if (tries-- <= 0) break;
      if (text(less).length >= text(best).length || !(await differs(text(less)))) continue;
      best = less;
      again = true;
      break;
    }
  }
  return best;
}
