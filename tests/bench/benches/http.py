"""64 MiB over HTTP from a server on this host's loopback into the guest."""
import http.server
import random
import threading
import time
import urllib.request

from .measure import Failure, Sample, ratio, show, table

SIZE = 64 << 20


class Server(http.server.ThreadingHTTPServer):
    """Serves the same bytes under every name, out of memory, and counts what it has sent."""
    daemon_threads = True

    def __init__(self):
        super().__init__(("127.0.0.1", 0), Handler)
        self.body = random.Random(64).randbytes(SIZE)
        self.sent = 0
        threading.Thread(target=self.serve_forever, daemon=True).start()

    def url(self, host):
        return f"http://{host}:{self.server_address[1]}/file"


class Handler(http.server.BaseHTTPRequestHandler):
    def do_GET(self):  # the name is http.server's
        self.send_response(200)
        self.send_header("Content-Length", str(SIZE))
        self.end_headers()
        self.wfile.write(self.server.body)
        self.server.sent += SIZE

    def log_message(self, *args):
        pass


def from_host(server):
    """Seconds that this host itself takes: what the server can do."""
    start = time.monotonic()
    with urllib.request.urlopen(server.url("127.0.0.1")) as reply:
        while reply.read(1 << 18):
            pass
    return time.monotonic() - start


def download(server, run):
    """MB/s by the host's clock and by the guest's."""
    before = server.sent
    result = run(["console=ttyS0 perilune.test=download", f"perilune.url={server.url('10.0.2.2')}"])
    begin, first = result.time_of("PERILUNE: begin download")
    end, last = result.time_of("PERILUNE: ok download")
    if server.sent != before + SIZE:
        raise Failure(f"the server has sent {server.sent - before} bytes instead of {SIZE}")
    guest = float(last.rsplit("=", 1)[1]) - float(first.rsplit("=", 1)[1])
    return SIZE / 1e6 / (end - begin), SIZE / 1e6 / guest


def main(setup):
    kernel, initrd = setup.vmlinux(), setup.initrd()
    with Server() as server:
        host = Sample(SIZE / 1e6 / from_host(server) for _ in range(setup.runs))
        ours, theirs = [], []
        for _ in range(setup.runs):
            ours.append(download(server, lambda words: setup.run_ours(
                ["--kernel", kernel, "--initrd", initrd, "--nic", "user", "--append",
                 " ".join(words)], timeout=300)[0]))
            if setup.qemu:
                theirs.append(download(server, lambda words: setup.run_qemu(
                    ["-kernel", kernel, "-initrd", initrd, "-nic", "user,model=e1000", "-append",
                     " ".join(words)], timeout=300)))
        server.shutdown()
    mine = [Sample(column) for column in zip(*ours)]
    other = [Sample(column) for column in zip(*theirs)] if theirs else [None, None]
    rows = [[name, m.show("{:.1f}"), show(o, "{:.1f}"), ratio(m, o)]
            for name, m, o in zip(("by the host's clock", "by the guest's clock"), mine, other)]
    table(["64 MiB into /dev/null, MB/s", "ours", "QEMU", "ours/QEMU"], rows)
    print(f"  The server alone, read by this host: {host.show('{:.0f}')} MB/s.")
    return {"server": host.data(), "ours": mine[0].data(), "ours_guest_clock": mine[1].data(),
            "qemu": other[0].data() if other[0] else None}
