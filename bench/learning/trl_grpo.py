"""The peer in its own process: TRL's GRPOTrainer on the CPU, float32. `python trl_grpo.py PLAN`, PLAN being the JSON of plan.ts, prints a JSON line (curve.ts)."""
import json
import os
import sys
import time

os.environ.update(HF_HUB_OFFLINE="1", WANDB_DISABLED="true", TRANSFORMERS_VERBOSITY="error")
started = time.perf_counter()

import torch  # noqa: E402
from datasets import Dataset  # noqa: E402
from peft import LoraConfig  # noqa: E402
from transformers import AutoModelForCausalLM, AutoTokenizer, TrainerCallback  # noqa: E402
from trl import GRPOConfig, GRPOTrainer  # noqa: E402

from tasks import Tasks  # noqa: E402

plan = json.loads(sys.argv[1])
torch.set_num_threads(plan["threads"])
tasks = Tasks(plan["kinds"], plan["seed"], plan["rounds"] * plan["tasksPerRound"])
samples = plan["tasksPerRound"] * plan["group"]
rounds, clock = [], {}


def reward(prompts, completions, index, **_):
    """Called once a round, with all of its samples."""
    scores = [tasks.score(task, completion[0]["content"]) for task, completion in zip(index, completions)]
    group = plan["group"]  # the samples of a task come one after the other
    rounds.append({"tasks": [{"kind": tasks.task(index[i])["kind"], "reward": sum(scores[i : i + group]) / group} for i in range(0, len(scores), group)]})
    return scores


class Clock(TrainerCallback):
    def on_train_begin(self, *_, **__):
        clock["begin"] = clock["last"] = time.perf_counter()

    def on_step_end(self, *_, **__):
        now = time.perf_counter()
        rounds[-1]["seconds"] = now - clock["last"]
        clock["last"] = now


tokenizer = AutoTokenizer.from_pretrained(os.path.dirname(plan["gguf"]), gguf_file=os.path.basename(plan["gguf"]))
trainer = GRPOTrainer(
    model=AutoModelForCausalLM.from_pretrained(plan["huggingFace"], dtype=torch.float32),
    processing_class=tokenizer,
    reward_funcs=reward,
    train_dataset=Dataset.from_list([{"prompt": tasks.task(i)["messages"], "index": i} for i in range(tasks.count)]),
    peft_config=LoraConfig(r=plan["rank"], lora_alpha=plan["alpha"], target_modules=plan["targets"], task_type="CAUSAL_LM"),
    callbacks=[Clock()],
    args=GRPOConfig(
        # The same algorithm and numbers as ours; what is not named here is TRL's default.
        loss_type="grpo", scale_rewards="group", beta=0.0, num_iterations=1, epsilon=0.2, temperature=plan["temperature"], num_generations=plan["group"],
        max_completion_length=plan["maxTokens"], learning_rate=plan["learningRate"], lr_scheduler_type="constant", weight_decay=0.0, max_grad_norm=1.0,
        max_steps=plan["rounds"], per_device_train_batch_size=plan["microBatch"], gradient_accumulation_steps=samples // plan["microBatch"],
        # What makes it as fast as it gets here.
        use_cpu=True, bf16=False, gradient_checkpointing=False,
        shuffle_dataset=False, seed=plan["seed"], output_dir=plan["work"], save_strategy="no", report_to=[], logging_strategy="no", disable_tqdm=True,
    ),
)
trainer.train()
print(json.dumps({"rounds": rounds, "seconds": clock["last"] - clock["begin"], "startSeconds": clock["begin"] - started}))
