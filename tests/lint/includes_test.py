"""lint.includes finds what is against the rule: small trees that break it, each in one way."""
import os
import subprocess
import sys
import tempfile

LINT = os.path.join(os.path.dirname(os.path.abspath(__file__)), "includes.py")
GOOD = {"src/base/error.h": "", "src/dev/device.h": '#include "base/error.h"\n',
        "src/cpu/vcpu.h": '#include "dev/device.h"\n', "src/script/l.c": "#include <lua.h>\n",
        "src/cpu/soft/soft.h": '#include "cpu/vcpu.h"\n', "hw/types.h": "", "src/vm/vm.h": "",
        "src/vm/vm.c": '#include "hw/types.h"\n', "hw/char/uart.c": '#include "dev/device.h"\n'}
BAD = {
    "src/base/log.c": '#include "dev/device.h"',
    "hw/timer/pit.c": '#include "cpu/vcpu.h"',
    "hw/timer/rtc.c": '#include "vm/vm.h"',
    "src/cpu/kvm/kvm.c": '#include "cpu/soft/soft.h"',
    "src/vm/run.c": "#include <lua.h>",
    "src/dev/bus.c": '#include "no/such.h"',
}


def lint(files):
    with tempfile.TemporaryDirectory() as top:
        for name, text in files.items():
            path = os.path.join(top, name)
            os.makedirs(os.path.dirname(path), exist_ok=True)
            with open(path, "w", encoding="utf-8") as f:
                f.write(text + "\n")
        done = subprocess.run([sys.executable, "-B", LINT, top], capture_output=True, text=True,
                              check=False)
        return done.returncode, done.stdout


status, output = lint(GOOD)
assert status == 0, output
for name, text in BAD.items():
    status, output = lint({**GOOD, name: text})
    header = text.split()[1].strip('"')
    assert status == 1 and f"{name}:1:" in output and header.strip("<>") in output, (name, output)
print(f"a tree that keeps the rule passes, {len(BAD)} that break it fail")
