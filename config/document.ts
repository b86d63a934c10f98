/** docs/configuration.md, made from the schema. */
import { isDeepStrictEqual } from 'node:util';
import { accepts, choiceOf, configOutline, type SchemaNode } from './outline.ts';

const introduction = `# Configuration

Made from \`config/schema.ts\` by \`fulgurite config --docs\`; do not edit by hand.

A configuration is a YAML or JSON file: \`--config FILE\`, else \`fulgurite.yaml\` of the working directory if it is there. \`--set KEY=VALUE\`
overrides a key (\`--set trainer.optimizer.learningRate=3e-4\`), and flags such as \`--port\` override both. A value written \`env:NAME\` is read
from the environment. \`fulgurite config\` prints the configuration in effect, defaults included. Ready files are in \`config/ready/\`.
`;

/** Markdown: one table a section, every key with what it takes, its default and its sentence. */
export function configurationDocument(): string {
  return `${[introduction, ...section('', configOutline)].join('\n')}\n`;
}

function section(path: string, node: SchemaNode): string[] {
  if (node.oneOf) return choices(path, node, node.oneOf);
  return [`## ${path === '' ? 'Top level' : path}`, '', ...body(path, node)];
}

/** What all variants have is said once, before them. */
function choices(path: string, node: SchemaNode, variants: readonly SchemaNode[]): string[] {
  const shared = Object.entries(variants[0]?.properties ?? {}).filter(([key, child]) => variants.every((variant) => isDeepStrictEqual(variant.properties?.[key], child)));
  const common: SchemaNode = { ...(node.description === undefined ? {} : { description: node.description }), properties: Object.fromEntries(shared) };
  const lines = shared.length > 0 ? section(path, common) : [];
  for (const variant of variants) {
    const choice = choiceOf(variant);
    const own = Object.entries(variant.properties ?? {}).filter(([key]) => common.properties?.[key] === undefined);
    lines.push(`## ${path} (${choice?.key}: ${choice?.value})`, '', ...body(path, { ...variant, properties: Object.fromEntries(own) }));
  }
  return lines;
}

function body(path: string, node: SchemaNode): string[] {
  const entries = Object.entries(node.properties ?? {});
  const leaves = entries.filter(([, child]) => !isSection(child));
  const lines = node.description === undefined ? [] : [node.description, ''];
  if (leaves.length > 0) {
    lines.push('| key | takes | default | |', '|---|---|---|---|');
    for (const [key, child] of leaves) lines.push(row(key, child, node.required?.includes(key) ?? false));
    lines.push('');
  }
  for (const [key, child] of entries) {
    if (isSection(child)) lines.push(...section(path === '' ? key : `${path}.${key}`, child));
  }
  return lines;
}

function isSection(node: SchemaNode): boolean {
  return node.oneOf !== undefined || node.properties !== undefined;
}

function row(key: string, node: SchemaNode, required: boolean): string {
  const fallback = required ? '*required*' : node.default === undefined ? '' : `\`${JSON.stringify(node.default)}\``;
  const takes = node.items?.properties ? `a list of \`{${Object.entries(node.items.properties).map(([name, item]) => `${name}: ${accepts(item)}`).join('; ')}}\`` : accepts(node);
  return `| \`${key}\` | ${escape(takes)} | ${escape(fallback)} | ${escape(node.description ?? '')} |`;
}

function escape(text: string): string {
  return text.replaceAll('|', '\\|');
}
