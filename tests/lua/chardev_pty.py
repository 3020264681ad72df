"""Character backends of the command line: pseudo terminals, waiting, errors. chardev_pty.py PERILUNE"""
import os
import select
import shutil
import signal
import socket
import subprocess
import sys
import tempfile
import time

LIMIT = 20  # seconds for one expectation
PROMPT = b"perilune> "


def expect(fd, what, seen=b""):
    end = time.monotonic() + LIMIT
    while what not in seen:
        if time.monotonic() > end:
            raise AssertionError(f"{what!r} did not come; there is {seen!r}")
        if select.select([fd], [], [], 0.2)[0]:
            seen += os.read(fd, 65536)
    return seen


def start(program, *args):
    return subprocess.Popen([program, "--machine", "minimal", *args], stdin=subprocess.DEVNULL,
                            stdout=subprocess.PIPE, stderr=subprocess.PIPE)


def open_terminal(path):
    """It is in raw mode already; setting that again would throw away what waits."""
    return os.open(path, os.O_RDWR | os.O_NOCTTY)


def monitor_on_a_terminal(program, folder):
    """Opened, closed and opened again; the link goes with the machine."""
    link = os.path.join(folder, "link")
    os.symlink("/dev/pts/99999", link)  # of an earlier run
    machine = start(program, "-S", "--chardev", f"pty,id=p,path={link}", "--monitor", "chardev:p",
                    "--serial", "null")
    said = machine.stderr.readline()
    path = os.readlink(link)
    assert said == b"perilune: p is at pty:" + path.encode() + b"\n", said
    for first in (True, False):
        fd = open_terminal(link)
        if first:  # who comes back at once may not have been missed
            expect(fd, PROMPT)
        os.write(fd, b"info chardevs\r")
        expect(fd, b"p: filename=pty:" + path.encode())
        os.close(fd)
    fd = open_terminal(path)
    os.write(fd, b"quit 5\r")
    assert machine.wait(LIMIT) == 5, machine.returncode
    os.close(fd)
    assert not os.path.lexists(link), "the link is left behind"


def serial_on_a_terminal(program, folder):
    """Who writes and goes at once is heard nevertheless."""
    link = os.path.join(folder, "serial")
    script = os.path.join(folder, "script.lua")
    with open(script, "w", encoding="ascii") as f:
        f.write("local vm = perilune.machine('minimal', { memory = '1M', cpus = 0,\n"
                f"  chardev = 'pty,id=p,path={link}' }})\n"
                "local c = vm:chardev('p')\n"
                "c:attach(function(text) if text:find('end') then vm:stop('done', 7) end end)\n"
                "vm:wait()\nreturn vm.exit_status\n")
    machine = subprocess.Popen([program, script])
    end = time.monotonic() + LIMIT
    while not os.path.lexists(link) and time.monotonic() < end:
        time.sleep(0.02)
    fd = os.open(link, os.O_WRONLY | os.O_NOCTTY)
    os.write(fd, b"end")
    os.close(fd)
    assert machine.wait(LIMIT) == 7, machine.returncode


def server_that_waits(program, folder):
    """Nothing runs before somebody is there; a monitor shares the socket with a serial port."""
    path = os.path.join(folder, "wait")
    machine = start(program, "-S", "--serial", f"mon:unix:{path},server")
    expect(machine.stderr.fileno(), b"waiting for a connection: disconnected:unix:" + path.encode())
    time.sleep(0.2)
    assert machine.poll() is None
    with socket.socket(socket.AF_UNIX) as client:
        client.connect(path)
        client.sendall(b"\x01c")
        expect(client.fileno(), PROMPT)
        client.sendall(b"info chardevs\r")
        expect(client.fileno(), b"monitor0: filename=mux:serial0-base (has the focus)")
        client.sendall(b"\x01x")
        assert machine.wait(LIMIT) == 0, machine.returncode
    assert not os.path.exists(path), "the socket is left behind"


def what_is_wrong(program, folder):
    del folder
    with socket.socket() as taken:
        taken.bind(("127.0.0.1", 0))
        taken.listen(1)
        port = taken.getsockname()[1]
        for args, status, text in (
                (["--serial", f"tcp:127.0.0.1:{port},server,nowait"], 4, "already in use"),
                (["--serial", "tcp:0.0.0.0:0,server,nowait"], 2, "insecure=on"),
                (["--chardev", "socket,id=a,host=::,port=0,server=on,wait=off"], 2, "insecure=on"),
                (["--monitor", "tcp:0.0.0.0:0,server,nowait"], 2, "insecure=on"),
                (["--serial", "unix:/nonexistent/s,server,nowait"], 4, "No such file"),
                (["--serial", "telnet:127.0.0.1:1,server"], 2, "socat"),
                (["--serial", "chardev:x"], 2, 'no chardev "x"'),
                (["--monitor", "chardev:x"], 2, 'no chardev "x"'),
                (["--chardev", "socket,path=/x"], 2, "id=NAME"),
                (["--mon", "chardev=x,mode=control"], 2, "readline")):
            done = subprocess.run([program, "--machine", "minimal", *args], timeout=LIMIT,
                                  stdin=subprocess.DEVNULL, capture_output=True, check=False)
            said = done.stderr.decode()
            assert done.returncode == status, (args, done)
            assert said.startswith(f"perilune: {args[0]}: ") and text in said, (args, said)


def main():
    program = sys.argv[1]
    folder = tempfile.mkdtemp()
    signal.alarm(100)
    try:
        for test in (monitor_on_a_terminal, serial_on_a_terminal, server_that_waits,
                     what_is_wrong):
            test(program, folder)
            print("ok", test.__name__, flush=True)
    finally:
        shutil.rmtree(folder)


main()
