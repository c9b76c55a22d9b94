//! Classic BPF, as the kernel runs it on `struct seccomp_data`. It knows nothing of the compiler.
#![allow(dead_code, clippy::panic, reason = "shared by test programs")]

use crabcan_seccomp::Instruction;

/// `struct seccomp_data` without the instruction pointer.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Call {
    pub(crate) number: u32,
    pub(crate) audit: u32,
    pub(crate) arguments: [u64; 6],
}

impl Call {
    /// A word of the structure; `little` is the byte order of the machine that it is a call on.
    fn word(&self, offset: u32, little: bool) -> u32 {
        match offset {
            0 => self.number,
            4 => self.audit,
            16..64 if offset.is_multiple_of(4) => {
                let argument = self.arguments[((offset - 16) / 8) as usize];
                let second = (offset - 16) % 8 == 4;
                if second == little {
                    (argument >> 32) as u32
                } else {
                    argument as u32
                }
            }
            _ => panic!("load from {offset}"),
        }
    }
}

/// What the program answers, and how many instructions it took.
pub(crate) fn run(program: &[Instruction], call: &Call, little: bool) -> (u32, usize) {
    let (mut at, mut accumulator, mut steps) = (0usize, 0u32, 0usize);
    loop {
        let one = program[at];
        at += 1;
        steps += 1;
        let condition = match one.code {
            0x20 => {
                accumulator = call.word(one.k, little);
                continue;
            }
            0x54 => {
                accumulator &= one.k;
                continue;
            }
            0x05 => {
                at += one.k as usize;
                continue;
            }
            0x06 => return (one.k, steps),
            0x15 => accumulator == one.k,
            0x25 => accumulator > one.k,
            0x35 => accumulator >= one.k,
            0x45 => accumulator & one.k != 0,
            other => panic!("instruction {other:#x}"),
        };
        at += usize::from(if condition { one.jt } else { one.jf });
    }
}
