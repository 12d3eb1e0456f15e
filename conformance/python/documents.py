"""The Python classes of the product's documents, against a running server.

reference.py and overview.py are as printed but for the indentation that the
documents lost. Only the host is replaced, by MANAGEMENT; XAI_MANAGEMENT_KEY is
the key that overview.py itself reads. TODAY is a day on which one request was
counted. Prints "ok NAME" or "FAIL NAME: why" a line, and exits with the
failures' number.
"""

import os
import pathlib
import sys

failures = 0


def case(f):
    global failures
    try:
        f()
        print("ok", f.__name__)
    except Exception as e:  # every failure is reported, none stops the others
        failures += 1
        print(f"FAIL {f.__name__}: {type(e).__name__}: {e}".replace("\n", " ")[:600])


def printed(name):
    """Runs a document's code; overview.py does not import os."""
    code = pathlib.Path(__file__).with_name(name).read_text()
    names = {"os": os}
    exec(code.replace("https://management-api.x.ai", os.environ["MANAGEMENT"]), names)
    return names


KEY, TODAY = os.environ["XAI_MANAGEMENT_KEY"], os.environ["TODAY"]


def same_usage(usage):
    assert usage["total_cost"] > 0 and len(usage["usage"]) == 1, usage
    row = usage["usage"][0]
    assert (row["date"], row["model"]) == (TODAY, "grok-4") and row["cost"] == usage["total_cost"], row
    assert isinstance(row["input_tokens"], int) and row["input_tokens"] > 0 and row["output_tokens"] == 5, row


@case
def reference_api_keys():
    m = printed("reference.py")["XAIManagement"](KEY)
    made = m.create_api_key("from-python")
    assert made["key"].startswith("gthk_") and made["api_key"] == made["key"] and made["permissions"] == ["inference"], made
    listed = {k["id"]: k for k in m.list_api_keys()["data"]}
    assert listed[made["id"]]["name"] == "from-python" and "key" not in listed[made["id"]], listed
    refused = m.create_api_key("admin", ["inference", "admin"])
    assert refused["error"]["code"] == "invalid_request" and "permissions" in refused["error"]["message"], refused


@case
def reference_usage():
    m = printed("reference.py")["XAIManagement"](KEY)
    same_usage(m.get_usage(TODAY, TODAY))
    assert m.get_usage("2024-01-15", "2024-01-20") == {"usage": [], "total_cost": 0, "limit_reached": False}
    assert m.get_usage("2024-01-20", "2024-01-15")["error"]["code"] == "invalid_request"


@case
def reference_credits():
    credits = printed("reference.py")["XAIManagement"](KEY).get_credits()
    assert credits["balance"] == 0 and credits["currency"] == "USD" and credits["last_updated"].endswith("Z"), credits


@case
def reference_wrong_key():
    answer = printed("reference.py")["XAIManagement"]("wrong").list_api_keys()
    assert answer["error"]["code"] == "unauthorized" and answer["error"]["message"], answer


@case
def overview_as_printed():
    names = printed("overview.py")  # makes a client and lists keys
    assert names["keys"]["object"] == "list" and names["keys"]["data"], names["keys"]


@case
def overview_usage():
    same_usage(printed("overview.py")["client"].get_usage(TODAY, TODAY))


sys.exit(failures)
