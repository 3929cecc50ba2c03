// Calls the interoperability server with grpc-js: node_client.js <test.proto> <port> [ca.pem]
// Unary and the three streaming kinds, deadlines, cancellation and metadata; one line for each case.
'use strict';

const assert = require('assert');
const fs = require('fs');
const grpc = require('@grpc/grpc-js');
const loader = require('@grpc/proto-loader');

const [, , schema, port, ca] = process.argv;
const testing = grpc.loadPackageDefinition(loader.loadSync(schema, { keepCase: true })).grpc.testing;
const credentials = ca ? grpc.credentials.createSsl(fs.readFileSync(ca)) : grpc.credentials.createInsecure();
const client = new testing.TestService(`localhost:${port}`, credentials);

const payload = (size) => ({ body: Buffer.alloc(size) });
const ask = (sizes, interval_us = 0) => ({ response_parameters: sizes.map((size) => ({ size, interval_us })) });
const within = (milliseconds) => ({ deadline: Date.now() + milliseconds });

/// What a call with one response gives: { error, response, initial, trailing }.
function once(start) {
  return new Promise((resolve) => {
    const seen = {};
    let answered = false;
    const call = start((error, response) => {
      Object.assign(seen, { error, response });
      answered = true;
      if (seen.trailing) resolve(seen);
    });
    call.on('metadata', (metadata) => { seen.initial = metadata; });
    call.on('status', (status) => {
      seen.trailing = status.metadata;
      if (answered) resolve(seen);
    });
  });
}

/// What a call with many responses gives: { sizes, code, initial, trailing }.
function drain(call, onData = () => {}) {
  return new Promise((resolve) => {
    const seen = { sizes: [] };
    call.on('metadata', (metadata) => { seen.initial = metadata; });
    call.on('data', (message) => {
      seen.sizes.push(message.payload.body.length);
      onData(seen.sizes.length);
    });
    call.on('error', () => {});  // the status tells
    call.on('status', (status) => resolve({ ...seen, code: status.code, trailing: status.metadata }));
  });
}

const sizes = [31415, 9, 2653, 58979];

const cases = {
  async unary() {
    const request = { response_size: 314159, payload: payload(271828) };
    const { error, response } = await once((done) => client.UnaryCall(request, done));
    assert.ifError(error);
    assert.strictEqual(response.payload.body.length, 314159);
  },
  async server_streaming() {
    const seen = await drain(client.StreamingOutputCall(ask(sizes)));
    assert.deepStrictEqual([seen.code, seen.sizes], [grpc.status.OK, sizes]);
  },
  async client_streaming() {
    const { error, response } = await once((done) => {
      const call = client.StreamingInputCall(done);
      for (const size of [27182, 8, 1828, 45904]) call.write({ payload: payload(size) });
      call.end();
      return call;
    });
    assert.ifError(error);
    assert.strictEqual(response.aggregated_payload_size, 74922);
  },
  async bidirectional() {
    const call = client.FullDuplexCall();
    const seen = drain(call, (count) => (count < sizes.length ? call.write(ask([sizes[count]])) : call.end()));
    call.write(ask([sizes[0]]));
    const { code, sizes: received } = await seen;
    assert.deepStrictEqual([code, received], [grpc.status.OK, sizes]);
  },
  async deadlines() {
    const slow = ask([1], 30000000);
    const { code } = await drain(client.StreamingOutputCall(slow, within(200)));
    assert.strictEqual(code, grpc.status.DEADLINE_EXCEEDED);
    const call = client.FullDuplexCall(within(200));
    call.write(slow);
    assert.strictEqual((await drain(call)).code, grpc.status.DEADLINE_EXCEEDED);
    const { error } = await once((done) => client.EmptyCall({}, within(30000), done));
    assert.ifError(error);
  },
  async cancellation() {
    const call = client.FullDuplexCall();
    const seen = drain(call, () => call.cancel());
    call.write(ask([9]));
    assert.strictEqual((await seen).code, grpc.status.CANCELLED);
    const waiting = client.StreamingOutputCall(ask([1], 30000000));
    waiting.cancel();
    assert.strictEqual((await drain(waiting)).code, grpc.status.CANCELLED);
  },
  async metadata() {
    const sent = new grpc.Metadata();
    sent.set('x-grpc-test-echo-initial', 'test_initial_metadata_value');
    sent.set('x-grpc-test-echo-trailing-bin', Buffer.from([0, 0xab, 0xff]));
    const call = client.FullDuplexCall(sent);
    call.write(ask([1]));
    call.end();
    const streamed = drain(call);
    const unary = once((done) => client.UnaryCall({ response_size: 1 }, sent, done));
    for (const { initial, trailing } of await Promise.all([unary, streamed])) {
      assert.deepStrictEqual(initial.get('x-grpc-test-echo-initial'), ['test_initial_metadata_value']);
      assert.deepStrictEqual(trailing.get('x-grpc-test-echo-trailing-bin'), [Buffer.from([0, 0xab, 0xff])]);
    }
  },
  async statuses() {
    const message = '\t\nwhitespace\r\nand \u263a \u{1f608}\t\n';
    const failed = await once((done) => client.UnaryCall({ response_status: { code: 2, message } }, done));
    assert.deepStrictEqual([failed.error.code, failed.error.details], [grpc.status.UNKNOWN, message]);
    const unimplemented = await once((done) => client.UnimplementedCall({}, done));
    assert.strictEqual(unimplemented.error.code, grpc.status.UNIMPLEMENTED);
  },
};

(async () => {
  let failed = 0;
  for (const [name, run] of Object.entries(cases)) {
    try {
      await run();
      console.log('passed', name);
    } catch (error) {
      failed += 1;
      console.log('FAILED', name, error.message);
    }
  }
  client.close();
  process.exitCode = failed === 0 ? 0 : 1;
})();
