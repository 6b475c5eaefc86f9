# SPDX-License-Identifier: MIT
"""A connection that goes wrong on demand, between the two ends of a migration.

It reads the messages (docs/migration.md, The wire), and when the one comes that a
Fault names, does to it what the Fault says. It believes the sizes in the headers and
checks nothing else.
"""

import socket
import struct
import threading

HEADER = 48
MAGIC = b"UMIG"
NAMES = ("", "HELLO", "VERDICT", "JOIN", "JOINED", "RAM", "END", "STATE", "READY", "GO", "STARTED",
         "FAILED", "ALIVE", "WHO", "OWNER", "LATER", "WANT", "COMPLETE", "RESUME", "MISSING")
TO_TARGET, TO_SOURCE = ">", "<"


class Message:
    def __init__(self, data):
        self.data = data
        self.name = NAMES[struct.unpack_from("<H", data, 4)[0]]
        self.payload = struct.unpack_from("<I", data, 8)[0]


class Fault:
    """What to do when the `nth` message `name` comes (0 is the first). RAM after LATER is PAGES.

    cut         the connection ends instead of it
    cut after   … when it has been passed on
    cut inside  … in the middle of it, after the share `where` of its bytes
    flip        one bit is wrong, there
    drop        it is lost, alone
    twice       it comes twice
    late        it comes after `delay` seconds
    swallow     nothing comes through any more in either direction; senders notice nothing
    swallow one … in this direction
    stall       … nothing is even taken
    pause       calls `act`, then passes it on
    act, drop   calls `act`, then ends the connection
    """

    def __init__(self, kind, name, nth=0, where=0.5, delay=0.2, act=None):
        self.kind, self.name, self.nth, self.where = kind, name, nth, where
        self.delay, self.act = delay, act

    def __str__(self):
        inside = f" at {self.where:.6f}" if self.kind in ("flip", "cut inside") else ""
        return f"{self.kind}: {self.name} {self.nth}{inside}"


class Proxy:
    """Listens at `path`, and connects to `target` for each who comes."""

    def __init__(self, path, target, fault=None):
        self.target, self.fault = target, fault
        self.lock = threading.Lock()
        self.fired = threading.Event()
        self.reachable = True  # new connections come through
        self.closed = self.silent = self.stuck = False
        self.silent_way = None
        self.counts, self.seen, self.sockets, self.threads = {}, [], [], []
        self.bytes = {TO_TARGET: 0, TO_SOURCE: 0}
        self.listener = socket.socket(socket.AF_UNIX)
        self.listener.bind(path)
        self.listener.listen()
        self.go_on = threading.Event()
        self.start(self.accept)

    def start(self, what, *arguments):
        thread = threading.Thread(target=what, args=arguments, daemon=True)
        self.threads.append(thread)
        thread.start()

    def close(self):
        if self.closed:
            return
        self.closed = True
        self.go_on.set()
        self.listener.shutdown(socket.SHUT_RDWR)
        self.cut()
        for thread in list(self.threads):
            thread.join(10)
        self.listener.close()
        for each in self.sockets:
            each.close()

    def accept(self):
        while True:
            try:
                source = self.listener.accept()[0]
            except OSError:
                return
            with self.lock:
                self.sockets.append(source)
            if not self.reachable or self.closed:
                self.end(source)
                continue
            try:
                target = socket.socket(socket.AF_UNIX)
                with self.lock:
                    self.sockets.append(target)
                target.connect(self.target)
            except OSError:
                self.end(source)
                continue
            self.start(self.pump, TO_TARGET, source, target)
            self.start(self.pump, TO_SOURCE, target, source)

    @staticmethod
    def end(one):
        try:
            one.shutdown(socket.SHUT_RDWR)
        except OSError:
            pass

    def cut(self):
        """Ends all connections; later ones are taken if `reachable`."""
        with self.lock:
            sockets = list(self.sockets)
        for one in sockets:
            self.end(one)

    @staticmethod
    def read(one, size):
        data = bytearray()
        while len(data) < size:
            part = one.recv(min(size - len(data), 1 << 20))
            if not part:
                break
            data += part
        return bytes(data)

    def receive(self, one):
        """A whole message, or whatever came before the end."""
        header = self.read(one, HEADER)
        if len(header) < HEADER or header[:4] != MAGIC:
            return header
        payload, data = struct.unpack_from("<II", header, 8)
        return header + self.read(one, payload + data)

    def due(self, message):
        """The fault, if it is this message's; another one may take its place from then on."""
        with self.lock:
            if message.name == "RAM" and "LATER" in self.counts:
                message.name = "PAGES"
            nth = self.counts.get(message.name, 0)
            self.counts[message.name] = nth + 1
            self.seen.append(message.name)
            fault = self.fault
            if not fault or self.fired.is_set() or (fault.name, fault.nth) != (message.name, nth):
                return None
            self.fired.set()
            return fault

    def pump(self, way, source, target):
        try:
            while True:
                data = self.receive(source)
                if not data:
                    break
                self.bytes[way] += len(data)
                if len(data) >= HEADER and data[:4] == MAGIC:
                    message = Message(data)
                    fault = self.due(message)
                    if fault:
                        self.hurt(fault, way, message, target)
                        continue
                self.send(way, target, data)
        except OSError:
            pass
        self.end(source)
        if not self.silent:
            self.end(target)

    def send(self, way, target, data):
        if self.stuck:
            self.go_on.wait()
        if not self.silent and self.silent_way != way:
            target.sendall(data)

    def hurt(self, fault, way, message, target):
        kind, data = fault.kind, message.data
        inside = min(int(fault.where * len(data)), len(data) - 1)
        if kind == "cut":
            self.cut()
        elif kind == "cut after":
            self.send(way, target, data)
            self.cut()
        elif kind == "cut inside":
            self.send(way, target, data[:inside])
            self.cut()
        elif kind == "flip":
            bit = 1 << int(fault.where * len(data) * 8) % 8
            self.send(way, target, data[:inside] + bytes([data[inside] ^ bit]) + data[inside + 1:])
        elif kind == "drop":
            pass
        elif kind == "twice":
            self.send(way, target, data)
            self.send(way, target, data)
        elif kind == "late":
            self.go_on.wait(fault.delay)
            self.send(way, target, data)
        elif kind == "swallow":
            self.silent = True
        elif kind == "swallow one":
            self.silent_way = way
        elif kind == "stall":
            self.stuck = True
            self.go_on.wait()
        elif kind == "pause":
            fault.act()
            self.send(way, target, data)
        elif kind == "act, drop":
            fault.act()
            self.cut()
        else:
            raise ValueError(kind)
