// Calls or watches lossd with grpc-js; ../README.md says how it is used.
'use strict';

const fs = require('node:fs');
const path = require('node:path');
const grpc = require('@grpc/grpc-js');
const { version } = require('@grpc/grpc-js/package.json');

const COMPUTE = '/lossd.v1.LossService/ComputeLoss';
const WATCH = '/grpc.health.v1.Health/Watch';
const WORKERS = 8;
const DEADLINE_MS = 30_000;
const PING_MS = 10_000;

const asIs = (bytes) => bytes;

/** Resolves when standard input ends. */
function inputEnd() {
  return new Promise((resolve) => process.stdin.on('end', resolve).resume());
}

function call(client, request) {
  return new Promise((resolve) => {
    const deadline = Date.now() + DEADLINE_MS;
    client.makeUnaryRequest(COMPUTE, asIs, asIs, request, new grpc.Metadata(), { deadline },
      (error, reply) => resolve({ error, reply }));
  });
}

/** Returns the requests in a folder, each with how its reply must begin and end. */
function readSamples(folder) {
  const read = (name, part) => fs.readFileSync(path.join(folder, name.replace('.request', part)));
  return fs.readdirSync(folder).filter((name) => name.endsWith('.request')).map((name) => ({
    request: read(name, '.request'), start: read(name, '.start'), end: read(name, '.end'),
  }));
}

function isAnswer(reply, { start, end }) {
  return reply.subarray(0, start.length).equals(start)
    && reply.subarray(reply.length - end.length).equals(end);
}

async function load(addresses, configFile, folder) {
  const samples = readSamples(folder);
  const client = new grpc.Client(`ipv4:${addresses}`, grpc.credentials.createInsecure(), {
    'grpc.service_config': fs.readFileSync(configFile, 'utf8'),
  });
  const seen = { sent: 0, calls: 0, codes: {}, wrong: 0, texts: {} };
  let ended = false;
  const work = async () => {
    while (!ended) {
      const sample = samples[Math.floor(Math.random() * samples.length)];
      seen.sent += 1;
      const { error, reply } = await call(client, sample.request);
      seen.calls += 1;
      if (error) {
        const code = grpc.status[error.code];
        seen.codes[code] = (seen.codes[code] ?? 0) + 1;
        seen.texts[code] = error.message;
      } else if (!isAnswer(reply, sample)) {
        seen.wrong += 1;
      }
    }
  };
  const workers = Array.from({ length: WORKERS }, work);
  await inputEnd();
  ended = true;
  await Promise.all(workers);
  client.close();
  return seen;
}

async function watch(address) {
  const client = new grpc.Client(address, grpc.credentials.createInsecure(), {
    'grpc.keepalive_time_ms': PING_MS,
    'grpc.keepalive_timeout_ms': PING_MS,
  });
  const seen = { messages: 0, ended: '' };
  let left = false;
  const stream = client.makeServerStreamRequest(WATCH, asIs, asIs, Buffer.alloc(0));
  stream.on('data', () => { seen.messages += 1; });
  stream.on('error', (error) => { if (!left) seen.ended = error.message; });
  await inputEnd();
  left = true;
  stream.cancel();
  client.close();
  return seen;
}

async function main([mode, ...rest]) {
  const seen = await (mode === 'load' ? load(...rest) : watch(...rest));
  console.log(JSON.stringify({ version, ...seen }));
}

main(process.argv.slice(2));
