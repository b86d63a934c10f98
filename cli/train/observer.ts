/** Tells a training run's progress on stderr. */
import { problemReport } from '../runner/problem.ts';
import type { Progress } from '../terminal/progress.ts';
import { cell } from '../terminal/table.ts';
import type { RoundReport, TrainObserver } from './loop.ts';

export function progressObserver(progress: Progress, onRound: (report: RoundReport) => void): TrainObserver {
  let hasToldProblem = false;
  return {
    phase: (text, done, total) => progress.update(total > 0 ? `${text} ${done}/${total}` : text),
    rollout(result) {
      if (hasToldProblem || result.problem === null) return;
      hasToldProblem = true;
      progress.line(problemReport(result));
    },
    validated: (validation) => progress.line(
      `version ${validation.version}: validation reward ${cell(validation.meanReward)}, success ${cell(validation.successRate)} (${validation.results.length} rollouts, ${cell(validation.seconds, 1)} s)`),
    round(report) {
      const { batch, seconds } = report;
      const outcome = report.state === 'promoted' ? `version ${report.version} is served` : `${report.state}, version ${report.version} stays${report.reason === null ? '' : `. ${report.reason}`}`;
      progress.line(`round ${report.round}: reward ${cell(batch.meanReward)} over ${batch.rollouts} rollouts (${cell(seconds.rollouts, 1)} s), training ${cell(seconds.training, 1)} s: ${outcome}`);
      onRound(report);
    },
  };
}
