/*
 * A plain worker outside the database, as one would write it in an afternoon:
 * batches claimed with SKIP LOCKED, many requests in flight over kept-alive
 * connections, results written back in batches.
 *
 * It is the comparison for docs/benchmarks.md, so it is written for speed:
 * claims overlap with sending, settlement overlaps with both.  It has none of
 * the extension's guarantees.  A row that is 'sending' when the worker dies
 * stays so, or is sent twice by whoever resets it; there are no limits per
 * number or recipient, no order, no pauses, no retry.
 *
 * Drains table plain_jobs, prints one line and ends.  Environment:
 *   PGHOST ...    as for libpq               GRAPH_URL    https://host:port
 *   CA_FILE       extra CA                   CONNECTIONS  open at most (default 64)
 *   BATCH         rows a claim (default 200) EXPECTED     messages to send before it ends
 *   WARM_UP       messages before those, which do not count
 *
 * HTTP/1.1 only, over TLS too.  undici's HTTP/2 is experimental: version 6
 * stops with a failed assertion under this load, version 7 is several times
 * slower than over HTTP/1.1.
 */
import { readFileSync } from 'node:fs';
import pg from 'pg';
import { Pool } from 'undici';

const graphUrl = process.env.GRAPH_URL;
const connections = Number(process.env.CONNECTIONS ?? 64);
const batch = Number(process.env.BATCH ?? 200);
const warmUp = Number(process.env.WARM_UP ?? 0);
const expected = warmUp + Number(process.env.EXPECTED ?? 0);
const settleAfterMs = 10;

if (!graphUrl || !(expected > warmUp)) {
  console.error('external-worker: GRAPH_URL and EXPECTED are needed');
  process.exit(2);
}

const db = new pg.Pool({ max: 4 });
const http = new Pool(graphUrl, {
  connections,
  pipelining: 1,
  keepAliveTimeout: 60_000,
  headersTimeout: 30_000,
  bodyTimeout: 30_000,
  connect: process.env.CA_FILE ? { ca: readFileSync(process.env.CA_FILE) } : {},
});
const headers = {
  'content-type': 'application/json',
  authorization: 'Bearer EAATESTTOKEN',
};

const ready = []; // claimed, not yet on the wire
const done = { ids: [], wamids: [], errors: [] };
let inFlight = 0;
let settled = 0;
let failed = 0;
let claiming = false;
let claimed = 0;
let settleTimer = null;
let measured = 0; // settled when the measurement began
let start;
let cpuStart;
let finish;
const finished = new Promise((resolve) => { finish = resolve; });

async function claim() {
  claiming = true;
  const { rows } = await db.query({
    name: 'claim',
    text: `UPDATE plain_jobs SET status = 'sending', attempts = attempts + 1
            WHERE id IN (SELECT id FROM plain_jobs WHERE status = 'queued'
                          ORDER BY id LIMIT $1 FOR UPDATE SKIP LOCKED)
        RETURNING id, phone_number_id, recipient, payload`,
    values: [Math.min(batch, expected - claimed)],
  });
  if (rows.length === 0) throw new Error('plain_jobs holds fewer messages than expected');
  claiming = false;
  claimed += rows.length;
  ready.push(...rows);
  pump();
}

async function settle() {
  clearTimeout(settleTimer);
  settleTimer = null;
  const ids = done.ids.splice(0);
  const wamids = done.wamids.splice(0);
  const errors = done.errors.splice(0);
  await db.query({
    name: 'settle',
    text: `UPDATE plain_jobs j
              SET status = CASE WHEN d.wamid IS NULL THEN 'failed' ELSE 'sent' END,
                  wamid = d.wamid, error = d.error, sent_at = now()
             FROM unnest($1::bigint[], $2::text[], $3::text[]) AS d (id, wamid, error)
            WHERE j.id = d.id`,
    values: [ids, wamids, errors],
  });
  settled += ids.length;
  if (start === undefined && settled >= warmUp) startMeasuring();
  if (settled >= expected) finish();
}

function record(id, wamid, error) {
  done.ids.push(id);
  done.wamids.push(wamid);
  done.errors.push(error);
  if (wamid === null) failed++;
  if (done.ids.length >= batch) settle().catch(fail);
  else settleTimer ??= setTimeout(() => settle().catch(fail), settleAfterMs);
}

async function send(job) {
  let wamid = null;
  let error = null;
  try {
    const response = await http.request({
      path: `/v25.0/${job.phone_number_id}/messages`,
      method: 'POST',
      headers,
      body: JSON.stringify({
        messaging_product: 'whatsapp',
        recipient_type: 'individual',
        to: job.recipient,
        type: 'template',
        template: job.payload,
        biz_opaque_callback_data: `job:${job.id}`,
      }),
    });
    const answer = await response.body.json();
    if (response.statusCode === 200) wamid = answer.messages[0].id;
    else error = answer.error?.message ?? `HTTP ${response.statusCode}`;
  } catch (caught) {
    error = String(caught.message ?? caught);
  }
  inFlight--;
  record(job.id, wamid, error);
  pump();
}

function pump() {
  while (inFlight < connections && ready.length > 0) {
    inFlight++;
    send(ready.pop());
  }
  if (!claiming && ready.length < batch && claimed < expected) {
    claim().catch(fail);
  }
}

function fail(error) {
  console.error(`external-worker: ${error.message}`);
  process.exit(1);
}

function startMeasuring() {
  measured = settled;
  start = process.hrtime.bigint();
  cpuStart = process.cpuUsage();
}

if (warmUp === 0) startMeasuring();
claim().catch(fail);
await finished;
const seconds = Number(process.hrtime.bigint() - start) / 1e9;
const cpu = process.cpuUsage(cpuStart);
const requests = settled - measured;
console.log(`requests=${requests} seconds=${seconds.toFixed(3)} rate=${(requests / seconds).toFixed(0)} `
  + `cpu_us=${((cpu.user + cpu.system) / requests).toFixed(2)} failed=${failed} `
  + `rss_mb=${(process.memoryUsage().rss / 1048576).toFixed(0)}`);
await http.close();
await db.end();
process.exit(failed > 0 ? 1 : 0);
