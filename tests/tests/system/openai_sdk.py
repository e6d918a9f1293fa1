"""The real OpenAI SDK against the proxy. Prints "all of it works" or fails."""

import os

import openai

model = os.environ["ADYTON_MODEL"]
client = openai.OpenAI(max_retries=0)
question = [{"role": "user", "content": "Count from one to ten in words."}]

assert [m.id for m in client.models.list()] == [model]

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
refused(openai.BadRequestError, "unsupported_parameter", n=2)
refused(openai.BadRequestError, "unknown_parameter", extra_body={"surprise": 1})
refused(openai.BadRequestError, "context_length_exceeded", messages=[{"role": "user", "content": "word " * 20000}])

print("all of it works")
