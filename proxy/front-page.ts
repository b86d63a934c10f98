/** GET /: where things are. */
export const frontPage = {
  name: 'fulgurite',
  use: 'Point an OpenAI client at this server: OPENAI_BASE_URL=<this address>/v1',
  agents: {
    'POST /v1/chat/completions': 'A policy call, recorded as a step. Also under /rollouts/{rollout}/v1 and /rollouts/{rollout}/agents/{agent}/v1.',
    'GET /v1/models': 'The model being served.',
    'POST /v1/rewards': '{"value": 1, "rollout" | "step" | "response_id": "…", "name"?: "…"}',
  },
  admin: {
    'POST /admin/rollouts': '{"task_id", "mode", "input"?, "version"?} → the rollout\'s base_url and api_key. Also /end and /attempts.',
    'GET /admin/rollouts': 'Rollouts; /{id} with its steps and rewards.',
    'GET /admin/steps': 'Steps; /{id} with token ids and log-probs.',
    'POST /admin/rounds': 'Asks for a training round; GET /{id}/events follows it.',
    'GET /admin/policies': 'Policy versions; POST /{version}/promote, POST /rollback.',
    'GET /admin/export': 'Steps as JSONL.',
  },
  health: ['/healthz', '/readyz', '/metrics'],
};
