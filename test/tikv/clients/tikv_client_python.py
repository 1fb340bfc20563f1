"""tikv-client (Python, on the Rust client) behind the line protocol of clients.ts. It knows api v1 only, and neither TTL nor swaps."""

import sys

from tikv_client import RawClient


def shown(value):
    return "-" if value is None else "=" + value.decode()


def run(client, words):
    key = words[1].encode() if len(words) > 1 else b""
    if words[0] == "get":
        return shown(client.get(key))
    if words[0] == "batchGet":
        # Pairs of keys and values; absent keys are left out.
        found = dict(client.batch_get([word.encode() for word in words[1:]]))
        return "\t".join(shown(found.get(word.encode())) for word in words[1:])
    if words[0] == "put":
        client.put(key, words[2].encode())
        return ""
    if words[0] == "delete":
        client.delete(key)
        return ""
    raise ValueError(f"unknown command {words[0]}")


client = RawClient.connect(sys.argv[1].split(","))
print("ready", flush=True)
for line in sys.stdin:
    try:
        print("ok\t" + run(client, line.rstrip("\n").split("\t")), flush=True)
    except Exception as error:
        print("error\t" + repr(error), flush=True)
