// Prometheus remote write 1.0 from JavaScript: the protobuf message, snappy with literals only, and the request. Takes
// [{labels: {__name__: …}, samples: [[ms, value]…], histograms: [[ms, {schema, sum, buckets: [[index, count]…]}]…]}].
// SPDX-License-Identifier: Apache-2.0
import { Buffer } from 'node:buffer';

export const staleMarker = (() => {
  const view = Buffer.alloc(8);
  view.writeBigUInt64LE(0x7ff0000000000002n);
  return { stale: true, bytes: view };
})();

function varint(value) {
  const out = [];
  for (let n = BigInt.asUintN(64, BigInt(value)); ; n >>= 7n) {
    if (n < 128n) return Buffer.from([...out, Number(n)]);
    out.push(Number(n & 127n) | 128);
  }
}
const bytes = (field, data) => Buffer.concat([varint((field << 3) | 2), varint(data.length), data]);
const string = (field, value) => bytes(field, Buffer.from(value));

function sample([ms, value]) {
  const number = Buffer.alloc(8);
  if (value === staleMarker) staleMarker.bytes.copy(number);
  else number.writeDoubleLE(value);
  return Buffer.concat([varint(9), number, varint(16), varint(ms)]);
}

const signed = (n) => (n >= 0 ? 2 * n : -2 * n - 1);

// A native histogram of positive buckets, each in a span of its own; counts as differences to the bucket before.
function histogram([ms, { schema, sum, buckets }]) {
  const number = Buffer.alloc(8);
  number.writeDoubleLE(sum);
  const sorted = [...buckets].sort(([a], [b]) => a - b);
  const spans = sorted.map(([index], i) => bytes(11, Buffer.concat([varint(8), varint(signed(i === 0 ? index : index - sorted[i - 1][0] - 1)), varint(16), varint(1)])));
  const deltas = Buffer.concat(sorted.map(([, count], i) => varint(signed(count - (i === 0 ? 0 : sorted[i - 1][1])))));
  return Buffer.concat([varint(8), varint(sorted.reduce((n, [, count]) => n + count, 0)), varint(25), number, varint(32), varint(signed(schema)),
    ...spans, bytes(12, deltas), varint(120), varint(ms)]);
}

export function writeRequest(series) {
  return Buffer.concat(series.map(({ labels, samples = [], histograms = [], exemplars = [] }) => bytes(1, Buffer.concat([
    ...Object.entries(labels).sort(([a], [b]) => (a < b ? -1 : 1)).map(([name, value]) => bytes(1, Buffer.concat([string(1, name), string(2, value)]))),
    ...samples.map((s) => bytes(2, sample(s))),
    ...histograms.map((h) => bytes(4, histogram(h))),
    ...exemplars.map((e) => bytes(3, Buffer.concat([varint(17), Buffer.alloc(8), varint(24), varint(e)]))),
  ]))));
}

// Snappy's block format of one piece that repeats nothing: the length, then literals of up to 64 KiB.
export function snappy(data) {
  const out = [varint(data.length)];
  for (let at = 0; at < data.length; at += 65536) {
    const piece = data.subarray(at, at + 65536);
    const length = piece.length - 1;
    out.push(length < 60 ? Buffer.from([length << 2]) : Buffer.from([61 << 2, length & 255, length >> 8]), piece);
  }
  return Buffer.concat(out);
}

// Answers {status, text}.
export async function remoteWrite(url, series, headers = {}) {
  const answer = await fetch(`${url}/api/v1/write`, {
    method: 'POST',
    headers: { 'Content-Type': 'application/x-protobuf', 'Content-Encoding': 'snappy', 'X-Prometheus-Remote-Write-Version': '0.1.0', ...headers },
    body: snappy(writeRequest(series)),
  });
  return { status: answer.status, text: await answer.text() };
}

// Sends series of any length in time order, a slice of time at a time, so that a receiver sees no sample before an older one.
export async function remoteWriteAll(url, series, sliceMs = 600_000) {
  const [samples, histograms] = [(s) => s.samples ?? [], (s) => s.histograms ?? []];
  let [first, last] = [Infinity, -Infinity];
  for (const s of series) for (const [ms] of [...samples(s), ...histograms(s)]) [first, last] = [Math.min(first, ms), Math.max(last, ms)];
  for (let from = first; from <= last; from += sliceMs) {
    const within = ([ms]) => ms >= from && ms < from + sliceMs;
    const slice = series.map((s) => ({ labels: s.labels, samples: samples(s).filter(within), histograms: histograms(s).filter(within) }))
      .filter((s) => s.samples.length + s.histograms.length > 0);
    for (let at = 0; at < slice.length; at += 500) {
      const { status, text } = await remoteWrite(url, slice.slice(at, at + 500));
      if (status >= 300) throw new Error(`${url} answered ${status}: ${text}`);
    }
  }
}
