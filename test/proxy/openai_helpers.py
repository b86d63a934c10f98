"""The official Python client's own helpers against a running server: `python openai_helpers.py URL`."""
import sys
from typing import Literal, Optional

import openai
from pydantic import BaseModel, Field


class Wind(BaseModel):
    direction: Literal["N", "S"]


class Weather(BaseModel):
    city: Literal["Oslo", "Rome"]
    celsius: int = Field(ge=-30, le=45)
    wind: Optional[Wind]


class Add(BaseModel):
    a: int = Field(ge=0, le=9)
    b: int = Field(ge=0, le=9)


client = openai.OpenAI(base_url=f"{sys.argv[1]}/v1", api_key="none", max_retries=0)
asked = {"model": "chain", "messages": [{"role": "user", "content": "Hi"}], "seed": 1}
tools = [openai.pydantic_function_tool(Add, name="add")]

for choice in client.chat.completions.parse(**asked, n=4, response_format=Weather).choices:
    assert isinstance(choice.message.parsed, Weather), choice

message = client.chat.completions.parse(**asked, tools=tools, tool_choice="required", parallel_tool_calls=False).choices[0].message
assert isinstance(message.tool_calls[0].function.parsed_arguments, Add), message

with client.chat.completions.stream(**asked, response_format=Weather) as stream:
    text = "".join(event.delta for event in stream if event.type == "content.delta")
    assert stream.get_final_completion().choices[0].message.parsed == Weather.model_validate_json(text)

with client.chat.completions.stream(**asked, tools=tools, tool_choice="required", parallel_tool_calls=False) as stream:
    done = [event for event in stream if event.type == "tool_calls.function.arguments.done"]
    assert len(done) == 1 and isinstance(done[0].parsed_arguments, Add), done
    assert stream.get_final_completion().choices[0].finish_reason == "tool_calls"

named = client.chat.completions.create(**asked, tools=tools, tool_choice={"type": "function", "function": {"name": "add"}})
assert Add.model_validate_json(named.choices[0].message.tool_calls[0].function.arguments)

try:
    client.chat.completions.create(**asked, response_format={"type": "json_schema", "json_schema": {"name": "x", "schema": {"not": {}}}})
    raise AssertionError("a schema that cannot be held to was taken")
except openai.BadRequestError as error:
    assert error.code == "invalid_grammar", error

print(f"openai {openai.__version__}: parse, stream and tools agree")
