// The Express service of the five: nothing about OpenTelemetry, `node --require @opentelemetry/auto-instrumentations-node/register` brings that.
// SPDX-License-Identifier: Apache-2.0
const express = require('express');

const release = process.env.RELEASE;
let paid = 0;
const app = express();

// Twelve milliseconds of work, and 25 more in a slow release.
app.use((_request, _response, next) => setTimeout(next, release === 'slow' ? 37 : 12));
app.get('/api/cart/:id', (request, response) => response.json({ cart: request.params.id }));
app.get('/api/pay/:id', (request, response) => {
  paid += 1;
  response.status(release === 'bad' && paid % 10 === 0 ? 500 : 200).json({ pay: request.params.id });
});
app.get('/healthz', (_request, response) => response.json({}));
app.listen(Number(process.env.PORT), '127.0.0.1');
