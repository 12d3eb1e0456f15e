"""Serves the small static embedding model that the wheel of wordllama ships as an
OpenAI-compatible /v1/embeddings on loopback. Prints its port when it listens.

    pip install wordllama==0.4.0.post1 && python embeddings.py
"""
import json
import pathlib
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer

import wordllama
from safetensors import safe_open
from tokenizers import Tokenizer
from wordllama.inference import WordLlamaInference

HERE = pathlib.Path(wordllama.__file__).parent
NAME = "wordllama-256"


def load():
    """The model from the package's own files: nothing is fetched."""
    tokenizer = Tokenizer.from_file(str(HERE / "tokenizers" / "l2_supercat_tokenizer_config.json"))
    with safe_open(HERE / "weights" / "l2_supercat_256.safetensors", framework="np", device="cpu") as f:
        return WordLlamaInference(f.get_tensor("embedding.weight"), tokenizer)


MODEL = load()


class Handler(BaseHTTPRequestHandler):
    protocol_version = "HTTP/1.1"

    def do_POST(self):
        question = json.loads(self.rfile.read(int(self.headers["Content-Length"])))
        if self.path.rstrip("/") != "/v1/embeddings":
            return self.answer(404, {"error": {"message": "only /v1/embeddings is served"}})
        texts = question["input"] if isinstance(question["input"], list) else [question["input"]]
        vectors = MODEL.embed(texts, norm=True)
        tokens = sum(len(e.ids) for e in MODEL.tokenizer.encode_batch(texts))
        self.answer(200, {
            "object": "list", "model": question.get("model", NAME),
            "data": [{"object": "embedding", "index": i, "embedding": [float(x) for x in v]} for i, v in enumerate(vectors)],
            "usage": {"prompt_tokens": tokens, "total_tokens": tokens},
        })

    def answer(self, status, body):
        text = json.dumps(body).encode()
        self.send_response(status)
        self.send_header("Content-Type", "application/json")
        self.send_header("Content-Length", str(len(text)))
        self.end_headers()
        self.wfile.write(text)

    def log_message(self, *_):
        pass


if __name__ == "__main__":
    server = ThreadingHTTPServer(("127.0.0.1", 0), Handler)
    print(server.server_port, flush=True)
    server.serve_forever()
