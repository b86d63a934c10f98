ALTER TABLE `steps` ADD `request_base` text REFERENCES steps(id);--> statement-breakpoint
ALTER TABLE `steps` ADD `prompt_base` text REFERENCES steps(id);--> statement-breakpoint
ALTER TABLE `steps` ADD `shared_tokens` integer;