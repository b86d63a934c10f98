"""The peer in its own process: transformers + peft, forward and backward of the same batch. `python torch.py '{"model":...}'` prints a JSON line."""
import contextlib
import json
import os
import resource
import sys
import time

os.environ["HF_HUB_OFFLINE"] = "1"
sys.path.pop(0)  # this file must not shadow the package that it imports

import torch  # noqa: E402
from peft import PeftModel  # noqa: E402
from transformers import AutoModelForCausalLM  # noqa: E402

job = json.loads(sys.argv[1])
torch.set_num_threads(job["threads"])
model = AutoModelForCausalLM.from_pretrained(job["model"], dtype=torch.float32)
model.config.use_cache = False
model = PeftModel.from_pretrained(model, job["adapter"], is_trainable=True)
model.train()
if job["recompute"]:
    model.gradient_checkpointing_enable(gradient_checkpointing_kwargs={"use_reentrant": False})
    model.enable_input_require_grads()
causal = model.base_model.model
with open(job["workload"]) as file:
    batch = json.load(file)
token_ids = torch.tensor(batch["tokenIds"]).reshape(job["batch"], job["time"])
positions, targets = torch.tensor(batch["positions"]), torch.tensor(batch["targets"])
advantage, behaviour, weight = (torch.tensor(batch["perToken"][name]) for name in ("advantage", "behaviourLogprob", "weight"))
trained = [parameter for parameter in model.parameters() if parameter.requires_grad]


def forward_loss():
    # The head on the trained tokens only, as ours: transformers by itself would compute it on all of them.
    hidden = causal.model(input_ids=token_ids).last_hidden_state.flatten(0, 1)[positions]
    logprobs = torch.log_softmax(causal.lm_head(hidden).float(), -1).gather(1, targets[:, None])[:, 0]
    ratio = torch.exp((logprobs - behaviour).clamp(-20, 20))
    return -(weight * torch.min(ratio * advantage, ratio.clamp(1 - job["clip"], 1 + job["clip"]) * advantage)).sum()


seconds = []
for step in range(job["passes"] + 1):
    for parameter in trained:
        parameter.grad = None
    started = time.perf_counter()
    with torch.autocast("cpu", dtype=torch.bfloat16) if job["mode"] == "bf16" else contextlib.nullcontext():
        loss = forward_loss()
    loss.backward()
    if step > 0:
        seconds.append(time.perf_counter() - started)
norm = torch.sqrt(sum((parameter.grad.double() ** 2).sum() for parameter in trained)).item()
print(json.dumps({"seconds": seconds, "peakMb": resource.getrusage(resource.RUSAGE_SELF).ru_maxrss / 1024, "loss": loss.item(), "gradNorm": norm}))
