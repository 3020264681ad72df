"""Pack the initramfs of the boot tests, with the test modes that scripts/make-initramfs has now."""
import os
import subprocess
import sys

import guest

output = os.path.abspath(sys.argv[2])
if not guest.have_guest():
    print("there is no guest, so nothing to pack; the tests that need it skip")
    sys.exit(0)
os.makedirs(os.path.dirname(output), exist_ok=True)
subprocess.run([os.path.join(guest.TOP, "scripts/make-initramfs"), output], check=True)
assert os.path.getsize(output) > 500000, "the initramfs is too small to be one"
