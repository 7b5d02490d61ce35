"""`launcher.py OUTPUT PROGRAM ARGUMENT...`: run one program, its words into a file; print what it cost as JSON.

A process of its own, and a small one: on Linux a child's peak memory begins with that of whoever started it, and the
benchmarks hold whole catalogs.
"""

import json
import os
import sys
import time

output, *command = sys.argv[1:]
into = (os.POSIX_SPAWN_OPEN, 1, output, os.O_WRONLY | os.O_CREAT | os.O_TRUNC, 0o600)
begin = time.perf_counter()
pid = os.posix_spawn(command[0], command, os.environ, file_actions=[into, (os.POSIX_SPAWN_DUP2, 1, 2)])
_, status, used = os.wait4(pid, 0)
seconds = time.perf_counter() - begin
cost = {"wall": seconds, "cpu": used.ru_utime + used.ru_stime, "peak_mb": used.ru_maxrss / 1024}
sys.stdout.write(json.dumps({"exit": os.waitstatus_to_exitcode(status), **cost}))
