"""Log-probs of llama.cpp, after its own converters. `python llama_cpp_logprobs.py '{"source", "tokenIds", "gguf", "base", "adapter" | null, "work", "out"}'`: `source` is
llama.cpp's source tree (of the converters), `gguf` the file with the tokenizer, `base` a checkpoint. Writes `positions` [rows], and for the likeliest tokens there `ids`
and `logprobs` [rows, tokens]. llama.cpp itself comes with the package xllamacpp."""
import json
import os
import subprocess
import sys

os.environ["HF_HUB_OFFLINE"] = "1"

import numpy
import xllamacpp
from safetensors.numpy import save_file
from transformers import AutoTokenizer

LIKELIEST = 50
job = json.loads(sys.argv[1])
checkpoint = os.path.join(job["work"], "with-tokenizer")
base, adapter = os.path.join(job["work"], "base.gguf"), os.path.join(job["work"], "adapter.gguf")


def convert(script, *args):
    subprocess.run([sys.executable, os.path.join(job["source"], script), *args, "--outtype", "f32"], check=True, stdout=sys.stderr)


os.makedirs(checkpoint, exist_ok=True)
for name in os.listdir(job["base"]):
    if not os.path.exists(os.path.join(checkpoint, name)):
        os.symlink(os.path.join(job["base"], name), os.path.join(checkpoint, name))
AutoTokenizer.from_pretrained(os.path.dirname(job["gguf"]), gguf_file=os.path.basename(job["gguf"])).save_pretrained(checkpoint)
convert("convert_hf_to_gguf.py", checkpoint, "--outfile", base)
params = xllamacpp.CommonParams()
params.model.path, params.n_ctx, params.n_parallel = base, 256, 1
# Its defaults round keys and values to 16 bits.
params.cache_type_k = params.cache_type_v = xllamacpp.ggml_type.GGML_TYPE_F32
params.flash_attn_type = xllamacpp.llama_flash_attn_type.LLAMA_FLASH_ATTN_TYPE_DISABLED
if job["adapter"]:
    convert("convert_lora_to_gguf.py", "--base", checkpoint, job["adapter"], "--outfile", adapter)
    params.lora_adapters = [xllamacpp.CommonAdapterLoraInfo(adapter, 1.0)]
server = xllamacpp.Server(params)

rows = []
for position in range(len(job["tokenIds"])):
    answer = server.handle_completions({"prompt": job["tokenIds"][: position + 1], "n_predict": 1, "n_probs": LIKELIEST, "temperature": 1.0, "cache_prompt": False})
    logprobs = answer["choices"][0]["logprobs"]
    if logprobs:  # a completion that ends at once has none
        top = logprobs["content"][0]["top_logprobs"]
        rows.append((position, [token["id"] for token in top], [token["logprob"] for token in top]))
save_file({
    "positions": numpy.array([row[0] for row in rows], dtype=numpy.int32),
    "ids": numpy.array([row[1] for row in rows], dtype=numpy.int32),
    "logprobs": numpy.array([row[2] for row in rows], dtype=numpy.float32),
}, job["out"])
print(json.dumps({"rows": len(rows)}))
