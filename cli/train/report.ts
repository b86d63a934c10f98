/** What a training run says: JSON lines for programs, a table and a chart for people. */
import { lineChart } from '../terminal/chart.ts';
import { cell, textTable } from '../terminal/table.ts';
import type { RoundReport, TrainResult } from './loop.ts';

/** Names of the trainer's metrics that the table shows. */
const shownMetrics = [['policyKl', 'KL'], ['clipFraction', 'clip'], ['entropy', 'entropy'], ['gradNorm', 'grad norm']] as const;

/** One line of `--json`. */
export function roundJson(report: RoundReport): Record<string, unknown> {
  const { batch } = report;
  return {
    round: report.round, round_id: report.roundId, state: report.state, reason: report.reason, version: report.version,
    reward: finite(batch.meanReward), success_rate: finite(batch.successRate), rollouts: batch.rollouts, failed: batch.failed, timed_out: batch.timedOut,
    val: report.validation?.meanReward ?? null, val_success_rate: report.validation?.successRate ?? null,
    seconds: report.seconds, metrics: report.metrics,
  };
}

/** JSON has no NaN. */
function finite(value: number): number | null {
  return Number.isFinite(value) ? value : null;
}

/** The table at the end, with version 0's validation as its first row. */
export function trainingTable(result: TrainResult): string {
  const head = ['round', 'version', 'reward', 'val', ...shownMetrics.map(([, title]) => title), 'seconds', ''];
  const rows = result.rounds.map((report) => [
    String(report.round), String(report.version), cell(report.batch.meanReward), cell(report.validation?.meanReward),
    ...shownMetrics.map(([name]) => cell(report.metrics[name])),
    cell(report.seconds.rollouts + report.seconds.training + report.seconds.validation, 1), report.state === 'promoted' ? '' : report.state,
  ]);
  const { before } = result;
  if (before) rows.unshift(['–', String(before.version), '–', cell(before.meanReward), ...shownMetrics.map(() => '–'), cell(before.seconds, 1), '']);
  return textTable(head, rows);
}

/** The training reward by round. */
export function rewardChart(result: TrainResult): string {
  const chart = lineChart(result.rounds.map((report) => report.batch.meanReward).filter((value) => Number.isFinite(value)));
  return chart === '' ? '' : `reward by round\n${chart}`;
}
