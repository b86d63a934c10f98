/** Rules of a grammar, as they are made. */
export class Rules {
  readonly #texts: string[] = [];
  #count = 0;

  get text(): string {
    return this.#texts.join('\n');
  }

  /** A new rule. @returns its name */
  add(name: string, expression: string): string {
    const rule = this.later(name);
    rule.complete(expression);
    return rule.name;
  }

  /** A rule whose name is needed before its expression is known. */
  later(name: string): { readonly name: string; complete(expression: string): void } {
    const rule = `${name}_${++this.#count}`;
    return { name: rule, complete: (expression) => { this.#texts.push(`${rule} ::= ${expression}`); } };
  }
}
