ALTER TABLE `round_steps` ADD `digest` text;--> statement-breakpoint
ALTER TABLE `rounds` ADD `rewards_through` integer;--> statement-breakpoint
ALTER TABLE `rounds` ADD `environment` text;--> statement-breakpoint
ALTER TABLE `rounds` ADD `interruptions` integer DEFAULT 0 NOT NULL;