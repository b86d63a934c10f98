/**
 * vLLM's sleep mode (https://docs.vllm.ai/en/latest/features/sleep_mode/): weights move to the host's memory, the cache of keys and values is given up. Needs
 * --enable-sleep-mode, and VLLM_SERVER_DEV_MODE=1 for the routes.
 */
import { ApiError } from '../../errors.ts';
import { upstreamError, type Upstream } from '../openai/upstream.ts';

/** Moving the weights of a large model. */
const sleepTimeoutMs = 300_000;

/** @throws ApiError where the server cannot */
export async function putToSleep(upstream: Upstream): Promise<void> {
  await post(upstream, '/sleep?level=1');
}

/** Does nothing where the server is awake. @throws ApiError where it cannot */
export async function wakeUp(upstream: Upstream): Promise<void> {
  await post(upstream, '/wake_up');
}

async function post(upstream: Upstream, path: string): Promise<void> {
  const signal = AbortSignal.timeout(sleepTimeoutMs);
  const reply = await upstream.post(path, {}, {}, signal);
  const text = await reply.text();
  if (reply.statusCode === 404) throw new ApiError(502, 'It cannot sleep: start it with --enable-sleep-mode and VLLM_SERVER_DEV_MODE=1, or set backend.sleepWhileTraining to false.', { code: 'no_sleep_mode', type: 'upstream_error' });
  if (reply.statusCode >= 400) throw upstreamError(reply, text);
}
