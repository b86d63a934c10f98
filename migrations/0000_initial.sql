CREATE TABLE `attempts` (
	`id` text PRIMARY KEY NOT NULL,
	`rollout_id` text NOT NULL,
	`number` integer NOT NULL,
	`state` text DEFAULT 'running' NOT NULL,
	`detail` text,
	`created_at` integer NOT NULL,
	`ended_at` integer,
	FOREIGN KEY (`rollout_id`) REFERENCES `rollouts`(`id`) ON UPDATE no action ON DELETE no action
);
--> statement-breakpoint
CREATE UNIQUE INDEX `attempts_number` ON `attempts` (`rollout_id`,`number`);--> statement-breakpoint
CREATE TABLE `events` (
	`id` integer PRIMARY KEY AUTOINCREMENT NOT NULL,
	`rollout_id` text,
	`attempt_id` text,
	`kind` text NOT NULL,
	`data` text,
	`created_at` integer NOT NULL
);
--> statement-breakpoint
CREATE INDEX `events_rollout` ON `events` (`rollout_id`);--> statement-breakpoint
CREATE INDEX `events_kind` ON `events` (`kind`);--> statement-breakpoint
CREATE TABLE `keys` (
	`id` text PRIMARY KEY NOT NULL,
	`hash` text NOT NULL,
	`scope` text NOT NULL,
	`rollout_id` text,
	`name` text,
	`created_at` integer NOT NULL,
	`expires_at` integer,
	`revoked_at` integer
);
--> statement-breakpoint
CREATE UNIQUE INDEX `keys_hash` ON `keys` (`hash`);--> statement-breakpoint
CREATE TABLE `meta` (
	`key` text PRIMARY KEY NOT NULL,
	`value` text NOT NULL
);
--> statement-breakpoint
CREATE TABLE `policies` (
	`version` integer PRIMARY KEY NOT NULL,
	`kind` text NOT NULL,
	`state` text NOT NULL,
	`parent_version` integer,
	`round_id` integer,
	`directory` text,
	`sha256` text,
	`created_at` integer NOT NULL
);
--> statement-breakpoint
CREATE TABLE `promotions` (
	`id` integer PRIMARY KEY AUTOINCREMENT NOT NULL,
	`version` integer NOT NULL,
	`previous_version` integer,
	`reason` text NOT NULL,
	`created_at` integer NOT NULL,
	FOREIGN KEY (`version`) REFERENCES `policies`(`version`) ON UPDATE no action ON DELETE no action
);
--> statement-breakpoint
CREATE TABLE `rewards` (
	`id` integer PRIMARY KEY AUTOINCREMENT NOT NULL,
	`rollout_id` text NOT NULL,
	`step_id` text,
	`name` text DEFAULT 'reward' NOT NULL,
	`kind` text DEFAULT 'outcome' NOT NULL,
	`value` real NOT NULL,
	`source` text NOT NULL,
	`created_at` integer NOT NULL,
	`superseded_at` integer,
	FOREIGN KEY (`rollout_id`) REFERENCES `rollouts`(`id`) ON UPDATE no action ON DELETE no action,
	FOREIGN KEY (`step_id`) REFERENCES `steps`(`id`) ON UPDATE no action ON DELETE no action
);
--> statement-breakpoint
CREATE UNIQUE INDEX `rewards_live_rollout` ON `rewards` (`rollout_id`,`name`) WHERE "rewards"."superseded_at" is null and "rewards"."step_id" is null;--> statement-breakpoint
CREATE UNIQUE INDEX `rewards_live_step` ON `rewards` (`step_id`,`name`) WHERE "rewards"."superseded_at" is null and "rewards"."step_id" is not null;--> statement-breakpoint
CREATE INDEX `rewards_rollout` ON `rewards` (`rollout_id`);--> statement-breakpoint
CREATE INDEX `rewards_step` ON `rewards` (`step_id`);--> statement-breakpoint
CREATE TABLE `rollouts` (
	`id` text PRIMARY KEY NOT NULL,
	`task_id` text,
	`mode` text NOT NULL,
	`state` text DEFAULT 'running' NOT NULL,
	`pinned_version` integer,
	`input` text,
	`metadata` text,
	`created_at` integer NOT NULL,
	`ended_at` integer
);
--> statement-breakpoint
CREATE INDEX `rollouts_task` ON `rollouts` (`task_id`,`mode`);--> statement-breakpoint
CREATE INDEX `rollouts_created` ON `rollouts` (`created_at`);--> statement-breakpoint
CREATE TABLE `round_steps` (
	`round_id` integer NOT NULL,
	`step_id` text NOT NULL,
	`credit` real,
	`advantage` real,
	`weight` real,
	`staleness` integer,
	`left_out_reason` text,
	PRIMARY KEY(`round_id`, `step_id`),
	FOREIGN KEY (`round_id`) REFERENCES `rounds`(`id`) ON UPDATE no action ON DELETE no action,
	FOREIGN KEY (`step_id`) REFERENCES `steps`(`id`) ON UPDATE no action ON DELETE no action
);
--> statement-breakpoint
CREATE INDEX `round_steps_step` ON `round_steps` (`step_id`);--> statement-breakpoint
CREATE TABLE `rounds` (
	`id` integer PRIMARY KEY AUTOINCREMENT NOT NULL,
	`state` text DEFAULT 'requested' NOT NULL,
	`config` text,
	`promote` integer DEFAULT true NOT NULL,
	`seed` integer,
	`base_version` integer,
	`result_version` integer,
	`progress` text,
	`metrics` text,
	`error` text,
	`requested_at` integer NOT NULL,
	`started_at` integer,
	`ended_at` integer
);
--> statement-breakpoint
CREATE TABLE `steps` (
	`id` text PRIMARY KEY NOT NULL,
	`call_id` text NOT NULL,
	`choice` integer DEFAULT 0 NOT NULL,
	`rollout_id` text NOT NULL,
	`attempt_id` text NOT NULL,
	`agent` text DEFAULT 'default' NOT NULL,
	`sequence` integer NOT NULL,
	`parent_step_id` text,
	`dialect` text NOT NULL,
	`model` text NOT NULL,
	`response_id` text,
	`sampling` text,
	`version_spans` text,
	`finish_reason` text,
	`usage` text,
	`queue_ms` real,
	`first_token_ms` real,
	`total_ms` real,
	`state` text DEFAULT 'open' NOT NULL,
	`quarantine_reason` text,
	`error` text,
	`created_at` integer NOT NULL,
	`ended_at` integer,
	`request` blob,
	`response` blob,
	`prompt_ids` blob,
	`completion_ids` blob,
	`logprobs` blob,
	FOREIGN KEY (`rollout_id`) REFERENCES `rollouts`(`id`) ON UPDATE no action ON DELETE no action,
	FOREIGN KEY (`attempt_id`) REFERENCES `attempts`(`id`) ON UPDATE no action ON DELETE no action
);
--> statement-breakpoint
CREATE INDEX `steps_rollout` ON `steps` (`rollout_id`,`sequence`);--> statement-breakpoint
CREATE INDEX `steps_call` ON `steps` (`call_id`);--> statement-breakpoint
CREATE INDEX `steps_response` ON `steps` (`response_id`);--> statement-breakpoint
CREATE INDEX `steps_open` ON `steps` (`state`) WHERE "steps"."state" = 'open';