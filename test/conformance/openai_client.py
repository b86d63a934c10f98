"""The official Python client against a proxy: `python openai_client.py URL MODEL [tools]`. Prints what it did; an assertion that fails ends it."""
import asyncio
import json
import sys

import openai

url, model = sys.argv[1], sys.argv[2]
has_tools = "tools" in sys.argv[3:]
messages = [{"role": "user", "content": "Name three colors."}]
greedy = {"model": model, "messages": messages, "temperature": 0, "max_tokens": 24}
client = openai.OpenAI(base_url=f"{url}/v1", api_key="none", max_retries=0, timeout=120)
concurrent = 32


def said(chunks):
    return "".join(chunk.choices[0].delta.content or "" for chunk in chunks if chunk.choices)


def streaming():
    whole = client.chat.completions.create(**greedy)
    chunks = list(client.chat.completions.create(**greedy, stream=True, stream_options={"include_usage": True}))
    assert said(chunks) == whole.choices[0].message.content
    assert chunks[-1].usage == whole.usage, (chunks[-1].usage, whole.usage)
    assert {chunk.id for chunk in chunks} == {chunks[0].id}
    assert client.models.retrieve(model).id == model


def tools():
    parameters = {"type": "object", "properties": {"city": {"enum": ["Oslo", "Rome"]}}, "required": ["city"], "additionalProperties": False}
    tool = {"type": "function", "function": {"name": "get_weather", "description": "Says the weather", "strict": True, "parameters": parameters}}
    body = {**greedy, "max_tokens": 200, "tools": [tool], "tool_choice": "required", "parallel_tool_calls": False}
    call = client.chat.completions.create(**body).choices[0].message.tool_calls[0]
    assert call.function.name == "get_weather", call
    arguments = json.loads(call.function.arguments)
    with client.chat.completions.stream(**body) as stream:
        final = stream.get_final_completion().choices[0]
    assert final.finish_reason == "tool_calls" and json.loads(final.message.tool_calls[0].function.arguments) == arguments, (final, call)


def errors():
    def raises(kind, **change):
        for stream in (False, True):
            try:
                client.chat.completions.create(**{**greedy, **change}, stream=stream)
            except kind as error:
                assert error.body, error
            else:
                raise AssertionError(f"{change} raised nothing")

    raises(openai.NotFoundError, model="nope")
    raises(openai.BadRequestError, temperature=-1)
    raises(openai.BadRequestError, messages=[{"role": "user", "content": "word " * 9000}])


def abort():
    # The tokens that end answers of the models here are ruled out.
    endless = {**greedy, "temperature": 1.5, "max_tokens": 1500, "logit_bias": {"0": -100, "1": -100, "2": -100}}
    with client.chat.completions.create(**endless, stream=True) as stream:
        next(iter(stream))


async def streams():
    many = openai.AsyncOpenAI(base_url=f"{url}/v1", api_key="none", max_retries=0, timeout=300)

    async def one(seed):
        body = {**greedy, "temperature": 1, "seed": seed, "max_tokens": 16}
        chunks = [chunk async for chunk in await many.chat.completions.create(**body, stream=True)]
        assert chunks[-1].choices[0].finish_reason in ("stop", "length"), chunks[-1]
        return chunks[0].id

    assert len(set(await asyncio.gather(*[one(seed) for seed in range(concurrent)]))) == concurrent


streaming()
if has_tools:
    tools()
errors()
abort()
asyncio.run(streams())
print(f"openai {openai.__version__}: streams, {'tools, ' if has_tools else ''}errors, an abort and {concurrent} streams at once")
