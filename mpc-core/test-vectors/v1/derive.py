#!/usr/bin/env python3
"""Derives the golden vectors of this folder from the format's description in README.md.

Without arguments it writes the files; with --check it compares them and fails on a difference.
"""

import hashlib
import json
import pathlib
import struct
import sys

HERE = pathlib.Path(__file__).parent
MAX_BODY = 1 << 20
MODULUS = (1 << 61) - 1


def step_id(path):
    return hashlib.sha256(b"consilium step v1\0" + path.encode()).digest()[:8]


def header(sender, body_len, session, step, sequence, depth, magic=b"CF\x01"):
    return magic + struct.pack("<BI8s8sII", sender, body_len, session, step, sequence, depth)


def text(string):
    return struct.pack("<Q", len(string.encode())) + string.encode()


def z64(*values):
    return struct.pack(f"<{len(values)}Q", *values)


def z128(*values):
    return b"".join(value.to_bytes(16, "little") for value in values)


def frames():
    def case(name, sender, body_len, session, path, sequence, depth):
        step = step_id(path)
        bytes_ = header(sender, body_len, session, step, sequence, depth)
        return dict(name=name, bytes=bytes_.hex(), sender=sender, body_len=body_len, session=session.hex(),
                    path=path, step=step.hex(), sequence=sequence, depth=depth)

    good = [
        case("an empty frame at the root", 0, 0, bytes(8), "", 0, 0),
        case("fields in their places", 3, 0x00010203, bytes(range(8)), "/query/reveal#1/commit", 0x0A0B0C0D, 0x01020304),
        case("everything at its largest", 255, MAX_BODY, b"\xff" * 8, "/x", 2**32 - 1, 2**32 - 1),
    ]
    whole = bytes.fromhex(good[0]["bytes"])
    too_long = "frame body over 1 MiB"
    bad = [
        ("no bytes", b"", "header is not 32 bytes"),
        ("a byte short", whole[:-1], "header is not 32 bytes"),
        ("a byte long", whole + b"\0", "header is not 32 bytes"),
        ("another protocol", b"PRI" + whole[3:], "unknown frame version"),
        ("version 0", b"CF\x00" + whole[3:], "unknown frame version"),
        ("version 2", b"CF\x02" + whole[3:], "unknown frame version"),
        ("a body of 1 MiB and a byte", header(0, MAX_BODY + 1, bytes(8), step_id(""), 0, 0), too_long),
        ("a body of 4 GiB", header(0, 2**32 - 1, bytes(8), step_id(""), 0, 0), too_long),
        ("a length in the wrong byte order", header(0, 0x00000100 << 16, bytes(8), step_id(""), 0, 0), too_long),
    ]
    return good, [dict(name=name, bytes=b.hex(), error=error) for name, b, error in bad]


def columns():
    good = [
        ("Z64", z64(), []),
        ("Z64", z64(1, 256, 2**64 - 1), [1, 256, 2**64 - 1]),
        ("Z128", z128(2, 2**127), [2, 2**127]),
        ("F61", z64(0, 1, MODULUS - 1), [0, 1, MODULUS - 1]),
        ("u32", struct.pack("<2I", 7, 2**31), [7, 2**31]),
        ("Bytes32", bytes(range(32)), [int.from_bytes(bytes(range(32)), "little")]),
    ]
    bad = [
        ("Z64", "half an element", z64(1)[:4]),
        ("Z64", "a byte too many", z64(1) + b"\0"),
        ("Z128", "one and a half elements", z128(1) + z64(1)),
        ("F61", "the modulus itself", z64(5, MODULUS)),
        ("F61", "an unreduced element", z64(2**63)),
        ("F61", "all bits set", z64(2**64 - 1)),
        ("Bytes32", "31 bytes", bytes(31)),
    ]
    # Numbers are text: not every reader of JSON has integers of 128 bits.
    good = [dict(type=t, bytes=b.hex(), values=[str(v) for v in values]) for t, b, values in good]
    return good, [dict(type=t, name=name, bytes=b.hex()) for t, name, b in bad]


def messages():
    blamed = b"\x01\x02"
    notice = blamed + text("party 2 at /x: sent 3 bytes")
    malformed, trailing = "malformed control message", "trailing bytes after a control message"
    good = [
        dict(name="nobody is blamed", bytes=(b"\0" + text("disk full")).hex(), blamed=None, reason="disk full"),
        dict(name="party 2 is blamed", bytes=notice.hex(), blamed=2, reason="party 2 at /x: sent 3 bytes"),
        dict(name="words beyond ASCII", bytes=(b"\0" + text("Zeit ist über")).hex(), blamed=None, reason="Zeit ist über"),
        dict(name="no words", bytes=(b"\x01\0" + text("")).hex(), blamed=0, reason=""),
    ]
    bad = [
        ("no bytes", b"", malformed),
        ("an option that is neither", b"\x02" + notice[1:], malformed),
        ("cut in its text", notice[:-1], malformed),
        ("a byte too many", notice + b"\0", trailing),
        ("not UTF-8", b"\0" + struct.pack("<Q", 1) + b"\xff", malformed),
        ("a length that lies", b"\0" + struct.pack("<Q", 2**60) + b"x", malformed),
        ("the largest length", b"\0" + b"\xff" * 8, malformed),
        ("a length of four bytes", b"\0" + struct.pack("<I", 1) + b"x", malformed),
    ]
    return good, [dict(name=name, bytes=b.hex(), error=error) for name, b, error in bad]


SEED = 7


def session():
    id_ = hashlib.sha256(b"consilium world v1\0" + struct.pack("<Q", SEED) + b"session").digest()
    tag = id_[:8]

    # What party p sends: its column at the root, its element at the step, and an empty column back at the root. What
    # it sends second follows from what it received first, so the depths are 0, 1 and 2.
    def sent(p):
        bodies = [("", z64(p + 1, 2**64 - 1 - p)), ("/field", z64(MODULUS - 1 - p)), ("", b"")]
        return [header(p, len(body), tag, step_id(path), n, n) + body for n, (path, body) in enumerate(bodies)]

    run = dict(seed=SEED, session=id_.hex(), frames=[[frame.hex() for frame in sent(p)] for p in (0, 1)])

    first, second, third = sent(1)
    body = first[32:]

    def at_root(sender=1, body=body, tag=tag, path="", sequence=0, body_len=None):
        length = len(body) if body_len is None else body_len
        return header(sender, length, tag, step_id(path), sequence, 0) + body

    cases = [
        ("another session", [at_root(tag=bytes(8))], "/", "sent a frame of another session"),
        ("in another's name", [at_root(sender=0)], "/", "sent a frame in the name of party 0"),
        ("one frame lost", [at_root(sequence=1)], "/", "sent frame 1 where frame 0 was due"),
        ("the same frame twice", [first, first], "/field", "sent frame 0 where frame 1 was due"),
        ("two frames swapped", [second, first], "/", "sent frame 1 where frame 0 was due"),
        ("another step", [at_root(path="/field")], "/", "is at another step of the protocol"),
        ("too short a column", [at_root(body=body[:8])], "/", "sent 8 bytes, expected 16"),
        ("too long a column", [at_root(body=body + bytes(8))], "/", "sent 24 bytes, expected 16"),
        ("nothing", [at_root(body=b"")], "/", "sent 0 bytes, expected 16"),
        ("half an element", [at_root(body=body[:12])], "/", "sent 12 bytes, expected 16"),
        ("something where nothing is due", [first, second, header(1, 1, tag, step_id(""), 2, 2) + b"\0"], "/",
         "sent 1 bytes, expected 0"),
        ("an element at the modulus", [first, header(1, 8, tag, step_id("/field"), 1, 1) + z64(MODULUS)], "/field",
         "sent a non-canonical element of the field of 2^61 − 1"),
        ("another version", [b"CF\x02" + first[3:]], "/", "sent a malformed frame: unknown frame version"),
        ("a body over the limit", [at_root(body_len=MAX_BODY + 1)], "/", "sent a malformed frame: frame body over 1 MiB"),
    ]
    bad = [dict(name=name, frames=[f.hex() for f in frames_], error=f"party 1 at {place}: {error}")
           for name, frames_, place, error in cases]
    return run, bad


def main():
    files = {}
    for name, derive in [("frame", frames), ("wire", columns), ("control", messages), ("session", session)]:
        files[f"{name}.json"], files[f"bad_{name}.json"] = derive()
    differing = []
    for name, content in files.items():
        derived = json.dumps(content, indent=1, ensure_ascii=False) + "\n"
        if "--check" not in sys.argv[1:]:
            (HERE / name).write_text(derived, encoding="utf-8")
        elif (HERE / name).read_text(encoding="utf-8") != derived:
            differing.append(name)
    if differing:
        sys.exit(f"not as derived: {', '.join(differing)}")


main()
