//! The enclave image against a second reader: Python that was written from the format's description and shares no code with ours.
//!
//! # Promises
//! - Registers, sections and checksum are computed independently, from the file alone.
//!
//! # Does not
//! - Boot anything; `transports` does, where it can.

#![allow(missing_docs, clippy::unwrap_used, clippy::expect_used, clippy::panic)] // a test that cannot go on ends

use adyton_tests::world::program;
use serde_json::Value;
use std::fs;
use std::path::Path;
use std::process::Command;

/// Reads an image, checks it, and prints its registers. `struct` and `zlib` know the numbers, `hashlib` the digests.
const READER: &str = r#"
import hashlib, json, struct, sys, zlib
data = open(sys.argv[1], "rb").read()
magic, version, flags, memory, cpus, reserved, count = struct.unpack(">4sHHQQHH", data[:28])
assert (magic, version, flags) == (b".eif", 4, 0)
offsets = struct.unpack(">32Q", data[28:284])
sizes = struct.unpack(">32Q", data[284:540])
unused, crc = struct.unpack(">II", data[540:548])
assert zlib.crc32(data[548:], zlib.crc32(data[:544])) == crc
sections = []
for offset, size in list(zip(offsets, sizes))[:count]:
    kind, _, length = struct.unpack(">HHQ", data[offset:offset + 12])
    assert length == size
    sections.append((kind, data[offset + 12:offset + 12 + size]))
assert [kind for kind, _ in sections] == [1, 2, 5, 3, 3]
json.loads(sections[2][1])
kernel, line, _, boot, application = [part for _, part in sections]
for ramdisk in (boot, application):
    assert zlib.decompress(ramdisk, 31).startswith(b"070701")
def register(*parts):
    return hashlib.sha384(bytes(48) + hashlib.sha384(b"".join(parts)).digest()).hexdigest()
print(json.dumps({"PCR0": register(kernel, line, boot, application), "PCR1": register(kernel, line, boot),
                  "PCR2": register(application)}))
"#;

/// Builds an image of made-up parts in a folder, and returns what was printed.
fn build(folder: &Path, name: &str) -> Value {
    for (part, bytes) in [
        ("kernel", b"a kernel".as_slice()),
        ("cmdline", b"console=ttyS0\n"),
        ("sentinel", b"a sentinel"),
        ("worker", b"a worker"),
    ] {
        fs::write(folder.join(part), bytes).unwrap();
    }
    let mut image = Command::new(program("adyton-image").unwrap());
    image.arg("build").args(["--kernel-version", "0", "--out", name]);
    for part in ["kernel", "cmdline", "sentinel", "worker"] {
        image.arg(format!("--{part}")).arg(part);
    }
    let output = image.current_dir(folder).output().unwrap();
    assert!(output.status.success(), "{}", String::from_utf8_lossy(&output.stderr));
    serde_json::from_slice(&output.stdout).unwrap()
}

#[test]
fn a_strangers_reader_finds_the_same_registers() {
    let folder = tempfile::tempdir().unwrap();
    let printed = build(folder.path(), "a.eif");
    let python =
        Command::new("python3").args(["-c", READER, "a.eif"]).current_dir(folder.path()).output().unwrap();
    assert!(python.status.success(), "{}", String::from_utf8_lossy(&python.stderr));
    assert_eq!(serde_json::from_slice::<Value>(&python.stdout).unwrap(), printed);
    let mut measure = Command::new(program("adyton-image").unwrap());
    let measured = measure.args(["measure", "a.eif"]).current_dir(folder.path()).output().unwrap();
    assert_eq!(serde_json::from_slice::<Value>(&measured.stdout).unwrap(), printed);
}

#[test]
fn two_images_of_the_same_parts_are_the_same() {
    let (one, other) = (tempfile::tempdir().unwrap(), tempfile::tempdir().unwrap());
    build(one.path(), "a.eif");
    build(other.path(), "b.eif");
    assert_eq!(fs::read(one.path().join("a.eif")).unwrap(), fs::read(other.path().join("b.eif")).unwrap());
}
