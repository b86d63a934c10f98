"""Logits of transformers + peft. `python hf_logits.py '{"tokenIds", "runs": [{"base", "adapter" | null, "dtype", "out"}]}'` writes `logits` [time, vocab] of each run."""
import json
import os
import sys

os.environ["HF_HUB_OFFLINE"] = "1"

import torch
from peft import PeftModel
from safetensors.torch import save_file
from transformers import AutoModelForCausalLM

job = json.loads(sys.argv[1])
token_ids = torch.tensor([job["tokenIds"]])
for run in job["runs"]:
    model = AutoModelForCausalLM.from_pretrained(run["base"], dtype=getattr(torch, run["dtype"]))
    if run["adapter"]:
        model = PeftModel.from_pretrained(model, run["adapter"])
    with torch.no_grad():
        save_file({"logits": model(input_ids=token_ids).logits[0].float().contiguous()}, run["out"])
print(json.dumps({"runs": len(job["runs"])}))
