# SPDX-License-Identifier: MIT
"""What happens to bytes, and to either end of them."""

import hashlib
import os
import random
import select
import signal
import socket
import subprocess
import sys
import threading

import fixture
from fixture import TIMEOUT, tap

MIB = 1 << 20
TOTAL = 200 * MIB
CUT = "the connection broke"


def noise(seed, size):
    """The same bytes for the same seed, in pieces of odd sizes."""
    source = random.Random(seed)
    block = source.randbytes(3 * MIB)
    while size:
        start = source.randrange(MIB)
        piece = block[start:start + min(size, source.randrange(1, 2 * MIB))]
        size -= len(piece)
        yield piece


def read_all(plain):
    """Digest and number of the bytes until the end of file."""
    digest, count = hashlib.sha256(), 0
    buffer = bytearray(MIB)
    while n := plain.recv_into(buffer):
        digest.update(memoryview(buffer)[:n])
        count += n
    return digest.hexdigest(), count


def digest_of(pieces):
    digest = hashlib.sha256()
    for piece in pieces:
        digest.update(piece)
    return digest.hexdigest()


def receive(plain, size):
    got = b""
    while len(got) < size and (part := plain.recv(size - len(got))):
        got += part
    return got


def await_end(pid_fd):
    ready, _, _ = select.select([pid_fd], [], [], TIMEOUT)
    return bool(ready)


class Bytes(fixture.TlsTest):
    def test_each_direction_ends_by_itself(self):
        client, server = self.pair()
        client.plain.sendall(b"question")
        client.plain.shutdown(socket.SHUT_WR)
        self.assertEqual(receive(server.plain, 100), b"question")
        server.plain.sendall(b"answer")
        self.assertEqual(receive(client.plain, 6), b"answer")
        server.plain.sendall(b" and more")
        server.plain.shutdown(socket.SHUT_WR)
        self.assertEqual(receive(client.plain, 100), b" and more")
        self.assertEqual(client.ended(), (0, ""))
        self.assertEqual(server.ended(), (0, ""))

    def test_much_both_ways_at_once(self):
        client, server = self.pair()
        got = {}

        def send(helper, seed):
            for piece in noise(seed, TOTAL):
                helper.plain.sendall(piece)
            helper.plain.shutdown(socket.SHUT_WR)

        def take(helper, seed):
            got[seed] = read_all(helper.plain)

        threads = [threading.Thread(target=target, args=arguments) for target, arguments in (
            (send, (client, 1)), (send, (server, 2)), (take, (server, 1)), (take, (client, 2)))]
        for thread in threads:
            thread.start()
        for thread in threads:
            thread.join()
        for seed in (1, 2):
            self.assertEqual(got[seed], (digest_of(noise(seed, TOTAL)), TOTAL))
        self.assertEqual(client.ended(), (0, ""))
        self.assertEqual(server.ended(), (0, ""))

    def test_who_does_not_read_stops_the_other_and_not_himself(self):
        client, server = self.pair()
        sent = 0
        client.plain.settimeout(1)
        try:
            while sent < TOTAL:
                sent += client.plain.send(bytes(MIB))
        except TimeoutError:
            pass
        client.plain.settimeout(TIMEOUT)
        # Two buffers, two socket pairs, and what the kernel gives TCP.
        self.assertLess(sent, 32 * MIB)
        server.plain.sendall(b"the other way")
        self.assertEqual(receive(client.plain, 13), b"the other way")
        client.plain.shutdown(socket.SHUT_WR)
        self.assertEqual(read_all(server.plain)[1], sent)


class Ends(fixture.TlsTest):
    def test_last_words_arrive(self):
        """Closed at once after writing, with bytes unread on both sides."""
        for _ in range(10):
            client, server = self.pair()
            server.plain.sendall(b"unread")
            client.plain.sendall(b"x" * 150000)
            self.assertEqual(client.end(), (0, ""))
            self.assertEqual(read_all(server.plain)[1], 150000)
            server.plain.close()
            self.assertEqual(server.ended()[0], 0)

    def test_last_words_arrive_against_a_flood(self):
        """As when a target refuses while the source sends its pages."""
        client, server = self.pair()
        words, heard = b"no, because", []

        def flood():
            try:
                while True:
                    client.plain.sendall(bytes(MIB))
            except OSError:
                # No more than that: a reset follows, for what nobody took of the flood.
                heard.append(receive(client.plain, len(words)))

        thread = threading.Thread(target=flood)
        thread.start()
        receive(server.plain, 10 * MIB)
        server.plain.sendall(words)
        self.assertEqual(server.end(), (0, ""))
        thread.join(TIMEOUT)
        self.assertEqual(heard, [words])

    def test_last_words_arrive_where_somebody_was_writing(self):
        """The end is known there before they are read, and more waits to be written."""
        client, server = self.pair()
        client.plain.settimeout(1)
        with self.assertRaises(TimeoutError):
            while True:
                client.plain.send(bytes(MIB))
        client.process.send_signal(signal.SIGSTOP)
        os.waitid(os.P_PID, client.process.pid, os.WSTOPPED | os.WNOWAIT)
        server.plain.sendall(b"no, because")
        self.assertEqual(server.end(), (0, ""))
        client.process.send_signal(signal.SIGCONT)
        client.plain.settimeout(TIMEOUT)
        self.assertEqual(receive(client.plain, 11), b"no, because")

    def test_caller_leaves_while_the_peer_is_deaf(self):
        client, server = self.pair()
        client.plain.settimeout(1)
        try:
            while True:
                client.plain.send(bytes(MIB))
        except TimeoutError:
            pass
        self.assertEqual(client.end(), (0, ""))
        self.assertGreater(read_all(server.plain)[1], 0)

    def test_killed_helper(self):
        for killed in (0, 1):
            pair = self.pair()
            other = pair[1 - killed]
            pair[killed].plain.sendall(b"before")
            self.assertEqual(receive(other.plain, 6), b"before")
            pair[killed].process.kill()
            self.assertEqual(receive(pair[killed].plain, 1), b"")
            self.assertEqual(receive(other.plain, 1), b"")
            status, said = other.ended()
            self.assertEqual(status, 2)
            self.assertIn(CUT, said)
            self.assertEqual(said.count("\n"), 1)
            with self.assertRaises(BrokenPipeError):
                other.plain.sendall(b"to nobody")

    def test_both_leave_at_once(self):
        """Nobody is left whom a connection that breaks then would matter to."""
        for leaves in (0, 1):
            pair = self.pair()
            slow, other = pair[leaves], pair[1 - leaves]
            other.plain.sendall(b"before")
            self.assertEqual(receive(slow.plain, 6), b"before")
            slow.process.send_signal(signal.SIGSTOP)
            os.waitid(os.P_PID, slow.process.pid, os.WSTOPPED | os.WNOWAIT)
            slow.plain.close()
            other.process.kill()
            other.process.wait()
            slow.process.send_signal(signal.SIGCONT)
            self.assertEqual(slow.ended(), (0, ""))

    def test_killed_caller(self):
        """Who holds the other end of the socket pair does not matter: a parent's death is enough."""
        client = self.client()
        tcp = self.accept()
        plain, other = socket.socketpair()
        self.addCleanup(plain.close)
        words = [fixture.PROGRAM, "serve", str(tcp.fileno()), "--dir",
                 str(self.directory("good")), str(other.fileno())]
        script = ("import subprocess, sys; p = subprocess.Popen(sys.argv[1:], close_fds=False); "
                  "print(p.pid, flush=True); p.wait()")
        parent = subprocess.Popen([sys.executable, "-c", script, *words], stdout=subprocess.PIPE,
                                  pass_fds=[tcp.fileno(), other.fileno()])
        tcp.close()
        other.close()
        pid_fd = os.pidfd_open(int(parent.stdout.readline()))
        self.addCleanup(os.close, pid_fd)
        self.assertEqual(parent.stdout.readline(), b"ok\n")
        self.assertEqual(client.word(), "ok\n")
        parent.kill()
        self.assertTrue(await_end(pid_fd))
        self.assertEqual(client.plain.recv(1), b"")
        parent.communicate()

    def test_stopped_peer_does_not_hold_the_caller(self):
        client, server = self.pair()
        server.process.send_signal(signal.SIGSTOP)
        client.plain.sendall(b"x" * 100000)
        self.assertEqual(client.end(), (0, ""))
        server.process.send_signal(signal.SIGCONT)
        self.assertEqual(read_all(server.plain)[1], 100000)


class Meddler(fixture.TlsTest):
    """Somebody in between."""

    def between(self, room=None):
        """Two helpers, and the two TCP connections of which each has one."""
        client = self.client()
        near = self.accept()
        far = self.dial(room)
        server = self.server(self.accept())
        return client, near, far, server

    def forward(self, source, sink, change):
        def run():
            try:
                while block := source.recv(65536):
                    sink.sendall(change(block))
                sink.shutdown(socket.SHUT_WR)
            except OSError:
                pass

        thread = threading.Thread(target=run)
        thread.start()
        self.addCleanup(thread.join, TIMEOUT)
        return thread

    def test_flipped_bit(self):
        client, near, far, server = self.between()
        armed = threading.Event()

        def flip(block):
            if not armed.is_set():
                return block
            middle = len(block) // 2
            return block[:middle] + bytes([block[middle] ^ 1]) + block[middle + 1:]

        self.forward(near, far, flip)
        self.forward(far, near, lambda block: block)
        self.assertEqual((client.word(), server.word()), ("ok\n", "ok\n"))
        client.plain.sendall(b"a" * 1000)
        self.assertEqual(receive(server.plain, 1000), b"a" * 1000)
        armed.set()
        client.plain.sendall(b"b" * 1000)
        self.assertEqual(receive(server.plain, 1000), b"")
        status, said = server.ended()
        self.assertEqual(status, 2)
        self.assertIn(CUT, said)

    def test_last_words_arrive_on_a_slow_way(self):
        """The helper stays until the other host has them: what comes in could cost them."""
        client, near, far, server = self.between(room=4096)
        way = threading.Event()
        way.set()
        self.addCleanup(way.set)
        self.forward(near, far, lambda block: block)
        self.forward(far, near, lambda block: way.wait(TIMEOUT) and block)
        self.assertEqual((client.word(), server.word()), ("ok\n", "ok\n"))

        def flood():
            try:
                while True:
                    client.plain.sendall(bytes(MIB))
            except OSError:
                pass

        way.clear()
        thread = threading.Thread(target=flood)
        thread.start()
        self.addCleanup(thread.join, TIMEOUT)
        self.addCleanup(client.plain.shutdown, socket.SHUT_RDWR)
        receive(server.plain, MIB)
        server.plain.sendall(b"x" * 60000)
        server.plain.close()
        with self.assertRaises(subprocess.TimeoutExpired):
            server.process.wait(1)
        way.set()
        self.assertEqual(len(receive(client.plain, 60000)), 60000)
        self.assertEqual(server.ended(), (0, ""))

    def test_end_without_goodbye(self):
        """The end of TCP is not the end of TLS: somebody may have cut off the rest."""
        client, near, far, server = self.between()
        self.forward(near, far, lambda block: block)
        self.forward(far, near, lambda block: block)
        self.assertEqual((client.word(), server.word()), ("ok\n", "ok\n"))
        client.plain.sendall(b"half of it")
        self.assertEqual(receive(server.plain, 10), b"half of it")
        far.shutdown(socket.SHUT_WR)
        self.assertEqual(receive(server.plain, 1), b"")
        status, said = server.ended()
        self.assertEqual(status, 2)
        self.assertIn(CUT, said)


if __name__ == "__main__":
    tap.main()
