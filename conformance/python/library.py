"""Files, collections, documents and search by xAI's own SDK, OpenAI's SDK and a
class of the product's documents, unchanged but for hosts and keys.

Reads GATEWAY and MANAGEMENT (URLs), KEY (an API key that may do everything),
KEY_CHAT (one that may only chat) and XAI_MANAGEMENT_KEY. Prints "ok NAME" or
"FAIL NAME: why" a line, and exits with the failures' number.
"""

import asyncio
import datetime
import hashlib
import io
import os
import pathlib
import sys
import tempfile
import time
import urllib.parse
import urllib.request

import grpc
import openai
import xai_sdk
from xai_sdk.chat import file, user

GATEWAY, MANAGEMENT = (f"localhost:{urllib.parse.urlsplit(os.environ[n]).port}" for n in ("GATEWAY", "MANAGEMENT"))
SOON = datetime.timedelta(milliseconds=100)
failures = 0


def case(f):
    global failures
    try:
        asyncio.run(f()) if asyncio.iscoroutinefunction(f) else f()
        print("ok", f.__name__)
    except Exception as e:  # every failure is reported, none stops the others
        failures += 1
        print(f"FAIL {f.__name__}: {type(e).__name__}: {e}".replace("\n", " ")[:600])


def hosts(key="KEY"):
    return dict(api_key=os.environ[key], management_api_key=os.environ["XAI_MANAGEMENT_KEY"], api_host=GATEWAY, management_api_host=MANAGEMENT, timeout=60)


def client(key="KEY"):
    return xai_sdk.Client(**hosts(key))


def raises(code, f, *needles):
    try:
        f()
    except grpc.RpcError as e:
        assert e.code() == code, e
        for needle in needles:
            assert needle in e.details(), f"{needle!r} is not in {e.details()}"
        return
    raise AssertionError(f"expected {code}")


def wait(c, collection, document):
    for _ in range(300):
        d = c.collections.get_document(document, collection)
        if d.status == 2:
            return d
        assert d.status != 3, d.error_message
        time.sleep(0.1)
    raise AssertionError(f"not indexed: {d}")


TEXTS = {
    "whale.txt": b"Call me Ishmael. Some years ago, having little or no money in my purse, I thought I would sail about a little.",
    "garden.md": b"# Roses\n\nPrune the climbing roses in late winter, before the buds break.\n",
    "prices.csv": b"fruit,price\napple,1.20\nquince,3.50\n",
}


@case
def collections_from_create_to_delete():
    c = client()
    made = c.collections.create("sdk", description="what the SDK says", model_name="text-embedding-3-small", metric_space="cosine",
                                chunk_configuration={"chars_configuration": {"max_chunk_size_chars": 200, "chunk_overlap_chars": 20}},
                                field_definitions=[{"key": "author", "required": False, "inject_into_chunk": True, "unique": False}])
    assert made.collection_id.startswith("collection_") and made.collection_name == "sdk" and made.documents_count == 0, made
    assert made.chunk_configuration.chars_configuration.max_chunk_size_chars == 200 and made.field_definitions[0].inject_into_chunk, made
    assert c.collections.get(made.collection_id) == made
    assert [x.collection_id for x in c.collections.list(filter='collection_name:"sdk"').collections] == [made.collection_id]
    changed = c.collections.update(made.collection_id, name="renamed", description="other words")
    assert (changed.collection_name, changed.collection_description, changed.index_configuration.model_name) == ("renamed", "other words", "text-embedding-3-small"), changed
    c.collections.delete(made.collection_id)
    raises(grpc.StatusCode.NOT_FOUND, lambda: c.collections.get(made.collection_id))


@case
def defaults_of_a_collection():
    c = client()
    made = c.collections.create("plain")
    tokens = made.chunk_configuration.tokens_configuration
    assert (tokens.max_chunk_size_tokens, tokens.chunk_overlap_tokens, tokens.encoding_name) == (1024, 200, "o200k_base"), made
    c.collections.delete(made.collection_id)


@case
def upload_poll_search_remove():
    c = client()
    kept = c.collections.create("search", model_name="text-embedding-3-small",
                                field_definitions=[{"key": "shelf", "required": False, "inject_into_chunk": False, "unique": True}])
    ids = {}
    for name, data in TEXTS.items():
        d = c.collections.upload_document(kept.collection_id, name, data, fields={"shelf": name}, wait_for_indexing=True, poll_interval=SOON)
        assert d.status == 2 and d.fields["shelf"] == name and d.chunk_count > 0 and d.chunks_processed_count == d.chunk_count, d
        assert d.file_metadata.name == name and d.file_metadata.size_bytes == len(data) and d.last_indexed_at.seconds > 0, d
        assert d.file_metadata.hash == hashlib.sha256(data).hexdigest(), d
        ids[name] = d.file_metadata.file_id
    raises(grpc.StatusCode.ALREADY_EXISTS, lambda: c.collections.upload_document(kept.collection_id, "twin.txt", b"twin", fields={"shelf": "whale.txt"}), "shelf")
    listed = c.collections.list_documents(kept.collection_id, order="asc", sort_by="name", limit=2)
    assert [d.file_metadata.name for d in listed.documents] == ["garden.md", "prices.csv"] and listed.pagination_token, listed
    rest = c.collections.list_documents(kept.collection_id, order="asc", sort_by="name", limit=2, pagination_token=listed.pagination_token)
    assert [d.file_metadata.name for d in rest.documents] == ["whale.txt"] and not rest.pagination_token, rest
    assert c.collections.get(kept.collection_id).documents_count == 3
    both = c.collections.batch_get_documents(kept.collection_id, [ids["whale.txt"], ids["garden.md"]])
    assert len(both.documents) == 2, both
    for mode in (None, "hybrid", "semantic", "keyword"):
        found = c.collections.search("climbing roses in winter", [kept.collection_id], retrieval_mode=mode).matches
        assert found[0].file_id == ids["garden.md"] and "roses" in found[0].chunk_content and kept.collection_id in found[0].collection_ids, (mode, found)
    assert len(c.collections.search("roses ishmael quince", [kept.collection_id], limit=2, retrieval_mode="keyword").matches) == 2
    changed = c.collections.update_document(kept.collection_id, ids["garden.md"], name="tulips.txt", data=b"Tulips want sandy soil.", content_type="text/plain")
    assert changed.file_metadata.name == "tulips.txt", changed
    wait(c, kept.collection_id, ids["garden.md"])
    assert not c.collections.search("climbing", [kept.collection_id], retrieval_mode="keyword").matches
    assert c.collections.search("tulips", [kept.collection_id]).matches[0].file_id == ids["garden.md"]
    c.collections.reindex_document(kept.collection_id, ids["whale.txt"])
    wait(c, kept.collection_id, ids["whale.txt"])
    c.collections.remove_document(kept.collection_id, ids["whale.txt"])
    raises(grpc.StatusCode.NOT_FOUND, lambda: c.collections.get_document(ids["whale.txt"], kept.collection_id))
    assert not c.collections.search("Ishmael", [kept.collection_id], retrieval_mode="keyword").matches
    assert c.files.get(ids["whale.txt"]).filename == "whale.txt"  # uploaded as a file, it stays
    again = c.collections.add_existing_document(kept.collection_id, ids["whale.txt"], fields={"shelf": "again"})
    assert again is None or again, again
    wait(c, kept.collection_id, ids["whale.txt"])
    c.collections.delete(kept.collection_id)
    raises(grpc.StatusCode.NOT_FOUND, lambda: c.collections.search("Ishmael", [kept.collection_id]))
    for name in ids:
        c.files.delete(ids[name])


@case
def what_has_no_text_fails_with_a_message():
    c = client()
    kept = c.collections.create("broken")
    try:
        c.collections.upload_document(kept.collection_id, "broken.pdf", b"%PDF-1.7\nno more", wait_for_indexing=True, poll_interval=SOON)
        raise AssertionError("a damaged PDF was indexed")
    except ValueError as e:
        assert "damaged" in str(e), e
    c.collections.delete(kept.collection_id)


@case
async def collections_async():
    c = xai_sdk.AsyncClient(**hosts())
    kept = await c.collections.create("async")
    d = await c.collections.upload_document(kept.collection_id, "a.txt", b"an asynchronous sentence", wait_for_indexing=True, poll_interval=SOON)
    found = (await c.collections.search("asynchronous", [kept.collection_id])).matches
    assert [m.file_id for m in found] == [d.file_metadata.file_id], found
    await c.files.delete(d.file_metadata.file_id)
    assert not (await c.collections.search("asynchronous", [kept.collection_id])).matches
    await c.collections.delete(kept.collection_id)


@case
def files():
    c = client()
    data = bytes(range(256)) * (40 << 10)  # 10 MiB, several messages
    seen = []
    made = c.files.upload(data, filename="big.bin", on_progress=lambda done, of: seen.append((done, of)), expires_after=datetime.timedelta(hours=2))
    assert made.id.startswith("file_") and made.size == len(data) and made.filename == "big.bin", made
    assert made.expires_at.seconds - made.created_at.seconds == 7200 and seen[-1][0] == len(data), (made, seen)
    assert c.files.content(made.id) == data and c.files.get(made.id).size == len(data)
    small = [c.files.upload(io.BytesIO(b"x" * n), filename=f"small{n}.txt") for n in (1, 2, 3)]
    page = c.files.list(limit=2, order="asc", sort_by="size")
    assert [f.size for f in page.data] == [1, 2] and page.pagination_token, page
    assert c.files.list(limit=2, order="asc", sort_by="size", pagination_token=page.pagination_token).data[0].size == 3
    url = c.files.create_public_url(small[2].id, expires_after=3600)
    assert urllib.request.urlopen(url.public_url).read() == b"xxx" and url.expires_at.seconds > time.time(), url
    assert c.files.revoke_public_url(small[2].id).revoked
    try:
        urllib.request.urlopen(url.public_url)
        raise AssertionError("a revoked URL opened")
    except urllib.error.HTTPError as e:
        assert e.code == 404, e
    for f in [made, *small]:
        assert c.files.delete(f.id).deleted
    raises(grpc.StatusCode.NOT_FOUND, lambda: c.files.get(made.id))
    raises(grpc.StatusCode.NOT_FOUND, lambda: c.files.content(made.id))


@case
def what_files_refuse():
    c, code = client(), grpc.StatusCode
    raises(code.INVALID_ARGUMENT, lambda: c.files.upload(b"x", filename="a\nb"))
    raises(code.INVALID_ARGUMENT, lambda: c.files.upload(b"x", filename="a", expires_after=5))
    raises(code.RESOURCE_EXHAUSTED, lambda: c.files.upload(b"x" * ((100 << 20) + 1), filename="a"))
    raises(code.PERMISSION_DENIED, lambda: client("KEY_CHAT").files.upload(b"x", filename="a"), "files")
    raises(code.PERMISSION_DENIED, lambda: client("KEY_CHAT").collections.search("a", ["collection_00000000-0000-4000-8000-000000000000"]), "documents")
    raises(code.NOT_FOUND, lambda: c.collections.search("a", ["collection_00000000-0000-4000-8000-000000000000"]))
    wrong = xai_sdk.Client(api_key=os.environ["KEY"], management_api_key=os.environ["KEY"], api_host=GATEWAY, management_api_host=MANAGEMENT)
    raises(code.UNAUTHENTICATED, lambda: wrong.collections.list())


@case
def a_file_in_a_chat():
    c = client()
    kept = c.files.upload(b"The meeting is on Thursday.", filename="memo.txt")
    r = c.chat.create(model="grok-4", messages=[user("[[sim: words=3]] when?", file(kept.id))]).sample()
    assert r.content == "the quick brown" and r.usage.prompt_tokens > 8, r  # the words of the file are among them
    c.files.delete(kept.id)
    raises(grpc.StatusCode.NOT_FOUND, c.chat.create(model="grok-4", messages=[user("when?", file(kept.id))]).sample, kept.id)


@case
def openais_files():
    c = openai.OpenAI(api_key=os.environ["KEY"], base_url=os.environ["GATEWAY"] + "/v1")
    made = [c.files.create(file=(f"line{n}.jsonl", b'{"n":%d}\n' % n), purpose="user_data") for n in range(3)]
    assert made[0].id.startswith("file_") and made[0].bytes == 8 and made[0].filename == "line0.jsonl" and made[0].object == "file", made[0]
    got = c.files.retrieve(made[1].id)
    assert got.id == made[1].id and got.created_at > 1e9, got
    names = {f.id for f in c.files.list(limit=2)}  # follows the pages
    assert names >= {f.id for f in made}, names
    assert c.files.content(made[2].id).read() == b'{"n":2}\n'
    assert c.files.delete(made[0].id).deleted
    try:
        c.files.retrieve(made[0].id)
        raise AssertionError("a deleted file was found")
    except openai.NotFoundError:
        pass
    for f in made[1:]:
        c.files.delete(f.id)


def printed(name):
    """Runs a document's code; overview.py does not import os."""
    names = {"os": os}
    exec(pathlib.Path(__file__).with_name(name).read_text().replace("https://management-api.x.ai", os.environ["MANAGEMENT"]), names)
    return names


@case
def the_documents_class():
    m = printed("overview.py")["client"]
    made = m.create_collection("my-collection", "Collection description")
    assert made["name"] == "my-collection" and made["description"] == "Collection description" and made["collection_id"] == made["id"], made
    with tempfile.NamedTemporaryFile(suffix=".txt") as f:
        f.write(b"a document of a script")
        f.flush()
        up = m.upload_document(made["id"], f.name)
        assert up["filename"] == os.path.basename(f.name) and up["size_bytes"] == 22 and up["state"] in ("processing", "ready"), up
    c = client()
    wait(c, made["id"], up["id"])
    c.collections.delete(made["id"])
    raises(grpc.StatusCode.NOT_FOUND, lambda: c.files.get(up["id"]))  # uploaded through the collection, it died with it


sys.exit(failures)
