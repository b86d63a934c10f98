/** @throws Error that says what is wrong with the expression */
export function calculate(expression: string): number;
