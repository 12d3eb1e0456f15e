"""The official Python SDKs, unchanged, against a running gateway.

Reads GATEWAY (base URL without /v1) and the keys that the test made: KEY may do
everything, KEY_IMAGE only images, KEY_MODEL only grok-4, KEY_ONCE has qpm 1.
Prints "ok NAME" or "FAIL NAME: why" a line, and exits with the failures' number.
"""

import io
import os
import sys

import anthropic
import openai

BASE = os.environ["GATEWAY"]
failures = 0


def case(f):
    global failures
    try:
        f()
        print("ok", f.__name__)
    except Exception as e:  # every failure is reported, none stops the others
        failures += 1
        print(f"FAIL {f.__name__}: {type(e).__name__}: {e}".replace("\n", " ")[:600])


def client(key="KEY"):
    return openai.OpenAI(base_url=BASE + "/v1", api_key=os.environ.get(key, key), max_retries=0, timeout=30)


def claude(key="KEY"):
    return anthropic.Anthropic(base_url=BASE, api_key=os.environ.get(key, key), max_retries=0, timeout=30)


def raises(kind, f, *needles):
    try:
        f()
    except kind as e:
        for needle in needles:
            assert needle in e.response.text, f"{needle!r} is not in {e.response.text}"
        return e
    raise AssertionError(f"expected {kind.__name__}")


def user(text):
    return [{"role": "user", "content": text}]


TOOL = {"type": "function", "function": {"name": "weather", "description": "d", "parameters": {"type": "object", "properties": {"city": {"type": "string"}}}}}
CLAUDE_TOOL = {"name": "weather", "description": "d", "input_schema": {"type": "object", "properties": {"city": {"type": "string"}}}}


@case
def openai_chat():
    r = client().chat.completions.create(model="grok-4", messages=user("[[sim: words=5]] hi"))
    assert r.choices[0].message.content.startswith("the quick"), r
    assert r.usage.completion_tokens == 5, r.usage


@case
def openai_chat_stream_without_usage():
    chunks = list(client().chat.completions.create(model="gpt-4o", messages=user("[[sim: words=7]] hi"), stream=True))
    text = "".join(c.choices[0].delta.content or "" for c in chunks if c.choices)
    assert len(text.split()) == 7, text
    assert all(c.usage is None for c in chunks), "a usage frame that nobody asked for"
    assert all(c.choices for c in chunks), "an empty frame was left behind"


@case
def openai_chat_stream_with_usage():
    chunks = list(client().chat.completions.create(model="gpt-4o", messages=user("[[sim: words=7]] hi"), stream=True, stream_options={"include_usage": True}))
    assert chunks[-1].usage.completion_tokens == 7, chunks[-1]


@case
def openai_chat_tools():
    r = client().chat.completions.create(model="gpt-4o", messages=user("[[sim: tool]] weather?"), tools=[TOOL])
    call = r.choices[0].message.tool_calls[0]
    assert (call.function.name, call.function.arguments) == ("weather", '{"city":"Paris"}'), call


@case
def openai_chat_tools_stream():
    with client().chat.completions.stream(model="gpt-4o", messages=user("[[sim: tool]] weather?"), tools=[TOOL]) as s:
        final = s.get_final_completion()
    assert final.choices[0].message.tool_calls[0].function.name == "weather"


@case
def openai_responses():
    c = client()
    r = c.responses.create(model="gpt-4o", input="[[sim: words=4]] hi")
    assert r.output_text.startswith("the quick"), r
    assert c.responses.retrieve(r.id).id == r.id
    assert c.responses.input_items.list(r.id).data
    again = c.responses.create(model="gpt-4o", input="more", previous_response_id=r.id)
    assert again.previous_response_id == r.id
    c.responses.delete(r.id)
    raises(openai.NotFoundError, lambda: c.responses.retrieve(r.id))


@case
def openai_responses_stream():
    with client().responses.stream(model="gpt-4o", input="[[sim: words=4]] hi") as s:
        final = s.get_final_response()
    assert final.usage.output_tokens == 4, final.usage


@case
def openai_responses_tools():
    tool = {"type": "function", "name": "weather", "parameters": {"type": "object", "properties": {}}}
    r = client().responses.create(model="gpt-4o", input="[[sim: tool]] weather?", tools=[tool])
    assert r.output[0].type == "function_call" and r.output[0].name == "weather", r.output


@case
def openai_completions():
    r = client().completions.create(model="gpt-4o", prompt="[[sim: words=3]] once")
    assert r.choices[0].text.startswith("the quick")


@case
def openai_embeddings():
    r = client().embeddings.create(model="text-embedding-3-small", input=["a b", "c"])
    assert len(r.data) == 2 and len(r.data[0].embedding) == 64, r


@case
def openai_images():
    r = client().images.generate(model="grok-imagine-image", prompt="a cat", n=2)
    assert len(r.data) == 2
    r = client().images.edit(model="grok-imagine-image", image=("cat.png", io.BytesIO(b"\x89PNG....")), prompt="a dog")
    assert len(r.data) == 1


@case
def openai_audio():
    c = client()
    assert c.audio.speech.create(model="tts-1", voice="alloy", input="hello").read().startswith(b"mp3")
    assert c.audio.transcriptions.create(model="whisper-1", file=("a.wav", io.BytesIO(b"RIFF"))).text
    assert c.audio.translations.create(model="whisper-1", response_format="verbose_json", file=("a.wav", io.BytesIO(b"RIFF"))).text


@case
def openai_moderations():
    assert not client().moderations.create(model="omni-moderation-latest", input="hello").results[0].flagged


@case
def openai_models():
    c = client()
    ids = [m.id for m in c.models.list()]
    assert "grok-4" in ids and "gpt-4o" in ids, ids
    assert c.models.retrieve("grok-4").id == "grok-4"
    only = [m.id for m in client("KEY_MODEL").models.list()]
    assert only == ["grok-4"], only
    raises(openai.NotFoundError, lambda: c.models.retrieve("no-such-model"))


@case
def openai_errors():
    hello = dict(model="grok-4", messages=user("hi"))
    raises(openai.BadRequestError, lambda: client("gthk_wrong").chat.completions.create(**hello), "Incorrect API key provided")
    raises(openai.PermissionDeniedError, lambda: client("KEY_IMAGE").chat.completions.create(**hello), "chat endpoint")
    raises(openai.PermissionDeniedError, lambda: client("KEY_MODEL").chat.completions.create(model="gpt-4o", messages=user("hi")), "gpt-4o")
    raises(openai.NotFoundError, lambda: client().chat.completions.create(model="no-such-model", messages=user("hi")), "no-such-model")
    # A limit of one is asked of the authority, and a busy one may mean "try again", which this SDK does unless told otherwise.
    client("KEY_ONCE").with_options(max_retries=2).chat.completions.create(**hello)
    e = raises(openai.RateLimitError, lambda: client("KEY_ONCE").chat.completions.create(**hello), "qpm")
    assert int(e.response.headers["retry-after"]) >= 1 and e.response.headers["x-ratelimit-limit-requests"] == "1", e.response.headers
    raises(openai.InternalServerError, lambda: client().chat.completions.create(model="grok-4", messages=user("[[sim: status=503]]")))
    raises(openai.RateLimitError, lambda: client().chat.completions.create(model="grok-4", messages=user("[[sim: status=429 retry-after=1]]")))
    raises(openai.UnprocessableEntityError, lambda: client().chat.completions.create(model="grok-4", messages=user("[[sim: status=422]]")))


@case
def openai_errors_in_openai_shape():
    def ask(key, model="grok-4"):
        c = openai.OpenAI(base_url=os.environ["GATEWAY_OPENAI"] + "/v1", api_key=os.environ.get(key, key), max_retries=0)
        return c.chat.completions.create(model=model, messages=user("hi"))

    e = raises(openai.AuthenticationError, lambda: ask("gthk_wrong"))
    assert "Incorrect API key provided" in e.message, e.message
    raises(openai.PermissionDeniedError, lambda: ask("KEY_OPENAI_IMAGE"))
    raises(openai.NotFoundError, lambda: ask("KEY_OPENAI", "no-such-model"))


@case
def openai_error_in_stream():
    def read():
        for _ in client().chat.completions.create(model="gpt-4o", messages=user("[[sim: cut=2]]"), stream=True):
            pass

    raises(Exception, read)


@case
def anthropic_messages():
    r = claude().messages.create(model="claude-sonnet-4-5", max_tokens=100, messages=user("[[sim: words=6]] hi"))
    assert r.content[0].text.startswith("the quick") and r.usage.output_tokens == 6, r


@case
def anthropic_stream():
    with claude().messages.stream(model="claude-sonnet-4-5", max_tokens=100, messages=user("[[sim: words=6]] hi")) as s:
        text = "".join(s.text_stream)
        final = s.get_final_message()
    assert len(text.split()) == 6 and final.usage.output_tokens == 6, (text, final.usage)


@case
def anthropic_tools():
    r = claude().messages.create(model="claude-sonnet-4-5", max_tokens=100, tools=[CLAUDE_TOOL], messages=user("[[sim: tool]] weather?"))
    assert r.content[0].type == "tool_use" and r.content[0].input == {"city": "Paris"}, r
    with claude().messages.stream(model="claude-sonnet-4-5", max_tokens=100, tools=[CLAUDE_TOOL], messages=user("[[sim: tool]] weather?")) as s:
        assert s.get_final_message().content[0].input == {"city": "Paris"}


@case
def anthropic_count_tokens():
    assert claude().messages.count_tokens(model="claude-sonnet-4-5", messages=user("one two three")).input_tokens > 0


@case
def anthropic_errors():
    hello = dict(model="claude-sonnet-4-5", max_tokens=10, messages=user("hi"))
    raises(anthropic.AuthenticationError, lambda: claude("gthk_wrong").messages.create(**hello))
    raises(anthropic.PermissionDeniedError, lambda: claude("KEY_IMAGE").messages.create(**hello))
    raises(anthropic.NotFoundError, lambda: claude().messages.create(**{**hello, "model": "no-such-model"}))
    raises(anthropic.BadRequestError, lambda: claude().messages.create(**hello, extra_body={"MODEL": "x"}), "MODEL")
    claude("KEY_ONCE2").messages.create(**hello)
    e = raises(anthropic.RateLimitError, lambda: claude("KEY_ONCE2").messages.create(**hello))
    assert e.body["error"]["type"] == "rate_limit_error" and e.body["request_id"], e.body
    raises(anthropic.InternalServerError, lambda: claude().messages.create(**{**hello, "messages": user("[[sim: status=529]]")}))


sys.exit(failures)
