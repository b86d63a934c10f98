/** GET /v1/models and /v1/models/{id} (https://platform.openai.com/docs/api-reference/models). */
import { requireScope } from './auth.ts';
import type { PolicyBackend } from './backends/backend.ts';
import type { AppContext } from './context.ts';
import { ApiError } from './errors.ts';

type ListedModel = Awaited<ReturnType<PolicyBackend['models']>>[number];

export async function listModels(backend: PolicyBackend, c: AppContext): Promise<Response> {
  requireScope(c.get('principal'), 'agent');
  return c.json({ object: 'list', data: (await backend.models()).map(modelObject) });
}

export async function findModel(backend: PolicyBackend, c: AppContext): Promise<Response> {
  requireScope(c.get('principal'), 'agent');
  const id = c.req.param('model');
  const models = await backend.models();
  const model = models.find((candidate) => candidate.id === id);
  if (model === undefined) {
    throw new ApiError(404, `The model "${id}" does not exist here. Use ${models.map((known) => `"${known.id}"`).join(' or ')}.`, { code: 'model_not_found', param: 'model' });
  }
  return c.json(modelObject(model));
}

const modelObject = ({ id, created, ownedBy }: ListedModel) => ({ id, object: 'model', created, owned_by: ownedBy });
