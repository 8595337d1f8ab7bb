// Computes a loss of 2 MB of logits with gRPC's own retries:
// node retry.js HOST:PORT PROTO_FOLDER
'use strict';

const fs = require('fs');
const path = require('path');
const grpc = require('@grpc/grpc-js');
const loader = require('@grpc/proto-loader');

const [target, protos] = process.argv.slice(2);
const definition = loader.loadSync('lossd/v1/loss_service.proto', {
  includeDirs: [protos],
  keepCase: true,
  defaults: true,
  longs: Number,
});
const { LossService } = grpc.loadPackageDefinition(definition).lossd.v1;

const file = process.env.SERVICE_CONFIG || path.join(__dirname, '../../service_config/service_config.json');
const client = new LossService(target, grpc.credentials.createInsecure(), {
  'grpc.service_config': fs.readFileSync(file, 'utf8'),
  // gRPC keeps a request of at most 1 MiB for another attempt, and 16 MiB of all requests of
  // the channel, unless these say more.
  'grpc.per_rpc_retry_buffer_size': 64 << 20,
  'grpc.retry_buffer_size': 256 << 20,
  'grpc.max_send_message_length': -1,
  'grpc.max_receive_message_length': -1,
});

const elements = 1 << 19;
const zeros = { shape: [elements], data: Buffer.alloc(4 * elements) };
const deadline = Date.now() + 30000;
client.ComputeLoss({ logits: zeros, targets: zeros }, { deadline }, (error, response) => {
  client.close();
  if (error) {
    console.error(error.message);
    process.exitCode = 1;
    return;
  }
  console.log(response.loss);
});
