//! Rules about devices as a BPF program (BPF_PROG_TYPE_CGROUP_DEVICE).
//!
//! The kernel calls it for each access with the kind of the node, its numbers and the wanted kinds
//! of access. The program holds the wanted kinds in a register and goes through the rules from the
//! last to the first: one that fits and refuses any of them ends it with "no", one that fits and
//! allows takes its kinds out of the register; when none is left, the answer is "yes". So each kind
//! of access is decided by the last rule that fits it, without a loop and without memory.

use std::collections::BTreeSet;

use super::{DeviceAccess, DeviceKind, DeviceRule};

/// `BPF_DEVCG_DEV_*` and `BPF_DEVCG_ACC_*` of the kernel.
const BLOCK: i32 = 1;
const CHAR: i32 = 2;
const MKNOD: i32 = 1;
const READ: i32 = 2;
const WRITE: i32 = 4;

/// Opcodes, as the kernel composes them.
pub(crate) mod opcode {
    /// Load a word of memory.
    pub(crate) const LOAD: u8 = 0x61;
    /// Move a constant, move a register.
    pub(crate) const MOVE: u8 = 0xb7;
    pub(crate) const COPY: u8 = 0xbf;
    /// Arithmetic on 32 bits with a constant, with a register.
    pub(crate) const AND: u8 = 0x54;
    pub(crate) const SHIFT_RIGHT: u8 = 0x74;
    pub(crate) const SHIFT_LEFT: u8 = 0x64;
    pub(crate) const OR_REGISTER: u8 = 0x4c;
    /// Jumps on a comparison with a constant: not equal, equal, any bit in common.
    pub(crate) const JUMP_NOT_EQUAL: u8 = 0x55;
    pub(crate) const JUMP_EQUAL: u8 = 0x15;
    pub(crate) const JUMP_ANY: u8 = 0x45;
    /// Equal in the lower 32 bits.
    pub(crate) const JUMP_EQUAL_32: u8 = 0x16;
    /// A jump in any case.
    pub(crate) const JUMP: u8 = 0x05;
    /// The end.
    pub(crate) const EXIT: u8 = 0x95;
}

/// The registers: the answer, the context, and what is loaded from it.
const ANSWER: u8 = 0;
const CONTEXT: u8 = 1;
const KIND: u8 = 2;
const WANTED: u8 = 3;
const MAJOR: u8 = 4;
const MINOR: u8 = 5;
const SCRATCH: u8 = 6;

/// `struct bpf_insn`.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
#[repr(C)]
pub struct Instruction {
    /// What is done.
    pub code: u8,
    /// The destination in the lower four bits, the source in the upper ones.
    pub registers: u8,
    /// By how many instructions a jump goes further; where in memory a load reads.
    pub offset: i16,
    /// The constant.
    pub constant: i32,
}

/// A program that decides about devices.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct DeviceProgram(Vec<Instruction>);

impl DeviceProgram {
    /// Compiles rules.
    #[must_use]
    pub fn new(rules: &[DeviceRule]) -> Self {
        let mut program = Self(Vec::new());
        program.load();
        let mut open = true;
        let rules = joined(rules);
        let mut rest = rules.as_slice();
        while let Some((rule, before)) = rest.split_last() {
            let listed = rest.iter().rev().take_while(|one| is_like(one, rule));
            let (above, list) = rest.split_at(rest.len() - listed.count());
            if list.len() > 1 {
                program.list(rule, list);
                rest = above;
                continue;
            }
            rest = before;
            if bits(rule.access) == 0 {
                continue;
            }
            program.rule(rule);
            if *rule == DeviceRule::all(rule.allow) {
                // It has decided everything: the kernel refuses what can't be reached behind it.
                open = false;
                break;
            }
        }
        if open {
            program.answer(true);
        }
        program
    }

    /// Its instructions.
    #[must_use]
    pub fn instructions(&self) -> &[Instruction] {
        &self.0
    }

    fn push(&mut self, code: u8, (to, from): (u8, u8), offset: i16, constant: i32) {
        self.0.push(Instruction {
            code,
            registers: to | from << 4,
            offset,
            constant,
        });
    }

    /// `struct bpf_cgroup_dev_ctx`: access and kind in one word, major, minor.
    fn load(&mut self) {
        self.push(opcode::LOAD, (KIND, CONTEXT), 0, 0);
        self.push(opcode::COPY, (WANTED, KIND), 0, 0);
        self.push(opcode::SHIFT_RIGHT, (WANTED, 0), 0, 16);
        self.push(opcode::AND, (KIND, 0), 0, 0xffff);
        self.push(opcode::LOAD, (MAJOR, CONTEXT), 4, 0);
        self.push(opcode::LOAD, (MINOR, CONTEXT), 8, 0);
    }

    fn answer(&mut self, yes: bool) {
        self.push(opcode::MOVE, (ANSWER, 0), 0, i32::from(yes));
        self.push(opcode::EXIT, (0, 0), 0, 0);
    }

    fn rule(&mut self, rule: &DeviceRule) {
        let kind = match rule.kind {
            DeviceKind::All => None,
            DeviceKind::Block => Some(BLOCK),
            DeviceKind::Char => Some(CHAR),
        };
        let conditions = [
            (KIND, kind),
            (MAJOR, rule.major.map(constant)),
            (MINOR, rule.minor.map(constant)),
        ];
        let conditions = conditions
            .into_iter()
            .filter_map(|(register, value)| Some((register, value?)));
        let conditions: Vec<_> = conditions.collect();
        let body = self.body(rule);
        // To the next rule: over the conditions that are left, and the body.
        let mut behind = conditions.len() + body.len();
        for (register, value) in conditions {
            behind -= 1;
            let offset = i16::try_from(behind).unwrap_or(i16::MAX);
            self.push(opcode::JUMP_NOT_EQUAL, (register, 0), offset, value);
        }
        self.0.extend(body);
    }

    /// Rules that differ in their numbers alone, and so may be asked in any order: the kind once,
    /// and each node by both of its numbers at once. The kernel follows every way through a program
    /// when it takes it, and there are far fewer of them than through one rule after the other.
    fn list(&mut self, like: &DeviceRule, rules: &[DeviceRule]) {
        let nodes: BTreeSet<u32> = rules.iter().filter_map(node).collect();
        if nodes.is_empty() {
            return;
        }
        let kind = match like.kind {
            DeviceKind::Block => BLOCK,
            _ => CHAR,
        };
        // Over what makes the number of the node, the questions, the last jump, and the answer.
        self.jump(opcode::JUMP_NOT_EQUAL, KIND, 3 + nodes.len() + 1 + 2, kind);
        self.push(opcode::COPY, (SCRATCH, MAJOR), 0, 0);
        self.push(opcode::SHIFT_LEFT, (SCRATCH, 0), 0, MINOR_BITS);
        self.push(opcode::OR_REGISTER, (SCRATCH, MINOR), 0, 0);
        let mut to_answer = nodes.len();
        for node in nodes {
            self.jump(
                opcode::JUMP_EQUAL_32,
                SCRATCH,
                to_answer,
                node.cast_signed(),
            );
            to_answer -= 1;
        }
        self.jump(opcode::JUMP, 0, 2, 0);
        self.answer(like.allow);
    }

    fn jump(&mut self, code: u8, register: u8, over: usize, value: i32) {
        let offset = i16::try_from(over).unwrap_or(i16::MAX);
        self.push(code, (register, 0), offset, value);
    }

    /// What a rule does with an access that it fits.
    fn body(&self, rule: &DeviceRule) -> Vec<Instruction> {
        let mut body = Self(Vec::new());
        let (wanted, all) = (bits(rule.access), MKNOD | READ | WRITE);
        match (rule.allow, wanted == all) {
            (allow, true) => body.answer(allow),
            (false, false) => {
                // Any of the kinds: skip the jump that skips the answer. The complement is not
                // known to the kernel's comparisons, so a copy is masked.
                body.push(opcode::COPY, (SCRATCH, WANTED), 0, 0);
                body.push(opcode::AND, (SCRATCH, 0), 0, wanted);
                body.push(opcode::JUMP_EQUAL, (SCRATCH, 0), 2, 0);
                body.answer(false);
            }
            (true, false) => {
                body.push(opcode::AND, (WANTED, 0), 0, all & !wanted);
                body.push(opcode::JUMP_ANY, (WANTED, 0), 2, all);
                body.answer(true);
            }
        }
        body.0
    }
}

/// How many bits of the number of a node are its minor number; the 12 above are its major number.
const MINOR_BITS: i32 = 20;

/// Both numbers of a rule's node in one; `None` for one that no node has.
fn node(rule: &DeviceRule) -> Option<u32> {
    let (major, minor) = (rule.major?, rule.minor?);
    let fits = major >> (32 - MINOR_BITS) == 0 && minor >> MINOR_BITS == 0;
    fits.then_some(major << MINOR_BITS | minor)
}

/// The rules, with each two that say the same of both kinds of nodes as one: engines write them so.
fn joined(rules: &[DeviceRule]) -> Vec<DeviceRule> {
    let mut all: Vec<DeviceRule> = Vec::with_capacity(rules.len());
    for rule in rules {
        match all.last_mut() {
            Some(last) if are_both_kinds(last, rule) => last.kind = DeviceKind::All,
            _ => all.push(*rule),
        }
    }
    all
}

fn are_both_kinds(one: &DeviceRule, other: &DeviceRule) -> bool {
    let kinds = (one.kind, other.kind);
    let both = [
        (DeviceKind::Char, DeviceKind::Block),
        (DeviceKind::Block, DeviceKind::Char),
    ];
    let same = DeviceRule {
        kind: one.kind,
        ..*other
    };
    both.contains(&kinds) && same == *one
}

/// Numbers are compared as 32 bits in 64: above 2^31 a constant would be extended by its sign, but
/// the kernel's numbers have 12 and 20 bits. A rule about such a number fits nothing.
fn constant(number: u32) -> i32 {
    i32::try_from(number).unwrap_or(-1)
}

/// Whether a rule about one node and all that is done with it says the same as another one.
fn is_like(one: &DeviceRule, other: &DeviceRule) -> bool {
    let whole = one.kind != DeviceKind::All && one.access == DeviceAccess::ALL;
    let numbered = one.major.is_some() && one.minor.is_some();
    whole
        && numbered
        && (one.kind, one.allow) == (other.kind, other.allow)
        && other.access == DeviceAccess::ALL
}

fn bits(access: DeviceAccess) -> i32 {
    let bit = |set: bool, bit: i32| if set { bit } else { 0 };
    bit(access.mknod, MKNOD) | bit(access.read, READ) | bit(access.write, WRITE)
}

#[cfg(test)]
mod tests;
