"""Logits of vLLM on the CPU, its LoRA kernels included. `python vllm_logits.py '{"tokenIds", "base", "dtype", "runs": [{"adapter" | null, "out"}]}'` writes `logits`
[time - 1, vocab] of each run, raw, before any sampling."""
import json
import os
import sys

os.environ.update(HF_HUB_OFFLINE="1", VLLM_CPU_KVCACHE_SPACE="1", VLLM_NO_USAGE_STATS="1", DO_NOT_TRACK="1", VLLM_LOGGING_LEVEL="ERROR", VLLM_ENABLE_V1_MULTIPROCESSING="0")

import torch
from safetensors.torch import save_file
from vllm import LLM, SamplingParams
from vllm.lora.request import LoRARequest

job = json.loads(sys.argv[1])
llm = LLM(
    model=job["base"], dtype=job["dtype"], skip_tokenizer_init=True, enforce_eager=True, max_model_len=256, max_num_seqs=2, enable_prefix_caching=False,
    max_logprobs=-1, logprobs_mode="raw_logits", enable_lora=any(run["adapter"] for run in job["runs"]), max_lora_rank=16, max_loras=1,
)
for number, run in enumerate(job["runs"], 1):
    lora = LoRARequest(f"run-{number}", number, run["adapter"]) if run["adapter"] else None
    [answer] = llm.generate({"prompt_token_ids": job["tokenIds"]}, SamplingParams(max_tokens=1, prompt_logprobs=-1, detokenize=False), lora_request=lora, use_tqdm=False)
    rows = []
    for row in answer.prompt_logprobs[1:]:  # the first token has nothing before it
        rows.append(torch.tensor([row[token].logprob for token in range(len(row))]))
    save_file({"logits": torch.stack(rows)}, run["out"])
print(json.dumps({"runs": len(job["runs"])}))
