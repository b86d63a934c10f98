"""Writes the tokenizer and the chat template of a GGUF file as transformers keeps them. `python hf_tokenizer.py FILE.gguf DIRECTORY`"""
import json
import os
import sys

os.environ["HF_HUB_OFFLINE"] = "1"

from transformers import AutoTokenizer

file, directory = sys.argv[1:3]
AutoTokenizer.from_pretrained(os.path.dirname(os.path.abspath(file)), gguf_file=os.path.basename(file)).save_pretrained(directory)
print(json.dumps({"directory": directory}))
