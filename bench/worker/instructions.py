"""Observes which vector instructions a process runs: another process stops its threads now and then and reads where.

What libraries state about themselves is not enough: a switch may be ignored, or act on another library only, and a
kernel may be compiled in. The instruction at which a thread was stopped is what runs. Linux on x86-64 only.
"""

import collections
import contextlib
import ctypes
import json
import os
import platform
import select
import struct
import sys
import time

SEIZE, INTERRUPT, CONT, DETACH, GETREGS = 0x4206, 0x4207, 7, 17, 12     # linux/ptrace.h
EVENT_STOP = 128                 # of a thread that was stopped by INTERRUPT
WALL = 0x40000000                # waitpid: also for threads
PR_SET_PTRACER = 0x59616D61      # linux/prctl.h: needed if Yama lets only parents trace a process
RIP, REGISTERS = 16, 27          # of struct user_regs_struct: position and size in words
LONGEST = 15                     # bytes of the longest instruction
PERIOD_S = 0.001
MIN_TIME_S, MAX_TIME_S = 0.3, 3.0

REQUEST = struct.Struct("i")

SSE, AVX, AVX512 = "sse", "avx", "avx512"
"""The encoding of a vector instruction: with prefixes of SSE, with VEX (AVX, AVX2, FMA), or with EVEX and mask
registers (AVX-512)."""

LEGACY_PREFIXES = b"\x66\xf2\xf3\x2e\x36\x3e\x26\x64\x65\x67\xf0"
ON_MASKS = frozenset(range(0x41, 0x4C)) | frozenset((0x90, 0x91, 0x92, 0x93, 0x98, 0x99))     # VEX opcodes of map 1
NOT_KERNELS = ("libc.so", "libc-", "libpython", "python", "ld-linux", "[vdso]", "[vsyscall]")
"""Code that copies or interprets: it chooses instructions by itself, and does not compute the network."""


def encoding(code):
    """SSE, AVX or AVX512 if these bytes begin with a vector instruction, else None.

    Intel's Software Developer's Manual, volume 2, chapter 2. In 64-bit mode 62h, C4h and C5h begin nothing else.
    """
    code = code.ljust(LONGEST + 3, b"\0")       # zeros begin no vector instruction
    position = 0
    prefixes = set()
    while code[position] in LEGACY_PREFIXES:
        prefixes.add(code[position])
        position += 1
    first = code[position]
    if first == 0x62:
        return AVX512 if 1 <= code[position + 1] & 7 <= 3 else None      # other maps belong to APX, not to vectors
    if first in (0xC4, 0xC5):
        is_short = first == 0xC5
        opcode_map = 1 if is_short else code[position + 1] & 0x1F
        return _vex(opcode_map, code[position + (2 if is_short else 3)])
    if 0x40 <= first <= 0x4F:        # REX
        position += 1
    if code[position] != 0x0F:
        return None
    return SSE if _is_sse(prefixes, code[position + 1], code[position + 2]) else None


def _vex(opcode_map, opcode):
    if opcode_map == 1 and opcode in ON_MASKS:
        return AVX512
    # ANDN, BEXTR, SHLX, MULX and similar ones work on general registers.
    is_scalar = (opcode_map == 2 and 0xF2 <= opcode <= 0xF7) or (opcode_map == 3 and opcode == 0xF0)
    return None if is_scalar else AVX


def _is_sse(prefixes, opcode, next_opcode):
    if opcode == 0x38:
        return next_opcode < 0xC0                # SSSE3 and SSE4; above: SHA, AES, CRC32, MOVBE, ADX
    if opcode == 0x3A:
        return 0x08 <= next_opcode < 0xC0
    if 0x60 <= opcode <= 0x7F or opcode >= 0xD0:
        return bool(prefixes & {0x66, 0xF2, 0xF3})       # without: MMX
    return 0x10 <= opcode <= 0x17 or 0x28 <= opcode <= 0x2F or 0x50 <= opcode <= 0x5F or opcode in (0xC2, 0xC6)


class CannotWatch(Exception):
    """The reason, in one sentence, why instructions cannot be observed here."""


class Watcher(object):
    """A process that observes the instructions of this one; create it before any other thread.

    ``watch(step, fewest)`` repeats a step until it was stopped ``fewest`` times in a vector instruction, for at least
    MIN_TIME_S and at most MAX_TIME_S, and returns

    ``samples``     how often a running thread was stopped
    ``encodings``   {encoding: number of samples in vector instructions of kernels}
    ``places``      {name of the file that contains the code, or "generated code": number of those samples}

    Raises CannotWatch if the system cannot do it, or does not allow it.
    """

    def __init__(self):
        if not sys.platform.startswith("linux") or platform.machine() not in ("x86_64", "AMD64"):
            raise CannotWatch("instructions can be observed on Linux on x86-64 only")
        request_read, self._requests = os.pipe()
        self._answers, answer_write = os.pipe()
        watched = os.getpid()
        self._pid = os.fork()
        if self._pid == 0:
            os.close(self._requests)
            os.close(self._answers)
            _serve(watched, request_read, answer_write)
        os.close(request_read)
        os.close(answer_write)
        ctypes.CDLL(None).prctl(PR_SET_PTRACER, self._pid)

    def watch(self, step, fewest):
        os.write(self._requests, REQUEST.pack(fewest))
        while not select.select([self._answers], [], [], 0)[0]:
            step()
        answer = json.loads(_message(self._answers))
        if "problem" in answer:
            raise CannotWatch(answer["problem"])
        return answer

    def close(self):
        os.close(self._requests)
        os.close(self._answers)
        os.waitpid(self._pid, 0)


def _message(descriptor):
    """A line from a pipe."""
    content = b""
    while not content.endswith(b"\n"):
        chunk = os.read(descriptor, 65536)
        if not chunk:
            raise CannotWatch("the process that observes instructions has ended")
        content += chunk
    return content.decode()


def _serve(watched, requests, answers):
    """In the observing process: observes for a while at each request, until there are no more."""
    try:
        while True:
            request = os.read(requests, REQUEST.size)
            if not request:
                break
            try:
                answer = observed(watched, *REQUEST.unpack(request))
            except OSError as error:
                problem = "the system does not let one process observe another (ptrace: %s)" % error.strerror
                answer = {"problem": problem}
            os.write(answers, (json.dumps(answer) + "\n").encode())
    finally:
        os._exit(0)


def observed(process, fewest):
    """The result of Watcher.watch for a process that is computing; raises OSError if it may not be traced."""
    ptrace = ctypes.CDLL(None, use_errno=True).ptrace
    ptrace.argtypes = [ctypes.c_long, ctypes.c_long, ctypes.c_void_p, ctypes.c_void_p]
    ptrace.restype = ctypes.c_long

    def call(request, thread, data=None):
        if ptrace(request, thread, None, data) < 0:
            number = ctypes.get_errno()
            raise OSError(number, os.strerror(number))

    threads = [int(name) for name in os.listdir("/proc/%d/task" % process)]
    registers = (ctypes.c_ulonglong * REGISTERS)()
    encodings, places = collections.Counter(), collections.Counter()
    samples = 0

    def halt(thread):
        call(INTERRUPT, thread)
        while os.waitpid(thread, WALL)[1] >> 16 != EVENT_STOP:
            call(CONT, thread)       # stopped by a signal, which is not ours; it is not delivered

    for thread in threads:
        call(SEIZE, thread)
    mapped = _mapped(process)
    with open("/proc/%d/mem" % process, "rb", 0) as memory:
        start = time.perf_counter()
        while not _is_enough(time.perf_counter() - start, sum(encodings.values()), fewest):
            for thread in list(threads):
                try:
                    if not _is_running(process, thread):
                        continue
                    halt(thread)
                    call(GETREGS, thread, ctypes.cast(registers, ctypes.c_void_p))
                    vector = encoding(_bytes_at(memory, registers[RIP]))
                    call(CONT, thread)
                except OSError:
                    threads.remove(thread)       # it has ended
                    continue
                samples += 1
                place = _place(mapped, registers[RIP])
                if vector is not None and not place.startswith(NOT_KERNELS):
                    encodings[vector] += 1
                    places[place] += 1
            time.sleep(PERIOD_S)
    for thread in threads:
        with contextlib.suppress(OSError):
            halt(thread)
            call(DETACH, thread)
    return {"samples": samples, "encodings": encodings, "places": places}


def _is_enough(time_s, samples, fewest):
    return time_s >= MIN_TIME_S and (samples >= fewest or time_s >= MAX_TIME_S)


def _bytes_at(memory, address):
    """The bytes of the longest possible instruction, or fewer at the end of memory."""
    try:
        memory.seek(address)
        return memory.read(LONGEST)
    except (OSError, ValueError):
        return b""


def _is_running(process, thread):
    with open("/proc/%d/task/%d/stat" % (process, thread)) as file:
        return file.read().rpartition(")")[2].split()[0] == "R"


def _mapped(process):
    """[(first address, address after the last, name)] of the executable memory of a process."""
    regions = []
    with open("/proc/%d/maps" % process) as file:
        for line in file:
            addresses, rights, _, _, _, *name = line.split(None, 5)
            if "x" in rights:
                first, _, behind = addresses.partition("-")
                path = name[0].strip() if name else ""
                regions.append((int(first, 16), int(behind, 16), path))
    return regions


def _place(mapped, address):
    for first, behind, path in mapped:
        if first <= address < behind:
            return os.path.basename(path) or "generated code"
    return "generated code"      # mapped after the list was made
