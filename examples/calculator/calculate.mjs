/** The calculator: a recursive-descent parser for numbers, + - * / and parentheses. */
export function calculate(expression) {
  const tokens = String(expression).match(/\d+(?:\.\d+)?|\S/g) ?? [];
  let at = 0;

  function primary() {
    const token = tokens[at++];
    if (token === '(') {
      const value = sum();
      if (tokens[at++] !== ')') throw new Error('missing )');
      return value;
    }
    if (token === '-') return -primary();
    if (token === undefined || !/^\d/.test(token)) throw new Error(`unexpected ${token ?? 'end'}`);
    return Number(token);
  }
  function product() {
    let value = primary();
    while (tokens[at] === '*' || tokens[at] === '/') value = tokens[at++] === '*' ? value * primary() : value / primary();
    return value;
  }
  function sum() {
    let value = product();
    while (tokens[at] === '+' || tokens[at] === '-') value = tokens[at++] === '+' ? value + product() : value - product();
    return value;
  }

  const value = sum();
  if (at < tokens.length) throw new Error(`unexpected ${tokens[at]}`);
  return value;
}
