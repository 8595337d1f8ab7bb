// Tries a server with gRPC as Node has it, and prints what came back, a name=value a line:
// node smoke.js HOST:PORT FULL_HOST:PORT PROTO_FOLDER, the addresses of a server and of one that
// refuses requests
'use strict';

const crypto = require('crypto');
const grpc = require('@grpc/grpc-js');
const loader = require('@grpc/proto-loader');

const [target, full, protos] = process.argv.slice(2);
// Without these options, names become camelCase (and others are dropped without a word), 64-bit
// integers become objects, and a loss of 0 is undefined.
const definition = loader.loadSync('lossd/v1/loss_service.proto', {
  includeDirs: [protos],
  keepCase: true,
  defaults: true,
  longs: Number,
  enums: String,
});
const { LossService } = grpc.loadPackageDefinition(definition).lossd.v1;

const ROWS = 1024;
const COLUMNS = 1024;

// Returns float32 as the wire has them: little-endian, whatever this machine is. A Float32Array
// given as bytes would be sent as one byte an element.
function pack(values) {
  const data = Buffer.alloc(4 * values.length);
  values.forEach((value, i) => data.writeFloatLE(value, 4 * i));
  return data;
}

// Returns a mean over 1 Mi logits with one bit for each target.
function request() {
  const logits = new Float32Array(ROWS * COLUMNS);
  const bits = Buffer.alloc((ROWS * COLUMNS) / 8);
  for (let i = 0; i < logits.length; ++i) {
    logits[i] = (((i * 37) % 257) - 128) / 16;
    if (i % 3 === 0) bits[i >> 3] |= 1 << (i & 7); // the least significant bit is the first
  }
  const shape = [ROWS, COLUMNS];
  return {
    logits: { dtype: 'DATA_TYPE_FLOAT32', shape, data: pack(logits) },
    targets: { dtype: 'DATA_TYPE_BIT', shape, data: bits },
  };
}

function connect(address, options) {
  return new LossService(address, grpc.credentials.createInsecure(), options);
}

// Returns the response, or the error, of one call.
function compute(client, message) {
  const deadline = Date.now() + 60000;
  return new Promise((resolve) => {
    client.ComputeLoss(message, { deadline }, (error, response) => resolve(error || response));
  });
}

async function main() {
  const small = connect(target, {});
  const refused = await compute(small, request());
  console.log(`code_at_default_limit=${grpc.status[refused.code]}`);

  const client = connect(target, { 'grpc.max_receive_message_length': 64 << 20 });
  const response = await compute(client, request());
  if (response instanceof Error) throw response;
  const gradient = response.gradient.data;
  console.log(`loss=${response.loss}`);
  console.log(`gradient_sha256=${crypto.createHash('sha256').update(gradient).digest('hex')}`);
  // The bytes may begin anywhere in their buffer, so a Float32Array over them may throw.
  console.log(`gradient_1=${gradient.readFloatLE(4)}`);

  const bad = await compute(client, { logits: { values: [0, 0] }, targets: { values: [1, 3] } });
  console.log(`bad_code=${grpc.status[bad.code]}\nbad_message=${bad.details}`);

  // gRPC for Node retries a refusal that has a pushback only with a retry policy.
  const other = connect(full, {});
  const held = await compute(other, { logits: { values: [0] }, targets: { values: [1] } });
  console.log(`full_code=${grpc.status[held.code]}`);
  console.log(`full_pushback_ms=${held.metadata.get('grpc-retry-pushback-ms')[0]}`);
  [small, client, other].forEach((channel) => channel.close());
}

main();
