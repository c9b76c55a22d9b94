//! bpf(2), which neither nix nor rustix has.
#![allow(unsafe_code)]

use std::io;
use std::os::fd::{AsFd, AsRawFd, BorrowedFd, FromRawFd, OwnedFd};

use crate::devices::Instruction;

const BPF_PROG_LOAD: i32 = 5;
const BPF_PROG_ATTACH: i32 = 8;
const BPF_PROG_DETACH: i32 = 9;
const BPF_PROG_GET_FD_BY_ID: i32 = 13;
const BPF_OBJ_GET_INFO_BY_FD: i32 = 15;
const BPF_PROG_QUERY: i32 = 16;
const BPF_PROG_TYPE_CGROUP_DEVICE: u32 = 15;
const BPF_CGROUP_DEVICE: u32 = 6;
const BPF_F_ALLOW_MULTI: u32 = 2;
const BPF_F_REPLACE: u32 = 4;

/// How our programs are called in the kernel: by that they are known again.
const NAME: [u8; 16] = *b"crabcan_devices\0";

/// The beginning of `union bpf_attr`, as words; the kernel takes what is behind it as zero.
type Attributes = [u64; 16];

/// A call whose attributes hold numbers, and addresses of what outlives the call.
fn bpf(command: i32, attributes: &mut Attributes) -> io::Result<i32> {
    // SAFETY: the kernel reads and writes as many bytes of the borrowed attributes as are said to be
    // there; every caller in this file puts in only addresses of live values, with their sizes.
    let answer = unsafe {
        libc::syscall(
            libc::SYS_bpf,
            command,
            std::ptr::from_mut(attributes),
            size_of::<Attributes>(),
        )
    };
    match i32::try_from(answer) {
        Ok(answer) if answer >= 0 => Ok(answer),
        _ => Err(io::Error::last_os_error()),
    }
}

/// Two fields of 32 bits in one word.
fn pair(first: u32, second: u32) -> u64 {
    let ([a, b, c, d], [e, f, g, h]) = (first.to_ne_bytes(), second.to_ne_bytes());
    u64::from_ne_bytes([a, b, c, d, e, f, g, h])
}

/// The two fields of 32 bits of a word.
fn halves(word: u64) -> (u32, u32) {
    let [a, b, c, d, e, f, g, h] = word.to_ne_bytes();
    let first = u32::from_ne_bytes([a, b, c, d]);
    (first, u32::from_ne_bytes([e, f, g, h]))
}

fn number(descriptor: BorrowedFd<'_>) -> u32 {
    descriptor.as_raw_fd().cast_unsigned()
}

fn address<T: ?Sized>(value: &T) -> u64 {
    std::ptr::from_ref(value).cast::<u8>().expose_provenance() as u64
}

fn own(descriptor: i32) -> OwnedFd {
    // SAFETY: bpf(2) answered with this new descriptor, close-on-exec, and nobody else has it.
    unsafe { OwnedFd::from_raw_fd(descriptor) }
}

/// Has the kernel check a program and take it.
pub(crate) fn load_device_program(instructions: &[Instruction]) -> io::Result<OwnedFd> {
    let count = u32::try_from(instructions.len()).map_err(|_| io::ErrorKind::InvalidInput)?;
    let license = c"GPL";
    let [a, b, c, d, e, f, g, h, low @ ..] = NAME;
    // prog_type, insn_cnt · insns · license · log_level, log_size · log_buf · kern_version,
    // prog_flags · prog_name (16) · prog_ifindex, expected_attach_type
    let mut attributes = Attributes::default();
    attributes[0] = pair(BPF_PROG_TYPE_CGROUP_DEVICE, count);
    attributes[1] = address(instructions);
    attributes[2] = license.as_ptr().expose_provenance() as u64;
    attributes[6] = u64::from_ne_bytes([a, b, c, d, e, f, g, h]);
    attributes[7] = u64::from_ne_bytes(low);
    attributes[8] = pair(0, BPF_CGROUP_DEVICE);
    bpf(BPF_PROG_LOAD, &mut attributes).map(own)
}

/// The ids of the programs that a cgroup itself has.
pub(crate) fn attached_device_programs(cgroup: BorrowedFd<'_>) -> io::Result<Vec<u32>> {
    let mut ids = [0u32; 64];
    let count = u32::try_from(ids.len()).map_err(|_| io::ErrorKind::InvalidInput)?;
    // target_fd, attach_type · query_flags, attach_flags · prog_ids · prog_cnt
    let mut attributes = Attributes::default();
    attributes[0] = pair(number(cgroup), BPF_CGROUP_DEVICE);
    attributes[2] = std::ptr::from_mut(&mut ids).expose_provenance() as u64;
    attributes[3] = pair(count, 0);
    bpf(BPF_PROG_QUERY, &mut attributes)?;
    let count = usize::try_from(halves(attributes[3]).0).unwrap_or(0);
    Ok(ids.iter().take(count).copied().collect())
}

/// The beginning of `struct bpf_prog_info`, as words: type, id · tag · jited_prog_len,
/// xlated_prog_len · jited_prog_insns · xlated_prog_insns · load_time · created_by_uid, nr_map_ids ·
/// map_ids · name (16).
type Information = [u64; 10];

/// Asks the kernel about a program. Its instructions are written where the information says that
/// there is room for them.
fn inform(program: BorrowedFd<'_>, information: &mut Information) -> io::Result<()> {
    let length =
        u32::try_from(size_of::<Information>()).map_err(|_| io::ErrorKind::InvalidInput)?;
    let mut attributes = Attributes::default();
    attributes[0] = pair(number(program), length);
    attributes[1] = std::ptr::from_mut(information).expose_provenance() as u64;
    bpf(BPF_OBJ_GET_INFO_BY_FD, &mut attributes).map(drop)
}

fn is_own(information: &Information) -> bool {
    let [.., first, second] = *information;
    halves(information[0]).0 == BPF_PROG_TYPE_CGROUP_DEVICE
        && [first.to_ne_bytes(), second.to_ne_bytes()].as_flattened() == NAME
}

fn open_program(id: u32) -> io::Result<OwnedFd> {
    let mut attributes = Attributes::default();
    attributes[0] = pair(id, 0);
    bpf(BPF_PROG_GET_FD_BY_ID, &mut attributes).map(own)
}

/// The number by which others find a program while it is in use.
pub(crate) fn id_of_program(program: BorrowedFd<'_>) -> io::Result<u32> {
    let mut information = Information::default();
    inform(program, &mut information)?;
    Ok(halves(information[0]).1)
}

/// Opens a program by its id, if it is one of ours.
pub(crate) fn own_program(id: u32) -> io::Result<Option<OwnedFd>> {
    let program = open_program(id)?;
    let mut information = Information::default();
    inform(program.as_fd(), &mut information)?;
    Ok(is_own(&information).then_some(program))
}

/// Opens a program by its id, if it is one of ours and has exactly these instructions. Where the
/// kernel does not show them, or has changed them, it is another one.
pub(crate) fn same_program(id: u32, instructions: &[Instruction]) -> io::Result<Option<OwnedFd>> {
    let program = open_program(id)?;
    let mut theirs = vec![Instruction::default(); instructions.len()];
    let size = u32::try_from(size_of_val(instructions)).map_err(|_| io::ErrorKind::InvalidInput)?;
    let mut information = Information::default();
    information[2] = pair(0, size);
    information[4] = theirs.as_mut_ptr().expose_provenance() as u64;
    inform(program.as_fd(), &mut information)?;
    // Its whole size comes back, whatever there was room for.
    let is_same = halves(information[2]).1 == size && theirs == instructions;
    Ok((is_same && is_own(&information)).then_some(program))
}

/// Attaches a program beside those of others, in place of one of ours if it is given (Linux 5.6).
pub(crate) fn attach_device_program(
    cgroup: BorrowedFd<'_>,
    program: BorrowedFd<'_>,
    replaced: Option<BorrowedFd<'_>>,
) -> io::Result<()> {
    // target_fd, attach_bpf_fd · attach_type, attach_flags · replace_bpf_fd
    let mut attributes = Attributes::default();
    attributes[0] = pair(number(cgroup), number(program));
    let flags = match replaced {
        Some(_) => BPF_F_ALLOW_MULTI | BPF_F_REPLACE,
        None => BPF_F_ALLOW_MULTI,
    };
    attributes[1] = pair(BPF_CGROUP_DEVICE, flags);
    attributes[2] = pair(replaced.map_or(0, number), 0);
    bpf(BPF_PROG_ATTACH, &mut attributes).map(drop)
}

/// Takes a program away.
pub(crate) fn detach_device_program(
    cgroup: BorrowedFd<'_>,
    program: BorrowedFd<'_>,
) -> io::Result<()> {
    let mut attributes = Attributes::default();
    attributes[0] = pair(number(cgroup), number(program));
    attributes[1] = pair(BPF_CGROUP_DEVICE, 0);
    bpf(BPF_PROG_DETACH, &mut attributes).map(drop)
}
