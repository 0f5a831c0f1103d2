// Prometheus remote write 1.0 from JavaScript: the protobuf message, snappy with literals only, and the request. Takes
// [{labels: {__name__: …}, samples: [[ms, value]…]}].
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

export function writeRequest(series) {
  return Buffer.concat(series.map(({ labels, samples, exemplars = [] }) => bytes(1, Buffer.concat([
    ...Object.entries(labels).sort(([a], [b]) => (a < b ? -1 : 1)).map(([name, value]) => bytes(1, Buffer.concat([string(1, name), string(2, value)]))),
    ...samples.map((s) => bytes(2, sample(s))),
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
  const times = series.flatMap((s) => s.samples.map(([ms]) => ms));
  const [first, last] = [Math.min(...times), Math.max(...times)];
  for (let from = first; from <= last; from += sliceMs) {
    const slice = series.map((s) => ({ labels: s.labels, samples: s.samples.filter(([ms]) => ms >= from && ms < from + sliceMs) })).filter((s) => s.samples.length > 0);
    for (let at = 0; at < slice.length; at += 500) {
      const { status, text } = await remoteWrite(url, slice.slice(at, at + 500));
      if (status >= 300) throw new Error(`${url} answered ${status}: ${text}`);
    }
  }
}
