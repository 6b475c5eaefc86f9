# SPDX-License-Identifier: MIT
"""Who is refused, by which side, and with which words. The peers are OpenSSL's, by Python."""

import shutil
import socket
import ssl
import threading

import fixture
from fixture import TIMEOUT, tap

GREETING = b"umbra-tls 1\n"
OLD = ssl.TLSVersion.TLSv1_2


class Peer(fixture.TlsTest):
    def context(self, role, directory, ca="good", show=True, newest=None):
        context = ssl.SSLContext(
            ssl.PROTOCOL_TLS_SERVER if role == "server" else ssl.PROTOCOL_TLS_CLIENT)
        context.load_verify_locations(self.directory(ca) / "ca-cert.pem")
        context.verify_mode = ssl.CERT_REQUIRED
        if show:
            files = self.directory(directory)
            context.load_cert_chain(files / f"{role}-cert.pem", files / f"{role}-key.pem")
        if newest:
            context.maximum_version = newest
        return context


class OfServer(Peer):
    """The server's helper, and a client that is not as it should be."""

    def attempt(self, **how):
        """What the client heard, and the helper."""
        tcp = self.dial()
        helper = self.server(self.accept())
        heard = []

        def client():
            try:
                with self.context("client", **how).wrap_socket(
                        tcp, server_hostname="localhost") as tls:
                    heard.append(tls.recv(100))
            except OSError:
                heard.append(b"")

        thread = threading.Thread(target=client)
        thread.start()
        self.addCleanup(thread.join, TIMEOUT)
        return heard, thread, helper

    def refuse(self, *parts, **how):
        heard, thread, helper = self.attempt(**how)
        self.assert_refused(helper, "127.0.0.1:", *parts)
        thread.join(TIMEOUT)
        self.assertEqual(heard, [b""])

    def test_one_that_is_as_it_should_be(self):
        heard, thread, helper = self.attempt(directory="good")
        self.assertEqual(helper.word(), "ok\n")
        thread.join(TIMEOUT)
        self.assertEqual(heard, [GREETING])

    def test_no_certificate(self):
        self.refuse("shows no certificate", directory="good", show=False)

    def test_certificate_of_another_ca(self):
        self.refuse("is not signed by the CA", directory="other")

    def test_expired_certificate(self):
        self.refuse("has expired", directory="expired")

    def test_old_version(self):
        self.refuse("no TLS 1.3", "older TLS", directory="good", newest=OLD)

    def test_plain_tcp(self):
        tcp = self.dial()
        helper = self.server(self.accept())
        tcp.sendall(b"UMIG, or anything else")
        self.assert_refused(helper, "does not speak TLS")

    def test_flood_of_garbage(self):
        """Also such that begins like TLS: long records, short ones, ones without content."""
        for start in (b"\x00", b"\x16", b"\x16\x03\x01\xff\xff", b"\x16\x03\x01\x00\x04",
                      b"\x16\x03\x01\x00\x00", b"\x17\x03\x03\x40\x00"):
            with self.subTest(start=start):
                tcp = self.dial()
                helper = self.server(self.accept())
                flood = start + bytes(range(256)) * 4096
                try:
                    for _ in range(32):
                        tcp.sendall(flood)
                except OSError:
                    pass  # it has hung up
                self.assert_refused(helper, "TLS")

    def test_nothing_but_the_end(self):
        self.dial().close()
        self.assert_refused(self.server(self.accept()), "without a word")

    def test_caller_is_gone_before_the_peer_speaks(self):
        tcp = self.dial()
        helper = self.server(self.accept())
        status, said = helper.end()
        self.assertEqual((status, said), (2, ""))
        self.assertEqual(tcp.recv(1), b"")


class OfClient(Peer):
    """The client's helper, and a server that is not as it should be."""

    def answer(self, says=GREETING, **how):
        """A server for one connection; it says a line if the handshake was to its taste."""
        def server():
            try:
                with self.context("server", **how).wrap_socket(
                        self.accept(), server_side=True) as tls:
                    tls.sendall(says)
                    tls.recv(1)
            except OSError:
                pass

        thread = threading.Thread(target=server)
        thread.start()
        self.addCleanup(thread.join, TIMEOUT)

    def refuse(self, *parts, host="localhost", **how):
        self.answer(**how)
        self.assert_refused(self.client(host=host), f"{host}:{self.port}: ", *parts)

    def test_one_that_is_as_it_should_be(self):
        self.answer(directory="good")
        self.assertEqual(self.client().word(), "ok\n")

    def test_certificate_of_another_ca(self):
        self.refuse("is not signed by the CA", directory="other")

    def test_expired_certificate(self):
        self.refuse("has expired", directory="expired")

    def test_certificate_for_another_name(self):
        self.refuse("is for another host name", directory="elsewhere")

    def test_certificate_for_the_name_only(self):
        self.refuse("is for another host name", directory="good", host="127.0.0.1")

    def test_address_in_the_certificate(self):
        self.answer(directory="address")
        self.assertEqual(self.client(host="127.0.0.1").word(), "ok\n")

    def test_clients_certificate_as_the_servers(self):
        context = self.directory("swapped")
        shutil.copytree(self.directory("good"), context)
        for end in ("cert", "key"):
            shutil.copy(context / f"client-{end}.pem", context / f"server-{end}.pem")
        self.refuse("is for another host name", directory="swapped")

    def test_old_version(self):
        self.refuse("no TLS 1.3", "older TLS", directory="good", newest=OLD)

    def test_server_that_does_not_believe_the_client(self):
        self.refuse("accept this side's", directory="good", ca="other")

    def test_tls_without_umbra(self):
        self.refuse("is no umbra", directory="good", says=b"HTTP/1.1 400 Bad Request\r\n")

    def plain(self, answer, *parts):
        helper = self.client()
        tcp = self.accept()
        tcp.recv(1)
        try:
            tcp.sendall(answer)
            tcp.shutdown(socket.SHUT_WR)
        except OSError:
            pass  # it has hung up
        self.assert_refused(helper, "no TLS 1.3", "plain TCP", *parts)

    def test_plain_tcp(self):
        self.plain(b"220 mail.example ready\r\n")

    def test_flood_of_garbage(self):
        self.plain(b"\x16\x03\x03\x40\x00" + bytes(range(256)) * 40000)

    def test_end_in_the_handshake(self):
        self.plain(b"")

    def test_nobody_listens(self):
        with socket.socket() as mine:  # or somebody else may
            mine.bind(("127.0.0.1", 0))
            self.assert_refused(self.client(port=mine.getsockname()[1]), "cannot connect")

    def test_no_such_port(self):
        self.assert_refused(self.client(port=65536), "port")


class OfSilence(Peer):
    def test_both_give_up(self):
        client = self.client()
        peer_of_client = self.accept()
        peer_of_server = self.dial()
        server = self.server(self.accept())
        self.assert_refused(client, "no answer in 10 seconds", "handshake")
        self.assert_refused(server, "no answer in 10 seconds", "waiting for the peer to speak")
        for tcp in (peer_of_client, peer_of_server):
            while tcp.recv(4096):
                pass


class OfItself(Peer):
    """A side's own files, judged before the network is touched."""

    def broken(self, name):
        directory = self.directory(f"{self.id()}-{name}")
        shutil.copytree(self.directory("good"), directory)
        return directory

    def refuse(self, directory, *parts):
        self.assert_refused(self.client(directory=directory.name), *parts)
        self.listener.settimeout(0)
        self.assertRaises(BlockingIOError, self.listener.accept)

    def test_missing_file(self):
        for name in ("ca-cert.pem", "client-cert.pem", "client-key.pem"):
            directory = self.broken(name)
            (directory / name).unlink()
            self.refuse(directory, f"/{name}: No such file")

    def test_no_pem(self):
        for name in ("ca-cert.pem", "client-cert.pem", "client-key.pem"):
            directory = self.broken(name)
            (directory / name).write_text("no PEM\n", encoding="ascii")
            self.refuse(directory, f"/{name}")

    def test_endless_file(self):
        for name in ("ca-cert.pem", "client-cert.pem", "client-key.pem"):
            directory = self.broken(name)
            (directory / name).unlink()
            (directory / name).symlink_to("/dev/zero")
            self.refuse(directory, f"/{name}: is no regular file")

    def test_key_for_others_eyes(self):
        for mode in (0o640, 0o604, 0o620, 0o602, 0o601):
            directory = self.broken(f"{mode:o}")
            (directory / "client-key.pem").chmod(mode)
            self.refuse(directory, "/client-key.pem: ", f"mode {mode:04o}")

    def test_key_of_another_certificate(self):
        """Which only the other side can see."""
        for role in ("client", "server"):
            directory = self.broken(role)
            name = f"{role}-key.pem"
            shutil.copy(self.directory("other") / name, directory / name)
            sides = (self.client(directory=directory.name if role == "client" else "good"),
                     self.server(self.accept(),
                                 directory=directory.name if role == "server" else "good"))
            words = [side.word() for side in sides]
            self.assertNotIn("ok\n", words)
            self.assertIn("verification has failed", words[role == "client"])

    def test_certificate_of_another_ca(self):
        directory = self.broken("ca")
        shutil.copy(self.directory("other") / "ca-cert.pem", directory / "ca-cert.pem")
        self.refuse(directory, "/client-cert.pem: ", "is not signed by the CA")

    def test_expired_certificate(self):
        self.refuse(self.directory("expired"), "/client-cert.pem: ", "has expired")

    def test_servers_files(self):
        directory = self.broken("server")
        (directory / "server-key.pem").chmod(0o644)
        self.dial()
        self.assert_refused(self.server(self.accept(), directory=directory.name),
                            "/server-key.pem: ")


if __name__ == "__main__":
    tap.main()
