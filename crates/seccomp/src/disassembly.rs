//! A filter's program for people.

use std::fmt;

use crate::{Action, Filter, Instruction};

impl Filter {
    /// The program as text: a line for each instruction, its place, what it does, and where it goes
    /// from there.
    ///
    /// ```
    /// use crabcan_seccomp::{Action, Architecture, Profile, Rule};
    ///
    /// # fn main() -> Result<(), crabcan_seccomp::Error> {
    /// let filter = Profile::new(Action::Allow)
    ///     .architecture(Architecture::Riscv64)
    ///     .rule(Rule::new(Action::Errno(1), ["mount"]))
    ///     .compile()?;
    /// let text = filter.disassembly().to_string();
    /// let lines: Vec<&str> = text.lines().collect();
    /// assert_eq!(lines[1], "  1  if == 0xc00000f3 then 2 else 6");
    /// assert_eq!(lines[4], "  4  return errno 1");
    /// # Ok(())
    /// # }
    /// ```
    pub fn disassembly(&self) -> impl fmt::Display + '_ {
        Disassembly(self.instructions())
    }
}

struct Disassembly<'f>(&'f [Instruction]);

impl fmt::Display for Disassembly<'_> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        for (at, one) in self.0.iter().enumerate() {
            writeln!(f, "{at:3}  {}", line(at, one))?;
        }
        Ok(())
    }
}

fn line(at: usize, one: &Instruction) -> String {
    let next = at + 1;
    let (yes, no) = (next + usize::from(one.jt), next + usize::from(one.jf));
    let k = one.k;
    let test = |sign| format!("if {sign} {k:#x} then {yes} else {no}");
    match u32::from(one.code) {
        code if code == libc::BPF_LD | libc::BPF_W | libc::BPF_ABS => format!("load {}", word(k)),
        code if code == libc::BPF_ALU | libc::BPF_AND | libc::BPF_K => format!("and {k:#x}"),
        code if code == libc::BPF_JMP | libc::BPF_JA => format!("go to {}", next + k as usize),
        code if code == libc::BPF_JMP | libc::BPF_JEQ | libc::BPF_K => test("=="),
        code if code == libc::BPF_JMP | libc::BPF_JGT | libc::BPF_K => test(">"),
        code if code == libc::BPF_JMP | libc::BPF_JGE | libc::BPF_K => test(">="),
        code if code == libc::BPF_JMP | libc::BPF_JSET | libc::BPF_K => test("has a bit of"),
        code if code == libc::BPF_RET | libc::BPF_K => match Action::from_return(k) {
            Some(action) => format!("return {}", action.in_words()),
            None => format!("return {k:#x}"),
        },
        code => format!("instruction {code:#x} with {k:#x}"),
    }
}

/// The name of a word of `struct seccomp_data`. Which half of an argument comes first is up to the
/// machine's byte order, so halves are told by their place.
fn word(offset: u32) -> String {
    match offset {
        0 => "number".to_owned(),
        4 => "architecture".to_owned(),
        16..64 => format!(
            "arg{} bytes {}",
            (offset - 16) / 8,
            ["0-3", "4-7"][(offset / 4 % 2) as usize]
        ),
        _ => format!("word at {offset}"),
    }
}
