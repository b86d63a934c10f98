/** The engine in this process, as token backends see engines. */
import type { Engine } from '../../../engine/engine.ts';
import type { TokenEngine } from '../tokens/engine.ts';

export function embeddedEngine(engine: Engine): TokenEngine {
  return {
    name: 'embedded',
    maxContext: engine.maxContext,
    loadsPolicies: true,
    holds: () => true,
    generate: (request, signal) => engine.generate(request, signal),
    loadPolicy: (files) => engine.loadPolicy(files),
    setCurrent: (version) => engine.setCurrent(version),
    unloadPolicy: (version) => engine.unloadPolicy(version),
    async stats() {
      const { running, waiting, kvBytes, prefixBytes, promptTokens, reusedTokens, completionTokens, decodeSteps, loadedVersions } = await engine.stats();
      return {
        rows_running: running, requests_waiting: waiting, versions_loaded: loadedVersions.length, kv_bytes: kvBytes, prefix_cache_bytes: prefixBytes,
        prompt_tokens: promptTokens, prompt_tokens_reused: reusedTokens, prefix_hit_rate: reusedTokens / Math.max(promptTokens + reusedTokens, 1), completion_tokens: completionTokens, decode_steps: decodeSteps,
      };
    },
    async health() {
      try {
        const { running, waiting, currentVersion } = await engine.stats();
        return { ok: true, detail: `version ${currentVersion}, ${running} running, ${waiting} waiting` };
      } catch (error) {
        return { ok: false, detail: error instanceof Error ? error.message : String(error) };
      }
    },
    close: () => engine.close(),
  };
}
