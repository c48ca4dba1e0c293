"""A process that has imported all and loaded a model, and from which servers and model processes are forked.

A server takes seconds to import torch; a fork of this one takes none. It is asked over a socket: a JSON message with
file descriptors (standard input, output, error of the fork). The answer is the number of the process, and then its exit
code. As a program with two arguments it is the nursery; with one, it asks to become the model's process.
"""

import json
import os
import signal
import socket
import sys


def tend(place: str, model: str) -> None:
    import msgspec

    import babelens
    from babelens.serving import server
    from babelens.serving.engine import answer_frames
    from babelens.serving.settings import Settings

    predictor = babelens.load(model, "cpu")

    def serve(message: dict) -> int:
        settings = msgspec.convert(message["settings"], Settings)
        return server.serve(settings, message["command"] or [sys.executable, "-S", "-E", __file__, place])

    def engine(_: dict) -> int:
        answer_frames(predictor, model, os.fdopen(0, "rb"), os.fdopen(1, "wb"))
        return 0

    listener = socket.socket(socket.AF_UNIX)
    listener.bind(place)
    listener.listen(64)
    signal.signal(signal.SIGCHLD, signal.SIG_IGN)
    print("ready", flush=True)
    while True:
        connection, _ = listener.accept()
        if os.fork() == 0:
            listener.close()
            signal.signal(signal.SIGCHLD, signal.SIG_DFL)
            watch(connection, {"serve": serve, "engine": engine})
        connection.close()


def watch(connection: socket.socket, jobs: dict) -> None:
    """Fork once more, and tell how that fork ended."""
    content, descriptors, _, _ = socket.recv_fds(connection, 65_536, 3)
    message = json.loads(content)
    number = os.fork()
    if number == 0:
        connection.close()
        for target, source in enumerate(descriptors):
            os.dup2(source, target)
        code = 70
        try:
            code = jobs[message["do"]](message)
        except Exception as error:
            print(f"{type(error).__name__}: {error}", file=sys.stderr, flush=True)
        finally:
            os._exit(code)
    for descriptor in (0, 1, *descriptors):
        os.close(descriptor)
    connection.sendall(json.dumps({"process": number}).encode() + b"\n")
    _, status = os.waitpid(number, 0)
    connection.sendall(json.dumps({"code": os.waitstatus_to_exitcode(status)}).encode() + b"\n")
    os._exit(0)


def ask(place: str) -> None:
    """Hand our own input and output to a fork of the nursery, and end when it ends."""
    connection = socket.socket(socket.AF_UNIX)
    connection.connect(place)
    socket.send_fds(connection, [json.dumps({"do": "engine"}).encode()], [0, 1, 2])
    os.close(0)
    os.close(1)
    while connection.recv(4096):
        pass


if __name__ == "__main__":
    if len(sys.argv) == 3:
        tend(*sys.argv[1:])
    else:
        ask(sys.argv[1])
