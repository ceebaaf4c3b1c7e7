"""A server in Python that can be replaced without a closed door: `gateway run --listen ADDR -- python3 server.py VERSION`."""

import asyncio
import os
import signal
import socket
import sys

VERSION = sys.argv[1].encode()
ANSWER = b"HTTP/1.1 200 OK\r\nContent-Length: %d\r\nConnection: close\r\n\r\n%s" % (len(VERSION), VERSION)


def listening():
    """The first socket that `gateway` has given to this very process (sd_listen_fds(3))."""
    if os.environ.get("LISTEN_PID") != str(os.getpid()):
        sys.exit("start me with `gateway run --listen ADDR -- ...`")
    return socket.socket(fileno=3)


def say(state):
    """Tells `gateway` how it is (sd_notify(3))."""
    with socket.socket(socket.AF_UNIX, socket.SOCK_DGRAM) as to:
        to.sendto(state.encode(), os.environ["NOTIFY_SOCKET"])


async def answer(reader, writer):
    await reader.readuntil(b"\r\n\r\n")
    writer.write(ANSWER)
    await writer.drain()
    writer.close()


async def main():
    stop = asyncio.Event()
    asyncio.get_running_loop().add_signal_handler(signal.SIGTERM, stop.set)
    server = await asyncio.start_server(answer, sock=listening(), backlog=4096)
    say("READY=1")
    await stop.wait()
    # Accept nothing more, answer what was accepted, and only then close: asyncio drops what it has accepted and not begun with
    # when its server is closed.
    for listener in server.sockets:
        asyncio.get_running_loop().remove_reader(listener.fileno())
    while len(asyncio.all_tasks()) > 1:
        await asyncio.sleep(0.005)
    server.close()


asyncio.run(main())
