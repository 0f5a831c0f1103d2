// OTLP payloads for tests and benchmarks, written byte by byte: a protobuf field is (number << 3 | wire type), then the value.
// SPDX-License-Identifier: Apache-2.0

function varint(n) {
  let v = BigInt(n);
  const out = [];
  while (v >= 0x80n) {
    out.push(Number((v & 0x7fn) | 0x80n));
    v >>= 7n;
  }
  out.push(Number(v));
  return Buffer.from(out);
}
export const uint = (field, n) => Buffer.concat([varint(field << 3), varint(n)]);
export const bytes = (field, data) => Buffer.concat([varint((field << 3) | 2), varint(data.length), data]);
export const text = (field, s) => bytes(field, Buffer.from(s));
export const message = (field, ...parts) => bytes(field, Buffer.concat(parts));
export const fixed64 = (field, n) => {
  const out = Buffer.alloc(9);
  out[0] = (field << 3) | 1;
  out.writeBigUInt64LE(BigInt(n), 1);
  return out;
};
export const double = (field, v) => {
  const out = Buffer.alloc(9);
  out[0] = (field << 3) | 1;
  out.writeDoubleLE(v, 1);
  return out;
};
export const attribute = (field, key, value) => message(field, text(1, key), message(2, typeof value === 'number' ? uint(3, value) : text(1, value)));
const resource = (attributes) => message(1, ...Object.entries(attributes).map(([k, v]) => attribute(1, k, v)));
export const packed64 = (field, values) => {
  const data = Buffer.alloc(values.length * 8);
  values.forEach((v, i) => data.writeBigUInt64LE(BigInt(v), i * 8));
  return bytes(field, data);
};
export const packedDoubles = (field, values) => {
  const data = Buffer.alloc(values.length * 8);
  values.forEach((v, i) => data.writeDoubleLE(v, i * 8));
  return bytes(field, data);
};

const identity = (track, instance) => ({
  'service.name': 'checkout-service', 'service.version': track === 'canary' ? '2.4.0' : '2.3.0', 'deployment.track': track,
  'deployment.environment': 'production', 'service.instance.id': `${track}-${instance}`,
});

// count SERVER spans of 15 attributes, one in 50 failing with an exception event. seed makes their ids unique.
// more: attributes of the resource in place of those of a bench's canary.
export function spans(count, seed, now = Date.now(), more = {}) {
  const list = [];
  for (let i = 0; i < count; i += 1) {
    const id = Buffer.alloc(16);
    id.writeUInt32BE(seed, 0);
    id.writeUInt32BE(i + 1, 4);
    id.writeUInt32BE((0x9e3779b9 ^ i) >>> 0, 12);
    const failing = i % 50 === 0;
    const start = BigInt(now - 200) * 1_000_000n + BigInt(i * 1000);
    const attributes = {
      'http.request.method': 'POST', 'http.route': `/api/route-${i % 20}`, 'url.path': `/api/route-${i % 20}`, 'url.scheme': 'https',
      'http.response.status_code': failing ? 500 : 200, 'server.address': 'shop.example.com', 'server.port': 443,
      'client.address': `10.0.${i % 7}.${i % 251}`, 'user_agent.original': 'Mozilla/5.0 (X11; Linux x86_64) AppleWebKit/537.36',
      'network.protocol.version': '1.1', 'thread.id': i % 64, 'thread.name': `worker-${i % 64}`, 'enduser.id': `user-${i * 31 % 5000}`,
      'payment.method': i % 3 === 0 ? 'applepay' : 'card', 'cart.items': i % 9,
    };
    list.push(message(2, bytes(1, id), bytes(2, id.subarray(4, 12)), text(5, 'POST /api/route'), uint(6, 2), fixed64(7, start),
      fixed64(8, start + BigInt((5 + (i % 90)) * 1_000_000)), ...Object.entries(attributes).map(([k, v]) => attribute(9, k, v)),
      ...(failing ? [message(11, fixed64(1, start), text(2, 'exception'), attribute(3, 'exception.type', 'TypeError'),
        attribute(3, 'exception.message', 'wallet.token is null'))] : []),
      message(15, ...(failing ? [text(2, 'charge failed'), uint(3, 2)] : []))));
  }
  return message(1, resource({ ...identity('canary', seed % 4), ...more }), message(2, message(1, text(1, 'bench')), ...list));
}

export const bounds = [5, 10, 25, 50, 75, 100, 250, 500, 750, 1000];

// One export of one instance: for each route a request counter, an error counter and a duration histogram with 10 bounds (12 presented series).
export function metrics(track, instance, routes, value, atMs, startMs, more = {}, errorShare = 0.01) {
  const time = BigInt(Math.round(atMs)) * 1_000_000n;
  const start = BigInt(Math.round(startMs)) * 1_000_000n;
  const route = (field, r) => attribute(field, 'http.route', `/api/route-${r}`);
  const each = (make) => Array.from({ length: routes }, (_, r) => make(r));
  const number = (r, v) => message(1, fixed64(2, start), fixed64(3, time), double(4, v), route(7, r));
  const sum = (name, v) => message(2, text(1, name), message(7, ...each((r) => number(r, v(r))), uint(2, 2), uint(3, 1)));
  const counts = (r) => bounds.map((_, b) => Math.floor((value * (b + 1 + (r % 3))) / 66)).concat(1);
  const histogram = message(2, text(1, 'http_server_request_duration'), text(3, 'ms'), message(9, ...each((r) => {
    const c = counts(r);
    return message(1, fixed64(2, start), fixed64(3, time), fixed64(4, c.reduce((a, b) => a + b, 0)), double(5, value * 80), packed64(6, c),
      packedDoubles(7, bounds), route(9, r));
  }), uint(2, 2)));
  return message(1, resource({ ...identity(track, instance), ...more }), message(2, message(1, text(1, 'bench')),
    sum('http_server_request_total', () => value), sum('http_server_request_errors_total', () => Math.floor(value * errorShare)), histogram));
}

// The seed's two counters of one track as OTLP/JSON; times in ms.
export const requestCounters = (track, version, value, errors, at, startAt, more = {}) => JSON.stringify({
  resourceMetrics: [{
    resource: { attributes: [['service.name', 'shop'], ['service.version', version], ['deployment.track', track], ['service.instance.id', track]]
      .map(([key, stringValue]) => ({ key, value: { stringValue } })) },
    scopeMetrics: [{ metrics: [['http_server_request_total', value], ['http_server_request_errors_total', errors], ...Object.entries(more)].map(([name, v]) => ({
      name, sum: { isMonotonic: true, aggregationTemporality: 2,
        dataPoints: [{ asDouble: v, timeUnixNano: `${at}000000`, startTimeUnixNano: `${startAt}000000` }] },
    })) }],
  }],
});
