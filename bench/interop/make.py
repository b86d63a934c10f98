"""Small checkpoints of every architecture, and adapters for them as PEFT writes them. `python make.py DIRECTORY [NAME=CHECKPOINT]...` prints a JSON list of {"name",
"base", "adapters"}; adapters are made for the checkpoints that are named, too."""
import json
import math
import os
import sys

os.environ["HF_HUB_OFFLINE"] = "1"

import torch
from peft import LoraConfig, get_peft_model
from transformers import AutoModelForCausalLM, Gemma3TextConfig, LlamaConfig, Qwen2Config, Qwen3Config

SHAPE = dict(vocab_size=512, hidden_size=128, intermediate_size=256, num_hidden_layers=4, num_attention_heads=4, num_key_value_heads=2, max_position_embeddings=512, bos_token_id=1, eos_token_id=2, pad_token_id=0)
CONFIGS = {
    "llama": LlamaConfig(**SHAPE, tie_word_embeddings=True, rope_theta=1e5),
    "qwen2": Qwen2Config(**SHAPE, tie_word_embeddings=True),
    "qwen3": Qwen3Config(**SHAPE, head_dim=64, tie_word_embeddings=False),
    "gemma3": Gemma3TextConfig(**SHAPE, head_dim=64, query_pre_attn_scalar=64, sliding_window=16, layer_types=["sliding_attention", "full_attention"] * 2),
}
# Every way to name targets that PEFT has, both scales.
ADAPTERS = {
    "all-linear": LoraConfig(r=8, lora_alpha=16, target_modules="all-linear", task_type="CAUSAL_LM"),
    "rslora": LoraConfig(r=4, lora_alpha=8, target_modules=["q_proj", "v_proj"], use_rslora=True, task_type="CAUSAL_LM"),
    "regex": LoraConfig(r=16, lora_alpha=16, target_modules=r".*\.layers\.[02]\..*(o_proj|down_proj)", task_type="CAUSAL_LM"),
}




def make_checkpoint(name, config, directory):
    torch.manual_seed(len(name))
    model = AutoModelForCausalLM.from_config(config, dtype=torch.float32)
    with torch.no_grad():
        for parameter in model.parameters():
            if parameter.dim() == 2:
                parameter.normal_(std=0.5 if parameter.shape[0] == config.vocab_size else 1 / math.sqrt(parameter.shape[1]))
            else:
                parameter.add_(0.1 * torch.randn_like(parameter))
    model.save_pretrained(directory)
    return directory


def make_adapters(name, base, directory):
    made = {}
    for adapter, settings in ADAPTERS.items():
        torch.manual_seed(len(adapter))
        wrapped = get_peft_model(AutoModelForCausalLM.from_pretrained(base, dtype=torch.float32), settings)
        for parameter_name, parameter in wrapped.named_parameters():
            if "lora_B" in parameter_name:
                torch.nn.init.normal_(parameter, std=0.02)
        made[adapter] = os.path.join(directory, f"{name}-{adapter}")
        wrapped.save_pretrained(made[adapter])
    return {"name": name, "base": base, "adapters": made}


directory, *existing = sys.argv[1:]
checkpoints = {name: make_checkpoint(name, config, os.path.join(directory, name)) for name, config in CONFIGS.items()}
checkpoints |= dict(argument.split("=", 1) for argument in existing)
print(json.dumps([make_adapters(name, base, directory) for name, base in checkpoints.items()]))
