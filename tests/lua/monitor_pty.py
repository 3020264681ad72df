"""The monitor on a terminal: somebody types at the prompt. monitor_pty.py PERILUNE

A pseudo-terminal stands for the terminal; every expectation has a time limit."""
import os
import pty
import select
import shutil
import socket
import subprocess
import sys
import tempfile
import termios
import time

LIMIT = 20  # seconds for one expectation
PROMPT = b"perilune> "


class Terminal:
    def __init__(self, program, *args, state):
        self.master, self.slave = pty.openpty()
        self.before = termios.tcgetattr(self.slave)
        env = dict(os.environ, TERM="xterm", XDG_STATE_HOME=state)
        self.process = subprocess.Popen([program, *args], stdin=self.slave, stdout=self.slave,
                                        stderr=self.slave, env=env, start_new_session=True)
        self.seen = b""

    def expect(self, what):
        """Wait for text; what came up to its end is dropped and returned."""
        end = time.monotonic() + LIMIT
        while what not in self.seen:
            left = end - time.monotonic()
            if left <= 0:
                raise AssertionError(f"{what!r} did not come; there is {self.seen!r}")
            if select.select([self.master], [], [], min(left, 0.2))[0]:
                self.seen += self.read()
        at = self.seen.index(what) + len(what)
        text, self.seen = self.seen[:at], self.seen[at:]
        return text

    def read(self):
        try:
            return os.read(self.master, 65536)
        except OSError as problem:
            raise AssertionError(f"the program has gone; there is {self.seen!r}") from problem

    def type(self, keys):
        os.write(self.master, keys)

    def line(self, text, answer):
        self.type(text + b"\r")
        self.expect(answer)
        self.expect(PROMPT)

    def interrupt(self, code):
        """Ctrl-C while the code is executed, which does not end by itself."""
        self.type(b"print('on ' .. 'it') " + code + b"\r")
        self.expect(b"on it")
        self.type(b"\x03")
        self.expect(b"interrupted")
        self.expect(PROMPT)

    def end(self, status):
        """It must end with this status, and leave the terminal as it found it."""
        got = self.process.wait(LIMIT)
        while select.select([self.master], [], [], 0)[0]:
            self.seen += os.read(self.master, 65536)
        assert got == status, f"status {got}, expected {status}; there is {self.seen!r}"
        after = termios.tcgetattr(self.slave)
        assert after == self.before, f"terminal modes: {after}, before {self.before}"
        os.close(self.master)
        os.close(self.slave)


def prompt_without_machine(program, state):
    t = Terminal(program, state=state)
    t.expect(PROMPT)
    t.line(b"1 + 41", b"0x2a (42)")
    t.line(b"info sta\t", b"error: there is no machine")
    t.line(b"inof", b'did you mean "info"?')
    t.type(b"for i = 1, 2 do\r")
    t.expect(b">> ")
    t.type(b"print('n' .. i)\r")
    t.expect(b">> ")
    t.type(b"end\r")
    t.expect(b"n1\r\nn2")
    t.expect(PROMPT)
    t.interrupt(b"while true do end")
    t.interrupt(b"perilune.wait(function() end)")
    t.line(b"io.read(), io.stdin:read(), (io.lines()())", b"nil\tnil\tnil")
    t.type(b"half a line\x03")
    t.expect(b"^C")
    t.expect(PROMPT)
    t.line(b"vm = perilune.machine('minimal')", b"\n")
    t.line(b"info status", b"VM status: paused")
    t.line("'ä' .. 'ö'".encode(), "äö".encode())
    # A machine made at the prompt tells who has paused it, as one of the command line does.
    t.line(b"vm.memory:write_bytes(0x1000, '\\xeb\\xfe')", b"true")
    t.line(b"c = vm.cpus[1]; c.cs, c.cs_base, c.rip = 0, 0, 0x1000", b"\n")
    t.line(b"h = vm:on('insn', { every = 9 }, function() return 'stop' end)", b"\n")
    t.type(b"c\r")
    t.expect(b"paused by the hook on insn at monitor:1, rip 0x1000; c lets it run")
    t.line(b"vm:close()", b"\n")
    t.line(b"info status", b"\n")
    t.type(b"quit 3\r")
    t.end(3)


def stopping(program, state):
    """Ctrl-Z stops the job, with the terminal as the shell left it; fg gives the line back."""
    t = Terminal.__new__(Terminal)
    t.seen = b""
    pid, t.master = pty.fork()
    if pid == 0:
        script = '"$0"; stty -a | grep -q " icanon" && echo "shell again"; fg; echo "ended $?"'
        os.execvpe("sh", ["sh", "-mc", script, program],
                   dict(os.environ, TERM="xterm", XDG_STATE_HOME=state))
    t.expect(PROMPT)
    t.type(b"20 + 2")
    t.expect(b"2")
    t.type(b"\x1a")
    t.expect(b"shell again")
    t.expect(b"20 + 2")
    t.line(b" + 1", b"0x17 (23)")
    t.interrupt(b"while true do end")
    t.type(b"quit 3\r")
    t.expect(b"ended 3")
    os.waitpid(pid, 0)
    os.close(t.master)


def history_is_kept(program, state):
    t = Terminal(program, state=state)
    t.expect(PROMPT)
    t.type(b"\x1b[A")
    t.expect(b"quit 3")
    t.type(b"\x15\x04")
    t.end(0)
    path = os.path.join(state, "perilune", "history")
    assert os.stat(path).st_mode & 0o077 == 0, "others can read the history"


SPIN = (b"vm.memory:write_bytes(0x7c00, '\\xeb\\xfe'); local c = vm.cpus[1]; "
        b"c.cs, c.cs_base, c.rip = 0, 0, 0x7c00")


def switching(program, state):
    """The monitor and a serial port on one terminal, while the machine runs."""
    t = Terminal(program, "--machine", "pc", "--nographic", "-S", state=state)
    t.expect(PROMPT)
    t.line(b"info chardevs", b"serial0: filename=mux:serial0-base, 0 bytes in")
    t.line(SPIN, b"\n")
    t.line(b"c", b"\n")
    t.line(b"info status", b"VM status: running")
    t.line(b"p $rip", b"0x7c00")
    t.type(b"1 + ")
    time.sleep(0.2)
    t.type(b"\x01cabc\x01c6\r")
    t.expect(b"\n7")
    t.expect(PROMPT)
    t.line(b"vm:chardev('serial0').bytes_in", b"3")
    t.type(b"\x03")
    t.expect(b"paused; c lets it run")
    t.expect(PROMPT)
    t.line(b"info status", b"VM status: paused (user)")
    for _ in range(5): # whenever it comes: before the line is executed, at once, or later
        t.type(b"vm:run()\r\x03")
        t.expect(PROMPT)
    t.type(b"require('luv').new_timer():start(1, 0, function() print('it ' .. 'runs') end) vm:run()\r")
    t.expect(b"it runs")
    t.type(b"\x03")
    t.expect(PROMPT)
    t.line(b"info status", b"VM status: paused (user)")
    t.line(b"c", b"\n")
    t.type(b"\x01c")
    time.sleep(0.2)
    t.type(b"\x01x")
    t.end(0)


def news(program, state):
    """What is told unasked comes above the line that is being edited, which is there again."""
    t = Terminal(program, "--machine", "pc", "--serial", "null", "--monitor", "stdio", "-S",
                 state=state)
    t.expect(PROMPT)
    t.line(SPIN, b"\n")
    t.line(b"c", b"\n")
    now = os.path.join(state, "now")
    t.line(b"uv, s = require('luv'), nil", b"\n")
    t.line(f"s = uv.new_timer(); s:start(9, 9, function() if uv.fs_stat('{now}') then s:close() "
           "vm:pause('drill') end end)".encode(), b"\n")
    t.type(b"20 + ")
    t.expect(b"20 + ")
    with open(now, "w", encoding="utf-8"):
        t.expect(b"paused (drill); c lets it run\r\n" + PROMPT + b"20 + ")
    t.type(b"3\r")
    t.expect(b"0x17 (23)")
    t.expect(PROMPT)
    t.type(b"quit\r")
    t.end(0)


def quit_from_the_monitor(program, state):
    t = Terminal(program, "--machine", "pc", "--serial", "null", "--monitor", "stdio", "-S",
                 state=state)
    t.expect(PROMPT)
    t.type(b"vm:stop('done', 5)\r")
    t.end(5)


def lines_from_a_pipe(program, state):
    done = subprocess.run([program], input=b"1 + 1\nfor i = 1, 2 do\nprint(i)\nend\ninfo version\n",
                          capture_output=True, timeout=LIMIT, check=False)
    assert done.returncode == 0, done
    assert done.stdout.startswith(b"2\n1\n2\n0."), done
    big = b"x" * 3_000_000 + b"\n" + b"1 + 1\n" * 20000
    done = subprocess.run([program], input=big, capture_output=True, timeout=60, check=False)
    assert done.returncode == 0 and done.stdout.endswith(b"2\n2\n"), done.stdout[-200:]
    assert done.stdout.count(b"\n2") == 20000, done.stdout.count(b"\n2")
    done = subprocess.run([program, "--machine", "minimal", "--monitor", "stdio", "-S"],
                          input=b"info status\nquit 7\n", capture_output=True, timeout=LIMIT,
                          check=False)
    assert done.returncode == 7 and done.stdout == b"VM status: paused\n", done
    done = subprocess.run([program, "--machine", "minimal", "--monitor", "stdio", "-S"],
                          input=b"vm:close()\nprint('more')\n", capture_output=True, timeout=LIMIT,
                          check=False)
    assert done.returncode == 0 and done.stdout + done.stderr == b"", done


def others_are_told(program, state):
    """Somebody at the terminal learns what clients of a socket do to the machine, and these what he does."""
    path = os.path.join(state, "other")
    t = Terminal(program, "--machine", "pc", "--serial", "null", "--monitor", "stdio", "--monitor",
                 "unix:" + path, "-S", state=state)
    t.expect(PROMPT)
    t.line(SPIN, b"\n")
    t.line(b"c", b"\n")
    with socket.socket(socket.AF_UNIX) as client:
        client.settimeout(LIMIT)
        client.connect(path)
        t.type(b"20 + ")
        t.expect(b"20 + ")
        client.sendall(b"stop\n")
        t.expect(b"paused (user) by monitor client 1; c lets it run\r\n" + PROMPT + b"20 + ")
        t.type(b"2\r")
        t.expect(b"0x16 (22)")
        t.expect(PROMPT)
        t.line(b"c", b"\n")
        t.line(b"stop", b"\n")
        seen = b""
        while b"paused (user); c lets it run" not in seen:
            seen += client.recv(4096)
        client.sendall(b"quit 6\n")
        t.expect(b"ended by monitor client 1")
    t.end(6)


def clients_of_a_socket(program, state):
    path = os.path.join(state, "socket")
    machine = subprocess.Popen([program, "--machine", "pc", "--serial", "null", "-S", "--monitor",
                                "unix:" + path], stdin=subprocess.DEVNULL)
    end = time.monotonic() + LIMIT
    while not os.path.exists(path) and time.monotonic() < end:
        time.sleep(0.02)
    with socket.socket(socket.AF_UNIX) as client:
        client.settimeout(LIMIT)
        while client.connect_ex(path) != 0 and time.monotonic() < end:
            time.sleep(0.02)
        client.sendall(b"info status\nquit 9\n")
        seen = b""
        while block := client.recv(4096):
            seen += block
        assert b"VM status: paused\n" in seen, seen
    assert machine.wait(LIMIT) == 9, machine.returncode
    assert not os.path.exists(path), "the socket is left behind"


def main():
    program = sys.argv[1]
    state = tempfile.mkdtemp()
    try:
        for test in (prompt_without_machine, stopping, history_is_kept, switching, news,
                     others_are_told, quit_from_the_monitor, lines_from_a_pipe, clients_of_a_socket):
            test(program, state)
            print("ok", test.__name__, flush=True)
    finally:
        shutil.rmtree(state)


main()
