"""Debian's kernel boots, gets a lease, downloads a file whole, and powers off; the numbers and the
packet dump tell the same story."""
import os
import shutil
import subprocess

import guest

test = guest.Test()
content = os.urandom(3 << 20)
with guest.web_server(test.path("www"), {"file": content}) as port:
    serial = test.run(test.linux(
        "net", "--nic", f"user,dump={test.path('net.pcap')}", "--no-reboot",
        "--stats", test.path("stats.json"), append=f"perilune.url=http://10.0.2.2:{port}/file"))

guest.found_in(r"^PERILUNE: lease ip=10\.0\.2\.15 router=10\.0\.2\.2", serial, "lease")
ok = guest.found_in(r"^PERILUNE: ok net bytes=(\d+) sha256=([0-9a-f]{64})", serial, "download")
guest.equal(int(ok[1]), len(content), "bytes that arrived")
guest.equal(ok[2], guest.sha256(content), "hash of what arrived")
guest.found_in("reboot: Power down", serial, "power off")

stats = test.stats()
guest.equal(stats["exit_reason"], "poweroff", "exit_reason")
guest.equal(stats["exit_status"], 0, "exit_status")
assert stats["instructions"] > 100_000_000, stats
assert stats["virtual_ns"] >= stats["instructions"], stats
assert stats["interrupts"] > 0 and stats["exits"]["pio"] > 0 and stats["blocks_decoded"] > 0, stats
links = list(stats["links"].values())
guest.equal(len(links), 1, "number of links")
assert links[0]["bytes"] > len(content), links
guest.equal(links[0]["dropped"], 0, "packets dropped")
print("the guest downloaded", len(content), "bytes; stats agree")

if not shutil.which("tshark"):
    guest.skip("tshark is not installed: the packet dump was not read (the rest passed)")


def packets(expression):
    out = subprocess.run(["tshark", "-n", "-r", test.path("net.pcap"), "-Y", expression,
                          "-T", "fields", "-e", "ip.src", "-e", "ip.dst"],
                         capture_output=True, text=True, timeout=60, check=True)
    return out.stdout.split("\n")[:-1]


assert packets("dhcp.option.dhcp == 5 && dhcp.ip.your == 10.0.2.15"), "no DHCP ACK in the dump"
guest.equal(packets('http.request.method == "GET" && http.request.uri == "/file"'),
            ["10.0.2.15\t10.0.2.2"], "HTTP GETs in the dump")
assert packets("http.response.code == 200"), "no HTTP response in the dump"
guest.equal(packets("_ws.malformed"), [], "malformed packets in the dump")
print("tshark finds the lease and the download in the packet dump")
