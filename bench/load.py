"""Load over keep-alive connections: raw sockets in one thread, so that it takes little of the machine."""

import selectors
import socket
import time
from collections import Counter, deque
from typing import NamedTuple

END_OF_HEAD = b"\r\n\r\n"


class Result(NamedTuple):
    rate: float
    """Answers a second."""
    busy: float
    """The share of a core that the load itself took: near 1, it was the limit."""
    statuses: Counter
    sample: str
    """The first answer that wasn't a success."""


class Caller:
    """One connection, with one request under way."""

    def __init__(self, port):
        self.socket = socket.create_connection(("127.0.0.1", port))
        self.socket.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
        self.answer = b""

    def ask(self, request):
        self.answer = b""
        self.socket.sendall(request)

    def listen(self):
        """The whole answer, once it is there."""
        received = self.socket.recv(1 << 18)
        if not received:
            raise ConnectionError("the server closed a connection")
        self.answer += received
        head, end, body = self.answer.partition(END_OF_HEAD)
        if not end:
            return None
        length = head.lower().partition(b"content-length:")[2].partition(b"\r\n")[0]
        return self.answer if len(body) >= int(length or 0) else None


def run(port, requests, connections, seconds) -> Result:
    """Sends each request once, as fast as the answers come; stops after some seconds."""
    waiting, statuses, sample = deque(requests), Counter(), ""
    with selectors.DefaultSelector() as selector:
        callers = [Caller(port) for _ in range(min(connections, len(requests)))]
        began, cpu = time.perf_counter(), time.process_time()
        for caller in callers:
            selector.register(caller.socket, selectors.EVENT_READ, caller)
            caller.ask(waiting.popleft())
        under_way = len(callers)
        while under_way:
            for key, _ in selector.select():
                answer = key.data.listen()
                if answer is None:
                    continue
                status = int(answer[9:12])
                statuses[status] += 1
                if status >= 300 and not sample:
                    sample = answer.partition(END_OF_HEAD)[2].decode(errors="replace")[:500]
                if waiting and time.perf_counter() - began < seconds:
                    key.data.ask(waiting.popleft())
                else:
                    under_way -= 1
        elapsed, cpu = time.perf_counter() - began, time.process_time() - cpu
        for caller in callers:
            caller.socket.close()
    return Result(statuses.total() / elapsed, cpu / elapsed, statuses, sample)


def request(method, path, token, body=b"") -> bytes:
    head = (
        f"{method} {path} HTTP/1.1\r\nHost: 127.0.0.1\r\nAuthorization: Bearer {token}\r\n"
        f"Content-Type: application/json\r\nContent-Length: {len(body)}\r\n\r\n"
    )
    return head.encode() + body
