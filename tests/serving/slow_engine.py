"""A model's process without a model: it says how many rows it got at once, after a time; a row "die" ends it."""

import os
import sys
import time

import msgspec

from babelens.serving.engine import Facts, ModelRow, Reply
from babelens.serving.frames import read_frame, write_frame

facts = Facts(("PER",), (), "none", "none", 0, "cpu", 1, "none", {})
write_frame(sys.stdout.buffer, msgspec.msgpack.encode(facts))
while (frame := read_frame(sys.stdin.buffer)) is not None:
    rows = msgspec.msgpack.decode(frame, type=list[ModelRow])
    time.sleep(float(sys.argv[1]))
    if any(row.text == "die" for row in rows):
        os._exit(3)
    told = [{"text": row.text, "entities": [], "image_status": "none", "together": len(rows)} for row in rows]
    write_frame(sys.stdout.buffer, msgspec.msgpack.encode([Reply(msgspec.json.encode(one)) for one in told]))
