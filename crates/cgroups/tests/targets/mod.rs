//! What the fuzz targets do with bytes: run by `../fuzz.rs`, and under cargo-fuzz by `../../fuzz`.

use std::ffi::OsStr;
use std::os::unix::ffi::OsStrExt;
use std::path::{Component, Path};

use crabcan_cgroups::{
    CgroupPath, DeviceAccess, DeviceKind, DeviceProgram, DeviceRule, Hierarchy, Place,
};

/// `/proc/self/mountinfo`, a line of dashes, `/proc/self/cgroup`: trees in which this process has an
/// absolute place, or an error.
pub(crate) fn hierarchy(bytes: &[u8]) -> u64 {
    let at = bytes.windows(5).position(|five| five == b"\n---\n");
    let (mounts, memberships) = bytes.split_at(at.map_or(bytes.len(), |at| at + 1));
    let memberships = memberships.get(4..).unwrap_or_default();
    match Hierarchy::parse(mounts, memberships) {
        Err(error) => {
            let text = error.to_string();
            assert!(!text.is_empty());
            text.len() as u64 % 64
        }
        Ok(hierarchy) => {
            let trees = hierarchy.legacy().iter().chain(hierarchy.unified());
            let mut count = 0;
            for tree in trees {
                assert!(tree.own().is_absolute());
                count += 1;
            }
            assert!(count > 0);
            100 + count
        }
    }
}

/// The record of a cgroup: what is read is written the same, and leads nowhere upwards.
pub(crate) fn place(bytes: &[u8]) -> u64 {
    let Ok(place) = Place::parse(bytes) else {
        return 0;
    };
    let text = place.to_string();
    let again = Place::parse(text.as_bytes());
    if std::str::from_utf8(bytes).is_ok() {
        assert_eq!(again.unwrap(), place, "{text:?}");
    }
    let up = |line: &str| {
        let path = Path::new(line.splitn(3, ':').last().unwrap_or_default());
        path.components().any(|part| part == Component::ParentDir)
    };
    assert!(!text.lines().any(up), "{text}");
    1 + text.lines().count() as u64
}

/// A cgroup's path in a configuration: refused, or without a way upwards.
pub(crate) fn path(bytes: &[u8]) -> u64 {
    let path = Path::new(OsStr::from_bytes(bytes));
    match CgroupPath::new(path) {
        Err(error) => error.to_string().len() as u64 % 16,
        Ok(_) => {
            let named = |part: Component<'_>| match part {
                Component::ParentDir => panic!("upwards: {path:?}"),
                Component::Normal(name) => {
                    let bytes = name.as_bytes();
                    assert!(bytes.len() < 256 && !bytes.contains(&0) && !bytes.contains(&b'\n'));
                    1
                }
                _ => 0,
            };
            let names: u64 = path.components().map(named).sum();
            assert!(names > 0);
            100 + names
        }
    }
}

/// What the other end of a bus says, from the introduction on: a scope is made and stopped, or there
/// is an error, and nothing is waited for that can't come.
#[cfg(feature = "systemd")]
pub(crate) fn bus(bytes: &[u8]) -> u64 {
    use std::io::Write;
    use std::os::unix::net::UnixStream;
    use std::time::Duration;

    use crabcan_cgroups::systemd::{ScopeName, Systemd};
    use crabcan_cgroups::{Error, Resources};

    let name = ScopeName::parse("crabcan.slice::x").unwrap();
    let (ours, mut theirs) = UnixStream::pair().unwrap();
    theirs.write_all(b"OK 0\r\n").unwrap();
    theirs.write_all(bytes).unwrap();
    theirs.shutdown(std::net::Shutdown::Write).unwrap();
    let mut passed = 0;
    let talk = || {
        let mut systemd = Systemd::over(ours, Duration::from_secs(9))?;
        passed = 1;
        systemd.start_scope(&name, 5, &Resources::default(), &[])?;
        passed = 2;
        systemd.stop_scope(&name)
    };
    let outcome = talk();
    passed * 100
        + match outcome {
            Ok(()) => 0,
            Err(Error::Bus { source, .. }) => {
                assert_ne!(source.kind(), std::io::ErrorKind::TimedOut);
                1 + source.kind() as u64
            }
            Err(error) => 50 + error.to_string().len() as u64 % 50,
        }
}

/// Rules of four bytes each: the program answers as the last rule that fits, for each kind of access.
/// A rule may name numbers that no device has: the kernel's have 12 and 20 bits.
pub(crate) fn devices(bytes: &[u8]) -> u64 {
    let (all, _) = bytes[..bytes.len().min(4 * 64)].as_chunks::<4>();
    let rules: Vec<DeviceRule> = all.iter().map(rule).collect();
    let program = DeviceProgram::new(&rules);
    let mut sum = 0;
    for kind in [BLOCK, CHAR] {
        for wanted in 1..8 {
            for major in [0, 1, 5, 4095] {
                for minor in [0, 3, 1_048_575] {
                    let context = [wanted << 16 | kind, major, minor];
                    let expected = naive(&rules, context);
                    assert_eq!(run(&program, context), expected, "{rules:?} {context:x?}");
                    sum += u64::from(expected);
                }
            }
        }
    }
    program.instructions().len() as u64 * 1000 + sum % 1000
}

const BLOCK: u32 = 1;
const CHAR: u32 = 2;
const MKNOD: u32 = 1;
const READ: u32 = 2;
const WRITE: u32 = 4;

fn rule(bytes: &[u8; 4]) -> DeviceRule {
    let number = |byte: u8| {
        [
            Some(0),
            Some(1),
            Some(3),
            Some(5),
            Some(1_048_575),
            Some(u32::MAX),
            None,
            None,
        ][usize::from(byte % 8)]
    };
    DeviceRule {
        allow: bytes[0] % 2 == 1,
        kind: [DeviceKind::All, DeviceKind::Block, DeviceKind::Char][usize::from(bytes[0] / 2 % 3)],
        major: number(bytes[1]),
        minor: number(bytes[2]),
        access: DeviceAccess {
            mknod: bytes[3] & 1 != 0,
            read: bytes[3] & 2 != 0,
            write: bytes[3] & 4 != 0,
        },
    }
}

fn naive(rules: &[DeviceRule], [first, major, minor]: [u32; 3]) -> bool {
    let (kind, wanted) = (first & 0xffff, first >> 16);
    [MKNOD, READ, WRITE]
        .into_iter()
        .filter(|bit| wanted & bit != 0)
        .all(|bit| {
            let fits = |rule: &&DeviceRule| {
                let access = match bit {
                    MKNOD => rule.access.mknod,
                    READ => rule.access.read,
                    _ => rule.access.write,
                };
                let same = match rule.kind {
                    DeviceKind::All => true,
                    DeviceKind::Block => kind == BLOCK,
                    DeviceKind::Char => kind == CHAR,
                };
                access
                    && same
                    && rule.major.is_none_or(|number| number == major)
                    && rule.minor.is_none_or(|number| number == minor)
            };
            rules.iter().rev().find(fits).is_none_or(|rule| rule.allow)
        })
}

/// What the kernel does with the program: extended BPF, as far as it is used, by the numbers of
/// linux/bpf.h.
fn run(program: &DeviceProgram, context: [u32; 3]) -> bool {
    let code = program.instructions();
    let mut registers = [0u64; 11];
    let mut at = 0;
    loop {
        let one = code[at];
        let (to, from) = (
            usize::from(one.registers & 15),
            usize::from(one.registers >> 4),
        );
        let constant = i64::from(one.constant) as u64;
        let value = registers[to];
        at += 1;
        let jump = match one.code {
            0x61 => {
                registers[to] = context[one.offset as usize / 4].into();
                false
            }
            0xb7 => {
                registers[to] = constant;
                false
            }
            0xbf => {
                registers[to] = registers[from];
                false
            }
            0x54 => {
                registers[to] = u64::from(value as u32 & one.constant as u32);
                false
            }
            0x74 => {
                registers[to] = u64::from(value as u32 >> one.constant);
                false
            }
            0x64 => {
                registers[to] = u64::from((value as u32) << one.constant);
                false
            }
            0x4c => {
                registers[to] = u64::from(value as u32 | registers[from] as u32);
                false
            }
            0x05 => true,
            0x16 => value as u32 == one.constant as u32,
            0x15 => value == constant,
            0x55 => value != constant,
            0x45 => value & constant != 0,
            0x95 => return registers[0] != 0,
            other => panic!("{other:#x}"),
        };
        if jump {
            at += usize::try_from(one.offset).unwrap();
        }
    }
}
