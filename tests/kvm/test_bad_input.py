# SPDX-License-Identifier: MIT
"""What cannot work is refused: one clear line, exit 2, nothing left behind."""

import json
import os
import shutil
import stat
import struct
import unittest

import harness
from harness import TROUBLE, UMBRA, guest, run


class BadInput(harness.GuestTest):
    def refused(self, arguments, *words, umbra=UMBRA, **keywords):
        """`umbra ARGUMENTS` says one line that has all `words`, in any case of letters."""
        before = sorted(os.listdir(self.folder))
        result = run([umbra, *arguments], cwd=self.folder, **keywords)
        self.assertEqual(result.returncode, TROUBLE, result.stderr)
        self.assertEqual(result.stdout, "")
        self.assertRegex(result.stderr, r"\Aumbra: [^\n]+\n\Z")
        for word in words:
            self.assertIn(word.lower(), result.stderr.lower())
        self.assertEqual(sorted(os.listdir(self.folder)), before)

    def refused_run(self, *options, words, kernel=None):
        self.refused(["run", "--kernel", kernel or guest("hello"), *options], *words)

    def file(self, name, data, size=None):
        path = os.path.join(self.folder, name)
        with open(path, "wb") as file:
            file.write(data)
            if size is not None:
                file.truncate(size)
        return path


class Usage(BadInput):
    def test_no_kernel(self):
        self.refused(["run"], "--kernel")

    def test_no_such_command(self):
        self.refused(["rum"], "rum", "--help")

    def test_unknown_option(self):
        self.refused_run("--kernle", "x", words=["--kernle"])

    def test_stray_argument(self):
        self.refused_run("stray", words=["stray"])

    def test_memory(self):
        for text in ("", "abc", "-1", "+64M", "64M1", "64X", "1.5G", "0x", "64 M", "99999999999999999999"):
            with self.subTest(text):
                self.refused_run(f"--memory={text}", words=["--memory", text])

    def test_memory_too_small_or_too_large(self):
        for text, limit in (("0", "64M"), ("1M", "64M"), ("63M", "64M"), ("17T", "4T")):
            with self.subTest(text):
                self.refused_run("--memory", text, words=["memory", limit])

    def test_cpus(self):
        for text in ("", "0", "-1", "100000", "99999999999999999999", "two", "1,5"):
            with self.subTest(text):
                self.refused_run(f"--cpus={text}", words=["--cpus", text])

    def test_cet_policy(self):
        self.refused_run("--cet", "perhaps", words=["--cet", "perhaps", "auto", "on", "off"])

    def test_command_line_over_the_limit(self):
        self.refused_run("--cmdline", "x" * 100_000, words=["command line"])


class Kernels(BadInput):
    def test_missing(self):
        self.refused_run(words=["nowhere", "no such file"], kernel="nowhere")

    def test_folder(self):
        self.refused_run(words=[self.folder], kernel=self.folder)

    def test_device(self):
        self.refused_run(words=["/dev/null"], kernel="/dev/null")

    def test_empty(self):
        path = self.file("empty", b"")
        self.refused_run(words=[path], kernel=path)

    def test_random_bytes(self):
        path = self.file("random", os.urandom(100_000))
        self.refused_run(words=[path], kernel=path)

    def test_elf_for_32_bit(self):
        header = struct.pack("<4s5B7xHHIIIIIHHHHHH", b"\x7fELF", 1, 1, 1, 0, 0,
                             2, 3, 1, 0x100000, 52, 0, 0, 52, 32, 1, 0, 0, 0)
        path = self.file("elf32", header, size=8192)
        self.refused_run(words=[path, "32"], kernel=path)

    def test_truncated_elf(self):
        with open(guest("hello"), "rb") as file:
            whole = file.read()
        for size in (4, 63, 64, 100, 4096, 8192):
            with self.subTest(size):
                path = self.file("cut", whole[:size])
                self.refused_run(words=[path], kernel=path)

    def test_bzimage_without_its_payload(self):
        image = bytearray(1024)
        image[0x1F1] = 1  # setup sectors
        image[0x1FE:0x200] = b"\x55\xaa"
        image[0x202:0x206] = b"HdrS"
        struct.pack_into("<H", image, 0x206, 0x20F)
        path = self.file("bzImage", image)
        self.refused_run(words=[path], kernel=path)


class Initrds(BadInput):
    def test_missing(self):
        self.refused_run("--initrd", "nowhere", words=["nowhere", "no such file"])

    def test_folder(self):
        self.refused_run("--initrd", self.folder, words=[self.folder])

    def test_too_large(self):
        path = self.file("large", b"", size=65 << 20)
        self.refused_run("--initrd", path, "--memory", "64M", words=["initrd"])


class CpuLike(BadInput):
    def test_missing(self):
        self.refused_run("--cpu-like", "nowhere", words=["--cpu-like", "nowhere", "no such file"])

    def test_another_vendor(self):
        """Trouble, too: 1 is restore's, and says that it is the guest that does not fit."""
        host = json.loads(run([UMBRA, "host", "--json"]).stdout)
        leaf, = (leaf for leaf in host["kvm"]["cpuid"] if leaf["function"] == "0x0")
        leaf.update(ebx="0x61726d75", edx="0x75206362", ecx="0x61726d62")
        path = self.file("host.json", json.dumps(host).encode())
        self.refused_run("--cpu-like", path, words=["--cpu-like", "no guest can move"])


class Kvm(BadInput):
    def test_absent(self):
        self.refused_run("--kvm", "/nowhere/kvm", words=["/nowhere/kvm", "no such file"])

    def test_not_kvm(self):
        self.refused_run("--kvm", "/dev/null", words=["/dev/null"])

    @unittest.skipUnless(os.geteuid() == 0, "only root can give its rights away for the test")
    def test_no_permission(self):
        device = os.path.join(self.folder, "kvm")
        os.mknod(device, stat.S_IFCHR | 0o600, os.stat("/dev/kvm").st_rdev)
        # Another user may be unable to reach the folder of the build.
        os.chmod(self.folder, 0o755)
        for name, source in (("umbra", UMBRA), ("hello", guest("hello"))):
            shutil.copy(source, os.path.join(self.folder, name))
        self.refused(["run", "--kernel", "hello", "--kvm", device], device, "permission",
                     umbra=os.path.join(self.folder, "umbra"), user=65534, group=65534,
                     extra_groups=[])


if __name__ == "__main__":
    harness.main()
