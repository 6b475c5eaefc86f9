#!/usr/bin/env python3
# SPDX-License-Identifier: MIT
"""A guest that moves over TLS; strangers are turned away and the wait goes on."""

import os
import pathlib
import re
import socket
import subprocess
import sys
import time

sys.path.insert(0, str(pathlib.Path(__file__).resolve().parents[1] / "common"))
import harness  # noqa: E402
import tap  # noqa: E402
from harness import UMBRA  # noqa: E402
from migrating import MigrationTest, Tally  # noqa: E402

SILENCE = 9  # seconds; those who do not speak TLS are sent away after ten
CERTIFICATES = pathlib.Path(__file__).resolve().parents[1] / "tls" / "make-certificates"


class Tls(MigrationTest):
    def setUp(self):
        super().setUp()
        subprocess.run([CERTIFICATES, self.folder], check=True, timeout=120)

    def listening(self):
        target = self.target("tls:localhost:0", "--tls", self.path("good"))
        target.wait("its port", lambda side: b"\n" in side.err)
        port, = re.findall(rb"listening on port (\d+)\n", target.err)
        return target, int(port)

    def send(self, source, port, certificates, **parameters):
        return self.migrate(source, f"tls:localhost:{port}",
                            tls_creds=self.path(certificates), **parameters)

    def test_no_wait_without_certificates(self):
        """Else each sender would hear that this side does not speak TLS, and nothing of the reason."""
        os.unlink(self.path("other") + "/server-key.pem")
        for options, word in (([], "--tls"), (["--tls", self.path("nowhere")], "nowhere/ca-cert.pem"),
                              (["--tls", self.path("other")], "other/server-key.pem")):
            self.assert_trouble(harness.run([UMBRA, "run", "--incoming", "tls:localhost:0", *options],
                                            env=self.environment), word)

    def test_silence_hinders_nobody_and_the_end_is_quiet(self):
        """Who says nothing is still there when the guest has arrived; and nobody complains."""
        quick = 0
        for channels in (1, 2, 5):
            source = self.source(fill=16)
            target, port = self.listening()
            began = time.monotonic()
            with socket.create_connection(("localhost", port)) as silent:
                result = self.umbra("migrate", source.name, f"tls:localhost:{port}", "--tls",
                                    self.path("good"), "--channels", str(channels))
                self.assertEqual((result.returncode, result.stderr), (0, ""))
                patient = time.monotonic() - began < SILENCE
                quick += patient
                if patient:
                    silent.setblocking(False)
                    with self.assertRaises(BlockingIOError):
                        silent.recv(1)
                self.assertEqual(source.end(),
                                 (0, f"umbra: the guest moved to tls:localhost:{port}\n"))
                self.assert_goes_on(target)
            self.assertRegex(target.take_err().decode(),
                             rf"\Aumbra: listening on port {port}\n" +
                             (r"\Z" if patient else r"(umbra: a guest was turned away: .*\n)?\Z"))
            self.finish([source, target], Tally())
        if not quick:
            self.skipTest("no move took less time here than the silent have")

    def test_strangers_first_and_then_the_guest_by_two_connections(self):
        source = self.source()
        target, port = self.listening()
        with socket.create_connection(("localhost", port)) as plain:
            plain.sendall(b"UMIG" + bytes(44))
            target.wait("a line about it", lambda side: b"does not speak TLS" in side.err)
        for certificates, why in (("other", "certificate"), ("expired", "expired")):
            answer = self.send(source, port, certificates)
            self.assertEqual(answer["status"], "failed")
            self.assertIn(why, answer["error"])
            self.assert_goes_on(source)
        source.execute("migrate-set-capabilities",
                       capabilities=[{"capability": "multifd", "state": True}])
        self.assertEqual(self.send(source, port, "good", multifd_channels=2)["status"], "completed")
        self.assertEqual(source.status(), "postmigrate")
        self.assert_goes_on(target)
        source.execute("quit")
        self.assertEqual(source.end()[0], 0)
        target.process.stdin.write(b"q")
        self.assertEqual(target.end()[0], 0)
        target.out = target.out.removesuffix(b"tally: done\n")
        self.assert_counted([source, target], Tally())


if __name__ == "__main__":
    tap.main()
