/** Request bodies that are too large, compressed, or compressed to be too large: what is read of them, and what the client is told. */
import assert from 'node:assert/strict';
import { connect } from 'node:net';
import { after, before, describe, test } from 'node:test';
import { brotliCompressSync, deflateSync, gzipSync, zstdCompressSync } from 'node:zlib';
import { startHarness, until, type Harness } from '../harness.ts';

const megabyte = 1 << 20;

interface Refused { readonly status: number; readonly code: string }

const body = Buffer.from(JSON.stringify({ model: 'fake', messages: [{ role: 'user', content: 'packed' }] }));

describe('request bodies', () => {
  let h: Harness;
  before(async () => { h = await startHarness({ server: { maxBodyBytes: megabyte } }); });
  after(() => h[Symbol.asyncDispose]());

  const post = async (body: Buffer, headers: Record<string, string> = {}): Promise<Response> =>
    fetch(`${h.url}/v1/chat/completions`, { method: 'POST', body: new Uint8Array(body), headers: { 'content-type': 'application/json', ...headers } });
  const refusal = async (response: Response): Promise<Refused> => ({ status: response.status, code: (await response.json() as { error: { code: string } }).error.code });

  /** What the server answered, and how much of the body it let in. */
  async function upload(head: string, bytes: number): Promise<{ answer: string; taken: number }> {
    const socket = connect(Number(new URL(h.url).port), '127.0.0.1');
    let answer = '';
    socket.on('data', (data: Buffer) => { answer += data.toString(); });
    socket.on('error', () => undefined);
    socket.write(`POST /v1/chat/completions HTTP/1.1\r\nhost: x\r\n${head}\r\n\r\n`);
    const piece = Buffer.concat([Buffer.from('10000\r\n'), Buffer.alloc(0x10000, 'x'), Buffer.from('\r\n')]);
    const send = () => {
      let keepsUp = true;
      while (keepsUp && !socket.destroyed && socket.bytesWritten < bytes) keepsUp = socket.write(piece);
      if (!keepsUp) socket.once('drain', send);
    };
    send();
    await until(() => socket.closed, 10_000);
    return { answer, taken: socket.bytesWritten - socket.writableLength };
  }

  test('50 MB in chunks: refused at the limit, not read to the end', async () => {
    const { answer, taken } = await upload('transfer-encoding: chunked', 50 * megabyte);
    assert.match(answer, /^HTTP\/1.1 413 .*request_too_large/s);
    assert.ok(taken < 20 * megabyte, `${taken} bytes were taken`); // what the kernel's buffers hold, and the limit
  });

  test('50 MB declared: refused before the first byte', async () => {
    const { answer } = await upload(`content-length: ${50 * megabyte}`, 0);
    assert.match(answer, /^HTTP\/1.1 413 .*connection: close.*request_too_large/s);
  });

  test('a client that asks first is told to go on, or not to', async () => {
    const { answer } = await upload(`expect: 100-continue\r\ncontent-length: ${50 * megabyte}`, 0);
    assert.match(answer, /^HTTP\/1.1 413 /);
    const small = connect(Number(new URL(h.url).port), '127.0.0.1');
    let told = '';
    small.on('data', (data: Buffer) => { told += data.toString(); });
    small.write(`POST /v1/chat/completions HTTP/1.1\r\nhost: x\r\nexpect: 100-continue\r\ncontent-length: ${body.length}\r\n\r\n`);
    await until(() => told.startsWith('HTTP/1.1 100 '));
    small.write(body);
    await until(() => told.includes('HTTP/1.1 200 '));
    small.destroy();
  });

  test('fetch gets the refusal of 50 MB, whole', async () => {
    assert.deepEqual(await refusal(await post(Buffer.alloc(50 * megabyte, 'x'))), { status: 413, code: 'request_too_large' });
    assert.equal((await h.chat('and on')).status, 200);
  });

  const encodings = { gzip: gzipSync, deflate: deflateSync, br: brotliCompressSync, zstd: zstdCompressSync };
  for (const [name, encode] of Object.entries(encodings)) {
    test(`${name}: read, and stored as what it says`, async () => {
      assert.equal((await post(encode(body), { 'content-encoding': name })).status, 200);
      assert.equal((await h.steps()).at(-1)?.request, body.toString());
    });

    test(`${name}: a bomb is refused at the limit`, async () => {
      const bomb = encode(Buffer.alloc(200 * megabyte));
      assert.ok(bomb.length < megabyte, 'small enough to be let in');
      const before = process.memoryUsage().rss;
      assert.deepEqual(await refusal(await post(bomb, { 'content-encoding': name })), { status: 413, code: 'request_too_large' });
      assert.ok(process.memoryUsage().rss - before < 100 * megabyte);
    });

    test(`${name}: broken`, async () => {
      assert.deepEqual(await refusal(await post(Buffer.from('{"model": 1}'), { 'content-encoding': name })), { status: 400, code: 'invalid_encoding' });
    });
  }

  test('an encoding that nobody knows, or several', async () => {
    for (const encoding of ['compress', 'gzip, gzip', 'constructor']) {
      assert.deepEqual(await refusal(await post(body, { 'content-encoding': encoding })), { status: 415, code: 'unsupported_encoding' });
    }
  });
});
