"""The real OpenAI SDK against the proxy. Prints "all of it works" or fails."""

import json
import os

import openai

model = os.environ["ADYTON_MODEL"]
client = openai.OpenAI(max_retries=0)
question = [{"role": "user", "content": "Count from one to ten in words."}]

encoder = os.environ["ADYTON_ENCODER"]
assert [m.id for m in client.models.list()] == [model, encoder]

whole = client.chat.completions.create(model=model, messages=question, temperature=0, max_tokens=12)
text = whole.choices[0].message.content
assert text and whole.choices[0].finish_reason == "length", whole.choices[0].finish_reason
assert whole.usage.completion_tokens == 12, whole.usage

stream = client.chat.completions.create(
    model=model, messages=question, temperature=0, max_tokens=12, stream=True,
    stream_options={"include_usage": True},
)
pieces, usage = [], None
for chunk in stream:
    usage = chunk.usage or usage
    pieces += [choice.delta.content or "" for choice in chunk.choices]
assert "".join(pieces) == text, (pieces, text)
assert usage.completion_tokens == 12, usage

first_word = text.split()[0]
stopped = client.chat.completions.create(
    model=model, messages=question, temperature=0, max_tokens=12, stop=[first_word],
)
assert first_word not in (stopped.choices[0].message.content or "")
assert stopped.choices[0].finish_reason == "stop"

seeded = [
    client.chat.completions.create(
        model=model, messages=question, max_tokens=12, seed=7, temperature=1.2, top_p=0.95,
        presence_penalty=0.1, frequency_penalty=0.1, extra_body={"top_k": 50, "min_p": 0.01},
    ).choices[0].message.content
    for _ in range(2)
]
assert seeded[0] == seeded[1], seeded


several = client.chat.completions.create(
    model=model, messages=question, max_tokens=8, n=3, temperature=1.5, seed=5
)
assert [choice.index for choice in several.choices] == [0, 1, 2]
assert len({choice.message.content for choice in several.choices}) > 1
assert several.usage.completion_tokens == 24, several.usage

# How likely the tokens were, whole and streamed.
likely = client.chat.completions.create(
    model=model, messages=question, temperature=0, max_tokens=6, logprobs=True, top_logprobs=2
).choices[0]
tokens = likely.logprobs.content
assert "".join(token.token for token in tokens) == likely.message.content
assert all(len(token.top_logprobs) == 2 and token.logprob == token.top_logprobs[0].logprob for token in tokens)
streamed = client.chat.completions.create(
    model=model, messages=question, temperature=0, max_tokens=6, logprobs=True, top_logprobs=2, stream=True
)
told = [token for chunk in streamed for choice in chunk.choices if choice.logprobs for token in choice.logprobs.content]
assert [token.token for token in told] == [token.token for token in tokens]

banned = tokens[0].bytes
other = client.chat.completions.create(
    model=model, messages=question, temperature=0, max_tokens=6, logprobs=True,
    logit_bias={str(number): -100 for number in range(200)},
)
assert other.choices[0].message.content, banned

# An answer that is held to a schema.
person = {
    "type": "object",
    "properties": {"name": {"type": "string", "maxLength": 20}, "age": {"type": "integer", "minimum": 0, "maximum": 120}},
    "required": ["name", "age"], "additionalProperties": False,
}
shaped = client.chat.completions.create(
    model=model, messages=[{"role": "user", "content": "Describe a person."}], max_tokens=200, temperature=0,
    response_format={"type": "json_schema", "json_schema": {"name": "person", "schema": person, "strict": True}},
).choices[0]
answer = json.loads(shaped.message.content)
assert set(answer) == {"name", "age"} and 0 <= answer["age"] <= 120, answer
assert shaped.finish_reason == "stop"

# Calls of tools: made when they must be, streamed or not, and their answers read.
city = {"type": "object", "properties": {"city": {"enum": ["Oslo", "Kyiv"]}}, "required": ["city"]}
tools = [{"type": "function", "function": {"name": "weather", "description": "the weather", "parameters": city}}]
asking = {"model": model, "messages": [{"role": "user", "content": "How is the weather in Oslo?"}], "tools": tools,
          "tool_choice": "required", "max_tokens": 100, "temperature": 0}
called = client.chat.completions.create(**asking).choices[0]
call = called.message.tool_calls[0]
assert called.finish_reason == "tool_calls" and call.function.name == "weather", called
assert json.loads(call.function.arguments)["city"] in ("Oslo", "Kyiv")
pieces = [piece for chunk in client.chat.completions.create(**asking, stream=True) for choice in chunk.choices
          for piece in choice.delta.tool_calls or []]
assert pieces[0].function.arguments == call.function.arguments
after = client.chat.completions.create(
    model=model, tools=tools, max_tokens=30, temperature=0,
    messages=asking["messages"] + [
        {"role": "assistant", "content": None, "tool_calls": [call.model_dump()]},
        {"role": "tool", "tool_call_id": call.id, "content": "Sunny, 21 degrees."},
    ],
).choices[0].message
assert after.content or after.tool_calls


def refused(error, code, **change):
    """The call fails with the SDK's own exception for the status, and with our code."""
    key = change.pop("key", None)
    caller = client.with_options(api_key=key) if key else client
    arguments = {"model": model, "messages": question, "max_tokens": 4} | change
    try:
        caller.chat.completions.create(**arguments)
    except error as refusal:
        assert refusal.code == code, (refusal.code, code)
    else:
        raise AssertionError(f"{change} was answered")


refused(openai.AuthenticationError, "invalid_api_key", key="nonsense")
refused(openai.NotFoundError, "model_not_found", model="gpt-5")
refused(openai.PermissionDeniedError, "forbidden", metadata={"purpose": "health"})
refused(openai.BadRequestError, "invalid_value", n=9)
refused(openai.BadRequestError, "invalid_value", tools=tools, tool_choice={"type": "function", "function": {"name": "x"}})
refused(openai.BadRequestError, "invalid_value", response_format={
    "type": "json_schema", "json_schema": {"name": "no", "schema": {"not": {"type": "string"}}}})
refused(openai.BadRequestError, "unknown_parameter", extra_body={"surprise": 1})
refused(openai.BadRequestError, "context_length_exceeded", messages=[{"role": "user", "content": "word " * 20000}])

# The SDK asks for base64 by itself and unpacks it.
texts = ["How many days of holiday do I get?", "Paid leave is two and a half days a month.", "The printer is out of paper."]
packed = client.embeddings.create(model=encoder, input=texts)
plain = client.embeddings.create(model=encoder, input=texts[0], encoding_format="float")
vectors = [item.embedding for item in packed.data]
assert max(abs(a - b) for a, b in zip(vectors[0], plain.data[0].embedding)) < 1e-6
near, far = (sum(a * b for a, b in zip(vectors[0], other)) for other in vectors[1:])
assert near > far + 0.1 and packed.usage.prompt_tokens > 20, (near, far, packed.usage)
try:
    client.embeddings.create(model=model, input="a")
except openai.NotFoundError as refusal:
    assert refusal.code == "model_not_found"
else:
    raise AssertionError("the language model embedded")

print("all of it works")
