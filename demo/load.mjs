// Open-loop load: requests start at a fixed rate whether or not earlier ones were answered, as users do.
// usage: load.mjs URL RATE MAX_SECONDS. Prints one JSON line a second: what was answered so far, by version.
// SPDX-License-Identifier: Apache-2.0
import http from 'node:http';

const [target, rateText, secondsText] = process.argv.slice(2);
const rate = Number(rateText);
const deadline = performance.now() + Number(secondsText) * 1000;
const url = new URL(target);
const agent = new http.Agent({ keepAlive: true, maxSockets: 512 });
const methods = ['card', 'card', 'paypal', 'applepay', 'applepay', 'applepay'];
const routes = ['/api/cart', '/api/quote', '/api/pay'];
const answered = {}; // version → {requests, failed}
let unanswered = 0;
let sent = 0;

function count(version, failed) {
  const row = (answered[version] ??= { requests: 0, failed: 0 });
  row.requests += 1;
  if (failed) row.failed += 1;
}

function one(index) {
  const route = routes[index % routes.length];
  const path = route === '/api/pay' ? `${route}?method=${methods[Math.floor(index / routes.length) % methods.length]}` : route;
  const request = http.get({ host: url.hostname, port: url.port, path, agent }, (response) => {
    response.resume();
    response.on('end', () => count(response.headers['x-app-version'] ?? 'none', response.statusCode >= 500));
  });
  request.on('error', () => (unanswered += 1));
}

const started = performance.now();
const pace = setInterval(() => {
  const now = performance.now();
  if (now > deadline) return stop();
  // After a stall the missed requests are not sent in one burst: at most a tenth of a second of them.
  const due = Math.floor(((now - started) / 1000) * rate);
  if (due - sent > rate / 10) sent = due - Math.ceil(rate / 10);
  while (sent < due) one(sent++);
}, 5);
const report = setInterval(() => console.log(JSON.stringify({ sent, unanswered, answered })), 1000);

function stop() {
  clearInterval(pace);
  clearInterval(report);
  console.log(JSON.stringify({ sent, unanswered, answered }));
  agent.destroy();
  process.exit(0);
}
process.once('SIGTERM', stop);
process.once('SIGINT', stop);
