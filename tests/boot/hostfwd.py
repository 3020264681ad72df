"""From the host to a web server in the guest, through hostfwd."""
import json
import socket
import time
import urllib.request

import guest

test = guest.Test()
with socket.socket() as s:
    s.bind(("127.0.0.1", 0))
    port = s.getsockname()[1]

with guest.Terminal(test.linux("httpd", "--no-reboot", "--stats", test.path("stats.json"), "--nic",
                               f"user,hostfwd=tcp:127.0.0.1:{port}-:80")) as t:
    t.expect("PERILUNE: ready httpd")
    # `wait` and `expect` are what empties the terminal; the guest prints little from here on.
    with urllib.request.urlopen(f"http://127.0.0.1:{port}/", timeout=60) as answer:
        page = answer.read()
    with urllib.request.urlopen(f"http://127.0.0.1:{port}/big", timeout=60) as answer:
        big = answer.read()
    with urllib.request.urlopen(f"http://127.0.0.1:{port}/cgi-bin/done", timeout=60) as answer:
        done = answer.read()
    guest.equal(t.wait(60), 0, "exit status")
guest.equal(page, b"PERILUNE: page of the guest\n", "the page")
guest.equal(len(big), 1 << 20, "length of the large file")
guest.equal(big, bytes(1 << 20), "content of the large file")
guest.equal(done, b"bye\n", "the answer of the script")
stats = test.stats()
guest.equal(stats["exit_reason"], "poweroff", "exit_reason")
assert list(stats["links"].values())[0]["bytes"] > len(big), json.dumps(stats["links"])
print("a page and a large file came out of the guest through port", port)
