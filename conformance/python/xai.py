"""xAI's own Python SDK, unchanged, against a running gateway: gRPC alone.

Reads GATEWAY (its URL) and the keys that the test made: KEY may do everything,
KEY_IMAGE only images, KEY_ONCE has qpm 1. Prints "ok NAME" or "FAIL NAME: why" a
line, and exits with the failures' number.
"""

import asyncio
import os
import sys
import urllib.parse

import grpc
import pydantic
import xai_sdk
from xai_sdk.chat import assistant, developer, file, image, required_tool, system, text, tool, tool_result, user
from xai_sdk.search import SearchParameters
from xai_sdk.tools import web_search

HOST = f"localhost:{urllib.parse.urlsplit(os.environ['GATEWAY']).port}"
failures = 0


def case(f):
    global failures
    try:
        asyncio.run(f()) if asyncio.iscoroutinefunction(f) else f()
        print("ok", f.__name__)
    except Exception as e:  # every failure is reported, none stops the others
        failures += 1
        print(f"FAIL {f.__name__}: {type(e).__name__}: {e}".replace("\n", " ")[:600])


def client(key="KEY"):
    return xai_sdk.Client(api_key=os.environ.get(key, key), api_host=HOST, timeout=30)


def raises(code, f, *needles):
    try:
        f()
    except grpc.RpcError as e:
        assert e.code() == code, e
        for needle in needles:
            assert needle in e.details(), f"{needle!r} is not in {e.details()}"
        return e
    raise AssertionError(f"expected {code}")


def chat(words="[[sim: words=5]] hi", key="KEY", **settings):
    return client(key).chat.create(model="grok-4", messages=[user(words)], **settings)


WEATHER = tool("weather", "d", {"type": "object", "properties": {"city": {"type": "string"}}, "required": ["city"]})
PIXEL = "data:image/png;base64,iVBORw0KGgoAAAANSUhEUgAAAAEAAAABCAYAAAAfFcSJAAAADUlEQVR42mNk+M9QDwADhgGAWjR9awAAAABJRU5ErkJggg=="
SAYS = '[[sim: say={"city":"Paris","hot":true}]] where?'


class Answer(pydantic.BaseModel):
    city: str
    hot: bool


@case
def chat_sample():
    r = chat("[[sim: words=5 prompt=40 cached=30 reasoning=7]] hi").sample()
    assert r.content == "the quick brown fox jumps" and r.finish_reason == "REASON_STOP" and r.role == "ROLE_ASSISTANT", r
    u = r.usage
    assert (u.prompt_tokens, u.cached_prompt_text_tokens, u.completion_tokens, u.reasoning_tokens, u.total_tokens) == (40, 30, 5, 7, 52), u
    assert r.id and r.proto.model == "grok-4" and r.created.year > 2000, r


@case
async def chat_sample_async():
    c = xai_sdk.AsyncClient(api_key=os.environ["KEY"], api_host=HOST)
    r = await c.chat.create(model="grok-4", messages=[user("[[sim: words=3]] hi")]).sample()
    assert r.content == "the quick brown", r
    words = 0
    async for response, chunk in c.chat.create(model="grok-4", messages=[user("[[sim: words=6]] hi")]).stream():
        words += bool(chunk.content)
    assert words == 6 and response.usage.completion_tokens == 6, response
    infos = await asyncio.gather(*(c.auth.get_api_key_info() for _ in range(20)))
    assert len({i.api_key_id for i in infos}) == 1, infos


@case
def chat_stream():
    seen = ""
    for response, chunk in chat("[[sim: words=7 reasoning=2]] hi").stream():
        seen += chunk.content
    assert seen == response.content + " " and len(seen.split()) == 7 or seen == response.content, (seen, response.content)
    assert response.finish_reason == "REASON_STOP" and response.role == "ROLE_ASSISTANT", response
    assert response.usage.total_tokens == response.usage.prompt_tokens + 9, response.usage
    assert response.id and response.proto.model == "grok-4", response


@case
def chat_with_every_setting():
    c = chat("[[sim: words=50]] hi", user="ann", safety_identifier="abc", max_tokens=4, seed=7, stop=["zzz"], temperature=0.5, top_p=0.9, logprobs=True,
             top_logprobs=2, frequency_penalty=0.1, presence_penalty=-0.1, parallel_tool_calls=False, reasoning_effort="low",
             response_format="text", service_tier="default", tools=[WEATHER], tool_choice="auto", conversation_id="mine")
    r = c.sample()
    assert len(r.content.split()) == 4 and r.request_settings.max_tokens == 4 and r.request_settings.user == "ann", r


@case
def chat_of_several_turns():
    c = client().chat.create(model="grok-4")
    c.append(system("be brief")).append(developer("be kind")).append(user("a ", "b")).append(assistant("c"))
    c.append(user("[[sim: words=2]] hi"))
    r = c.sample()
    c.append(r).append(user("again"))
    assert c.sample().content == r.content == "the quick", r


@case
def chat_batch():
    rs = chat().sample_batch(2)
    assert rs[0].content.startswith("the quick"), rs


@case
def chat_tools():
    c = chat("[[sim: tool]] weather?", tools=[WEATHER])
    r = c.sample()
    call = r.tool_calls[0]
    assert call.function.name == "weather" and call.function.arguments == '{"city":"Paris"}' and r.finish_reason == "REASON_TOOL_CALLS", r
    c.append(r).append(tool_result("hot"))
    assert c.sample().tool_calls[0].id, "the conversation goes on with a result that names no call"
    for response, chunk in chat("[[sim: tool]] weather?", tools=[WEATHER], tool_choice=required_tool("weather")).stream():
        pass
    assert [t.function.name for t in response.tool_calls] == ["weather"] and response.finish_reason == "REASON_TOOL_CALLS", response


@case
def chat_structured_output():
    r, answer = chat(SAYS).parse(Answer)
    assert answer == Answer(city="Paris", hot=True), r
    r = chat(SAYS, response_format=Answer).sample()
    assert Answer.model_validate_json(r.content).city == "Paris", r
    r = chat(SAYS, response_format="json_object").sample()
    assert r.content.startswith("{"), r


@case
def chat_images_and_files():
    c = client().chat.create(model="grok-4", messages=[user(
        text("[[sim: words=2]] look"), image(PIXEL, detail="high"), image("https://example.com/a.png"), file(data=b"hi", filename="a.txt", mime_type="text/plain"))])
    assert c.sample().content == "the quick"


@case
def models():
    m = client().models
    names = {x.name for x in m.list_language_models()}
    assert "grok-4" in names, names
    one = m.get_language_model("grok-4")
    assert one.name == "grok-4" and one.prompt_text_token_price > 0 and one.created.seconds > 0, one
    vectors, pictures = m.list_embedding_models(), m.list_image_generation_models()
    assert m.get_embedding_model(vectors[0].name).name == vectors[0].name and pictures[0].image_price > 0, (vectors, pictures)
    assert m.get_image_generation_model(pictures[0].name) == pictures[0], pictures
    raises(grpc.StatusCode.NOT_FOUND, lambda: m.get_language_model("nope"), "The model nope does not exist")


@case
def tokens():
    got = client().tokenize.tokenize_text("hello world", "grok-4")
    assert b"".join(t.token_bytes for t in got) == b"hello world" and got[0].token_id > 0, got


@case
def key_info():
    info = client("KEY_IMAGE").auth.get_api_key_info()
    assert info.redacted_api_key.startswith("gthk_...") and "api-key:endpoint:image" in info.acls and not info.disabled, info
    assert info.team_id and info.api_key_id and info.create_time.seconds > 0 and info.name == "conformance", info


@case
def errors():
    code = grpc.StatusCode
    raises(code.UNAUTHENTICATED, chat(key="nonsense-nonsense").sample, "Incorrect API key provided: no***se.")
    raises(code.PERMISSION_DENIED, chat(key="KEY_IMAGE").sample, "Access to the chat endpoint is denied")
    raises(code.NOT_FOUND, client().chat.create(model="nope", messages=[user("hi")]).sample, "The model nope does not exist")
    raises(code.RESOURCE_EXHAUSTED, chat("[[sim: status=429 retry-after=1]]").sample, "rate limit is exhausted")
    raises(code.UNAVAILABLE, chat("[[sim: status=500]]").sample, "status 500")
    raises(code.UNAVAILABLE, lambda: list(chat("[[sim: words=5 cut=2]]").stream()), "broke off")
    chat(key="KEY_ONCE").sample()
    raises(code.RESOURCE_EXHAUSTED, chat(key="KEY_ONCE").sample, "rate limit (qpm)")


@case
def what_cannot_be_honoured_is_refused_by_name():
    for name, settings in {
        "search_parameters": {"search_parameters": SearchParameters(mode="auto")}, "previous_response_id": {"previous_response_id": "x"},
        "store_messages": {"store_messages": True}, "use_encrypted_content": {"use_encrypted_content": True}, "max_turns": {"max_turns": 2},
        "include": {"include": ["inline_citations"]}, "agent_count": {"agent_count": 4}, "tools[0].web_search": {"tools": [web_search()]},
        "guidelines": {"guidelines": [{"type": "policy", "category": "violence", "behavior": "decline"}]},
    }.items():
        raises(grpc.StatusCode.INVALID_ARGUMENT, chat(**settings).sample, name + ": is not offered")
    raises(grpc.StatusCode.INVALID_ARGUMENT, client().chat.create(model="grok-4", messages=[user(file("file_1"))]).sample, "file_id")


@case
def what_goes_as_it_came():
    """An upstream that speaks gRPC itself, for the model grok-4.3."""
    asked = dict(model="grok-4.3", tools=[web_search(), WEATHER], search_parameters=SearchParameters(mode="on", max_search_results=3),
                 include=["inline_citations"], max_turns=3, use_encrypted_content=True)
    c = client().chat.create(messages=[user("[[sim: words=5 prompt=40 cached=30 sources=2]] hi")], **asked)
    r = c.sample()
    assert r.content.strip() == "the quick brown fox jumps" and len(r.citations) == 2 and r.usage.num_sources_used == 2, r
    assert r.server_side_tool_usage and (r.usage.prompt_tokens, r.usage.total_tokens) == (40, 45), r
    c.append(r)
    c.append(user("again"))
    words = 0
    for r, chunk in c.stream():
        words += bool(chunk.content)
    assert words == 5 and len(r.content.split()) == 5 and r.usage.num_sources_used == 2 and len(r.citations) == 2, r
    plain = client().chat.create(model="grok-4.3", messages=[user("[[sim: words=2]] hi")]).sample()
    assert plain.content == "the quick", plain
    raises(grpc.StatusCode.INVALID_ARGUMENT, client().chat.create(messages=[user("hi")], store_messages=True, **asked).sample, "store_messages: is not offered")


@case
def what_is_not_offered_says_so():
    c = client()
    for f in (lambda: chat().defer(), lambda: c.chat.get_stored_completion("x"), lambda: chat().compact(), lambda: c.image.sample("a cat", "grok-2-image"),
              lambda: c.batch.list()):
        raises(grpc.StatusCode.UNIMPLEMENTED, f, "is not offered by this gateway")


@case
def without_call_credentials():
    c = xai_sdk.Client(api_key=os.environ["KEY"], api_host=HOST.replace("localhost", "127.0.0.1"), use_insecure_channel=True)
    assert c.chat.create(model="grok-4", messages=[user("[[sim: words=2]] hi")]).sample().content == "the quick"


@case
def a_large_prompt():
    raises(grpc.StatusCode.RESOURCE_EXHAUSTED, chat("x " * (11 << 20)).sample, "larger than max")
    assert chat("[[sim: words=1]]" + "x " * (1 << 20)).sample().content == "the"


sys.exit(failures)
