/** asciichart ships no types; this is what is used of it. */
declare module 'asciichart' {
  export function plot(series: readonly number[], options: {
    readonly height?: number; readonly min?: number; readonly max?: number; readonly format?: (value: number) => string;
  }): string;
}
